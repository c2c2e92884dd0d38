/* SPDX-License-Identifier: MIT */
#include "sink_session.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "bench.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

/* Frames of 16 KiB, the protocol's default, as servers of gRPC-Go and gRPC-Java ask for; windows out of the way. */
enum { WINDOW_BYTES = 1 << 30, STREAMS = 1000, GRPC_PREFIX_BYTES = 5 };

struct sink_session {
    nghttp2_session *h2;
    struct sink_state *state;
};

static uint64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void note_latency(struct sink_state *state, uint64_t end_ns, uint64_t now_ns)
{
    if (state->latency_count == state->latency_capacity) {
        state->latency_capacity = state->latency_capacity ? 2 * state->latency_capacity : 4096;
        state->latencies_us = realloc(state->latencies_us, state->latency_capacity * sizeof(*state->latencies_us));
        if (!state->latencies_us)
            bench_die("latencies", -ENOMEM);
    }
    state->latencies_us[state->latency_count++] = (int32_t)((int64_t)(now_ns - end_ns) / 1000);
}

static void parse(struct sink_state *state, const struct buf *body)
{
    uint64_t now_ns = wall_ns();
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest *request =
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(
            NULL, body->len - GRPC_PREFIX_BYTES, body->data + GRPC_PREFIX_BYTES);
    if (!request)
        bench_die("a request that does not decode", 0);
    for (size_t i = 0; i < request->n_resource_spans; i++)
        for (size_t j = 0; j < request->resource_spans[i]->n_scope_spans; j++) {
            const Opentelemetry__Proto__Trace__V1__ScopeSpans *scope = request->resource_spans[i]->scope_spans[j];
            for (size_t k = 0; k < scope->n_spans; k++)
                note_latency(state, scope->spans[k]->end_time_unix_nano, now_ns);
        }
    opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(request, NULL);
}

/* An empty ExportTraceServiceResponse, then the trailers. */
static ssize_t answer_body(nghttp2_session *h2, int32_t stream, uint8_t *out, size_t room, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    (void)room;
    (void)source;
    (void)user;
    static uint8_t name[] = "grpc-status", value[] = "0";
    nghttp2_nv trailer = {name, value, sizeof(name) - 1, sizeof(value) - 1, NGHTTP2_NV_FLAG_NONE};
    memset(out, 0, GRPC_PREFIX_BYTES);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(h2, stream, &trailer, 1);
    return GRPC_PREFIX_BYTES;
}

static void answer(nghttp2_session *h2, int32_t stream)
{
    static uint8_t status[] = ":status", ok[] = "200", type[] = "content-type", grpc[] = "application/grpc";
    nghttp2_nv headers[] = {
        {status, ok, sizeof(status) - 1, sizeof(ok) - 1, NGHTTP2_NV_FLAG_NONE},
        {type, grpc, sizeof(type) - 1, sizeof(grpc) - 1, NGHTTP2_NV_FLAG_NONE},
    };
    nghttp2_data_provider body = {.read_callback = answer_body};
    nghttp2_submit_response(h2, stream, headers, 2, &body);
}

static int on_chunk(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *data, size_t bytes, void *user)
{
    (void)flags;
    struct sink_session *session = user;
    if (!session->state->parse)
        return 0;
    struct buf *body = nghttp2_session_get_stream_user_data(h2, stream);
    if (!body) {
        body = calloc(1, sizeof(*body));
        nghttp2_session_set_stream_user_data(h2, stream, body);
    }
    return body && buf_append(body, data, bytes) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct sink_session *session = user;
    if (frame->hd.type != NGHTTP2_DATA || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    const struct buf *body = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
    if (body)
        parse(session->state, body);
    session->state->requests++;
    answer(h2, frame->hd.stream_id);
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t stream, uint32_t code, void *user)
{
    (void)code;
    (void)user;
    struct buf *body = nghttp2_session_get_stream_user_data(h2, stream);
    if (body) {
        buf_done(body);
        free(body);
    }
    return 0;
}

struct sink_session *sink_session_new(struct sink_state *state)
{
    static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
                                                      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS}};
    struct sink_session *session = calloc(1, sizeof(*session));
    nghttp2_session_callbacks *callbacks;
    if (!session || nghttp2_session_callbacks_new(&callbacks) != 0)
        bench_die("session", -ENOMEM);
    session->state = state;
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    int made = nghttp2_session_server_new(&session->h2, callbacks, session);
    nghttp2_session_callbacks_del(callbacks);
    if (made != 0 || nghttp2_submit_settings(session->h2, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
        nghttp2_session_set_local_window_size(session->h2, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES) != 0)
        bench_die("session", -ENOMEM);
    return session;
}

void sink_session_free(struct sink_session *session)
{
    if (!session)
        return;
    nghttp2_session_del(session->h2);
    free(session);
}

bool sink_session_receive(struct sink_session *session, const uint8_t *data, size_t bytes)
{
    return nghttp2_session_mem_recv(session->h2, data, bytes) == (ssize_t)bytes;
}

ssize_t sink_session_send(struct sink_session *session, const uint8_t **data)
{
    return nghttp2_session_mem_send(session->h2, data);
}
