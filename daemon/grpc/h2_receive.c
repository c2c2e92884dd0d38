/* SPDX-License-Identifier: MIT
 *
 * What comes from the peer: its bytes counted and bounded, and nghttp2's callbacks for what they say.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "h2_session.h"

static const char TLS_SPOKEN[] = "it speaks TLS, and this side does not: write exporter_endpoint with https://";
static const char HTTP1_SPOKEN[] = "it answers in HTTP/1, not HTTP/2: exporter_endpoint must name a gRPC port "
                                   "(OTLP: 4317 is gRPC, 4318 is HTTP; https:// if it expects TLS)";
static const char ACKS_FLOODED[] = "the server floods the connection with PING or SETTINGS frames";
static const char CONTINUATIONS_FLOODED[] = "the server floods the connection with CONTINUATION frames";
static const char NOT_HTTP2[] = "it does not speak HTTP/2: exporter_endpoint must name a gRPC port (OTLP: 4317)";

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                     const uint8_t *value, size_t value_bytes, uint8_t flags, void *user)
{
    (void)flags;
    struct h2_call *call = h2_call_of(session, frame->hd.stream_id);
    if (!call)
        return 0;
    call->header_bytes += name_bytes + value_bytes;
    if (++call->header_count > H2_HEADERS_MAX_COUNT || call->header_bytes > H2_HEADERS_MAX_BYTES) {
        h2_call_exhaust(user, call, "the response has too many headers");
        return 0;
    }
    return h2_call_keep_field(call, name, name_bytes, value, value_bytes) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t bytes,
                   void *user)
{
    (void)flags;
    struct h2_call *call = h2_call_of(session, stream);
    if (!call)
        return 0;
    if (bytes > H2_BODY_MAX_BYTES - call->body.len) {
        h2_call_exhaust(user, call, "the response is larger than 64 KiB");
        return 0;
    }
    return buf_append(&call->body, data, bytes) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static bool is_about_pings(const nghttp2_goaway *goaway)
{
    static const char words[] = "too_many_pings";
    return goaway->error_code == NGHTTP2_ENHANCE_YOUR_CALM && goaway->opaque_data_len == sizeof(words) - 1 &&
           memcmp(goaway->opaque_data, words, sizeof(words) - 1) == 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    switch (frame->hd.type) {
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            h2->settled = true;
        break;
    case NGHTTP2_GOAWAY:
        h2->pinged_too_often |= is_about_pings(&frame->goaway);
        if (!h2->going_away) {
            h2->going_away = true;
            h2->callbacks.on_goaway_cb(h2->user);
        }
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
        struct h2_call *call = h2_call_of(session, frame->hd.stream_id);
        if (call && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            h2_call_answered(h2, call);
        else if (call && call->http_status / 100 == 1)
            h2_call_forget_fields(call);
        break;
    }
    default:
        break;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error, void *user)
{
    struct h2_call *call = h2_call_of(session, stream);
    if (!call)
        return 0;
    char text[64];
    bool unprocessed;
    enum grpc_code code = grpc_code_from_h2_error(error, &unprocessed);
    snprintf(text, sizeof(text), "stream reset: %s", nghttp2_http2_strerror(error));
    h2_call_fail(user, call, code, unprocessed, text);
    return 0;
}

void h2_receive_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}

/* The first frame must be SETTINGS. It begins with the high byte of its length, which is 0 below 64 KiB. */
static const char *first_byte_problem(uint8_t first)
{
    switch (first) {
    case 0:
        return NULL;
    case 0x15: /* TLS alert */
    case 0x16: /* TLS handshake */
        return TLS_SPOKEN;
    case 'H':
        return HTTP1_SPOKEN;
    default:
        return NOT_HTTP2;
    }
}

static void count_frame(struct h2 *h2)
{
    const uint8_t *header = h2->frame_header;
    h2->payload_left = (size_t)header[0] << 16 | (size_t)header[1] << 8 | header[2];
    h2->frames += 1 + h2->payload_left / H2_FRAME_UNIT_BYTES;
    h2->continuations = header[3] == NGHTTP2_CONTINUATION ? h2->continuations + 1 : 0;
}

/* Counted here, since nghttp2 makes no callback for CONTINUATION, for unknown types, and for DATA of streams that have
 * ended. -> false: too many CONTINUATIONs */
static bool count_frames(struct h2 *h2, const uint8_t *data, size_t bytes)
{
    while (bytes) {
        size_t skipped = h2->payload_left < bytes ? h2->payload_left : bytes;
        h2->payload_left -= skipped;
        data += skipped;
        bytes -= skipped;
        if (!bytes)
            break;
        h2->frame_header[h2->frame_header_bytes++] = *data++;
        bytes--;
        if (h2->frame_header_bytes < H2_FRAME_HEADER_BYTES)
            continue;
        h2->frame_header_bytes = 0;
        count_frame(h2);
        if (h2->continuations > H2_CONTINUATIONS_MAX)
            return false;
    }
    return true;
}

int h2_receive(struct h2 *h2, const uint8_t *data, size_t bytes)
{
    if (h2->problem)
        return -EPROTO;
    if (!h2->heard && bytes) {
        h2->heard = true;
        h2->problem = first_byte_problem(data[0]);
        if (h2->problem)
            return -EPROTO;
    }
    if (!count_frames(h2, data, bytes)) {
        h2->problem = CONTINUATIONS_FLOODED;
        return -EPROTO;
    }
    ssize_t got = nghttp2_session_mem_recv(h2->session, data, bytes);
    if (got < 0)
        h2->problem = got == NGHTTP2_ERR_FLOODED ? ACKS_FLOODED : nghttp2_strerror((int)got);
    return got < 0 ? -EPROTO : 0;
}
