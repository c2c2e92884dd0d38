/* SPDX-License-Identifier: MIT */
#include "h2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

enum {
    MESSAGE_PREFIX_BYTES = 5,
    FRAME_HEADER_BYTES = 9,
    DATA_FRAME_MAX_BYTES = 64 << 10,
    FIXED_FIELDS = 10,
    TIMEOUT_FIELD = 4, /* its place among them: right after the pseudo-headers */
};

static const char TLS_SPOKEN[] = "it speaks TLS, and this side does not: write exporter_endpoint with https://";
static const char HTTP1_SPOKEN[] = "it answers in HTTP/1, not HTTP/2: exporter_endpoint must name a gRPC port "
                                   "(OTLP: 4317 is gRPC, 4318 is HTTP; https:// if it expects TLS)";
static const char NOT_HTTP2[] = "it does not speak HTTP/2: exporter_endpoint must name a gRPC port (OTLP: 4317)";
static const char SAID_NOTHING[] = "no HTTP/2 was spoken: if it expects TLS, write exporter_endpoint with https://; "
                                   "else check that the port is gRPC's (OTLP: 4317)";

struct call {
    struct call *previous;
    struct call *next;
    void *owner;
    int32_t stream;
    bool sent; /* its HEADERS were */

    const struct iovec *parts;
    size_t part; /* the read position: in this part, after so many of its bytes */
    size_t part_offset;
    uint8_t prefix[MESSAGE_PREFIX_BYTES];
    size_t prefix_offset;
    size_t remaining; /* bytes of the request not yet framed, prefix included */

    int http_status;
    bool has_status;
    enum grpc_code code;
    struct buf message;
    struct buf details;
    struct buf body;
    size_t header_bytes;
    unsigned header_count;
};

struct h2 {
    nghttp2_session *session;
    const struct h2_settings *settings;
    struct h2_callbacks callbacks;
    void *user;
    struct call *calls;
    size_t call_count;
    nghttp2_nv *fields;
    size_t field_count;
    struct buf *out; /* during h2_send */
    size_t out_max;
    int out_err;
    const char *problem;
    bool heard; /* any byte */
    bool settled;
    bool going_away;
    uint64_t frames;
};

static void call_free(struct call *call)
{
    buf_done(&call->message);
    buf_done(&call->details);
    buf_done(&call->body);
    free(call);
}

static void call_unlink(struct h2 *h2, struct call *call)
{
    if (call->previous)
        call->previous->next = call->next;
    else
        h2->calls = call->next;
    if (call->next)
        call->next->previous = call->previous;
    h2->call_count--;
    /* From here the stream has no call: its data source stops, its late frames are ignored. */
    nghttp2_session_set_stream_user_data(h2->session, call->stream, NULL);
}

static void call_end(struct h2 *h2, struct call *call, const struct grpc_result *result)
{
    call_unlink(h2, call);
    h2->callbacks.on_result_cb(h2->user, call->owner, result);
    call_free(call);
}

/* Ends the call for a reason of ours. */
static void call_fail(struct h2 *h2, struct call *call, enum grpc_code code, bool unprocessed, const char *message)
{
    struct grpc_result result = {.code = code, .unprocessed = unprocessed, .message = message};
    call_end(h2, call, &result);
}

static void reset_stream(struct h2 *h2, int32_t stream)
{
    nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

static void call_exhaust(struct h2 *h2, struct call *call, const char *message)
{
    reset_stream(h2, call->stream);
    call_fail(h2, call, GRPC_RESOURCE_EXHAUSTED, false, message);
}

/* The message within the body's framing. -> false when it is not one whole uncompressed message. */
static bool unframe(const struct buf *body, const uint8_t **message, size_t *bytes)
{
    if (body->len < MESSAGE_PREFIX_BYTES || body->data[0] != 0)
        return false;
    size_t length =
        (size_t)body->data[1] << 24 | (size_t)body->data[2] << 16 | (size_t)body->data[3] << 8 | (size_t)body->data[4];
    if (length != body->len - MESSAGE_PREFIX_BYTES)
        return false;
    *message = body->data + MESSAGE_PREFIX_BYTES;
    *bytes = length;
    return true;
}

/* The server has said all it will. */
static void call_answered(struct h2 *h2, struct call *call)
{
    struct grpc_result result = {.code = call->code, .message = ""};
    char text[64];
    if (!call->has_status) {
        result.code = grpc_code_from_http(call->http_status);
        snprintf(text, sizeof text, "HTTP status %d without grpc-status", call->http_status);
        result.message = text;
    } else if (call->message.len) {
        result.message = (const char *)call->message.data;
    }
    if (call->details.len) {
        result.details = call->details.data;
        result.details_bytes = call->details.len;
    }
    if (result.code == GRPC_OK && !unframe(&call->body, &result.body, &result.body_bytes))
        result.message = "the response holds no message";

    /* Trailers may come before the request's end: the rest of it interests nobody. */
    if (call->remaining)
        reset_stream(h2, call->stream);
    call_end(h2, call, &result);
}

static struct call *stream_call(nghttp2_session *session, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(session, stream);
}

/* ---- nghttp2's callbacks: receiving */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    (void)session;
    (void)hd;
    struct h2 *h2 = user;
    h2->frames++;
    return 0;
}

static bool name_is(const uint8_t *name, size_t bytes, const char *wanted)
{
    return bytes == strlen(wanted) && memcmp(name, wanted, bytes) == 0;
}

static int keep_field(struct call *call, const uint8_t *name, size_t name_bytes, const uint8_t *value,
                      size_t value_bytes)
{
    if (name_is(name, name_bytes, ":status")) {
        /* nghttp2 lets only three digits pass. */
        call->http_status = value_bytes == 3 ? (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0') : 0;
    } else if (name_is(name, name_bytes, "grpc-status")) {
        call->code = grpc_code_parse((const char *)value, value_bytes);
        call->has_status = true;
    } else if (name_is(name, name_bytes, "grpc-message")) {
        call->message.len = 0;
        size_t kept = value_bytes < H2_MESSAGE_MAX_BYTES ? value_bytes : H2_MESSAGE_MAX_BYTES;
        if (buf_append(&call->message, value, kept) || buf_append(&call->message, "", 1))
            return -ENOMEM;
        call->message.len = grpc_percent_decode((char *)call->message.data, kept);
        call->message.data[call->message.len] = '\0';
    } else if (name_is(name, name_bytes, "grpc-status-details-bin")) {
        call->details.len = 0;
        if (buf_append(&call->details, value, value_bytes))
            return -ENOMEM;
        if (grpc_base64_decode(call->details.data, value_bytes, &call->details.len))
            call->details.len = 0;
    }
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                     const uint8_t *value, size_t value_bytes, uint8_t flags, void *user)
{
    (void)flags;
    struct call *call = stream_call(session, frame->hd.stream_id);
    if (!call)
        return 0;
    call->header_bytes += name_bytes + value_bytes;
    if (++call->header_count > H2_HEADERS_MAX_COUNT || call->header_bytes > H2_HEADERS_MAX_BYTES) {
        call_exhaust(user, call, "the response has too many headers");
        return 0;
    }
    return keep_field(call, name, name_bytes, value, value_bytes) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t bytes,
                   void *user)
{
    (void)flags;
    struct call *call = stream_call(session, stream);
    if (!call)
        return 0;
    if (bytes > H2_BODY_MAX_BYTES - call->body.len) {
        call_exhaust(user, call, "the response is larger than 64 KiB");
        return 0;
    }
    return buf_append(&call->body, data, bytes) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
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
        if (!h2->going_away) {
            h2->going_away = true;
            h2->callbacks.on_goaway_cb(h2->user);
        }
        break;
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
        struct call *call = stream_call(session, frame->hd.stream_id);
        if (call && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            call_answered(h2, call);
        break;
    }
    default:
        break;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error, void *user)
{
    struct call *call = stream_call(session, stream);
    if (!call)
        return 0;
    char text[64];
    bool unprocessed;
    enum grpc_code code = grpc_code_from_h2_error(error, &unprocessed);
    snprintf(text, sizeof text, "stream reset: %s", nghttp2_http2_strerror(error));
    call_fail(user, call, code, unprocessed, text);
    return 0;
}

/* ---- nghttp2's callbacks: sending */

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        struct call *call = stream_call(session, frame->hd.stream_id);
        if (call)
            call->sent = true;
    } else if (frame->hd.type == NGHTTP2_GOAWAY && !h2->problem) {
        h2->problem = frame->goaway.error_code == NGHTTP2_NO_ERROR ? "the connection was closed by this side"
                                                                   : nghttp2_http2_strerror(frame->goaway.error_code);
    }
    return 0;
}

static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    (void)session;
    struct h2 *h2 = user;
    struct call *call = frame->hd.type == NGHTTP2_HEADERS ? h2->calls : NULL;
    while (call && call->stream != frame->hd.stream_id)
        call = call->next;
    if (call)
        call_fail(h2, call, GRPC_UNAVAILABLE, true, nghttp2_strerror(error));
    return 0;
}

static ssize_t data_frame_bytes(nghttp2_session *session, uint8_t frame_type, int32_t stream, int32_t session_window,
                                int32_t stream_window, uint32_t peer_max, void *user)
{
    (void)session;
    (void)frame_type;
    (void)stream;
    (void)user;
    int32_t bytes = session_window < stream_window ? session_window : stream_window;
    if (bytes > DATA_FRAME_MAX_BYTES)
        bytes = DATA_FRAME_MAX_BYTES;
    return (uint32_t)bytes > peer_max ? (ssize_t)peer_max : bytes;
}

/* Announces the next DATA frame's length; write_data then copies it straight into the output. */
static ssize_t read_data(nghttp2_session *session, int32_t stream, uint8_t *data, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)data;
    (void)source;
    (void)user;
    const struct call *call = stream_call(session, stream);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t bytes = call->remaining < room ? call->remaining : room;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (bytes == call->remaining)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)bytes;
}

static void copy_request(struct call *call, uint8_t *to, size_t bytes)
{
    call->remaining -= bytes;
    while (bytes && call->prefix_offset < MESSAGE_PREFIX_BYTES) {
        *to++ = call->prefix[call->prefix_offset++];
        bytes--;
    }
    while (bytes) {
        const struct iovec *part = &call->parts[call->part];
        size_t left = part->iov_len - call->part_offset;
        size_t now = left < bytes ? left : bytes;
        if (now)
            memcpy(to, (const uint8_t *)part->iov_base + call->part_offset, now);
        to += now;
        bytes -= now;
        call->part_offset += now;
        if (now == left) {
            call->part++;
            call->part_offset = 0;
        }
    }
}

static int write_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t bytes,
                      nghttp2_data_source *source, void *user)
{
    (void)source;
    struct h2 *h2 = user;
    struct call *call = stream_call(session, frame->hd.stream_id);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct buf *out = h2->out;
    h2->out_err = buf_reserve(out, FRAME_HEADER_BYTES + bytes);
    if (h2->out_err)
        return NGHTTP2_ERR_WOULDBLOCK;
    memcpy(out->data + out->len, header, FRAME_HEADER_BYTES);
    copy_request(call, out->data + out->len + FRAME_HEADER_BYTES, bytes);
    out->len += FRAME_HEADER_BYTES + bytes;
    return out->len < h2->out_max ? 0 : NGHTTP2_ERR_PAUSE;
}

/* ---- the session */

static nghttp2_nv field(const char *name, const char *value, uint8_t flags)
{
    return (nghttp2_nv){
        .name = (uint8_t *)name,
        .namelen = strlen(name),
        .value = (uint8_t *)value,
        .valuelen = strlen(value),
        .flags = flags,
    };
}

static int build_fields(struct h2 *h2)
{
    const struct h2_settings *settings = h2->settings;
    h2->fields = calloc(FIXED_FIELDS + settings->metadata_count, sizeof *h2->fields);
    if (!h2->fields)
        return -ENOMEM;
    const nghttp2_nv fixed[FIXED_FIELDS] = {
        field(":method", "POST", NGHTTP2_NV_FLAG_NONE),
        field(":scheme", settings->scheme, NGHTTP2_NV_FLAG_NONE),
        field(":path", settings->path, NGHTTP2_NV_FLAG_NONE),
        field(":authority", settings->authority, NGHTTP2_NV_FLAG_NONE),
        [TIMEOUT_FIELD] = field("grpc-timeout", "", NGHTTP2_NV_FLAG_NONE),
        field("te", "trailers", NGHTTP2_NV_FLAG_NONE),
        field("content-type", "application/grpc", NGHTTP2_NV_FLAG_NONE),
        field("grpc-encoding", "identity", NGHTTP2_NV_FLAG_NONE),
        field("grpc-accept-encoding", "identity", NGHTTP2_NV_FLAG_NONE),
        field("user-agent", "aistrace/" AISTRACE_BUILD_VERSION " OTel-OTLP-Exporter-C/" AISTRACE_BUILD_VERSION,
              NGHTTP2_NV_FLAG_NONE),
    };
    memcpy(h2->fields, fixed, sizeof fixed);
    h2->field_count = FIXED_FIELDS;
    for (size_t i = 0; i < settings->metadata_count; i++) {
        const struct h2_metadata *m = &settings->metadata[i];
        uint8_t flags = m->secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
        h2->fields[h2->field_count++] = field(m->name, m->value, flags);
    }
    return 0;
}

static int open_session(struct h2 *h2)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks))
        return -ENOMEM;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, data_frame_bytes);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, write_data);
    int err = nghttp2_session_client_new(&h2->session, callbacks, h2);
    nghttp2_session_callbacks_del(callbacks);
    if (err)
        return -ENOMEM;

    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADERS_MAX_BYTES},
    };
    err = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof settings[0]);
    return err ? -ENOMEM : 0;
}

int h2_new(const struct h2_settings *settings, const struct h2_callbacks *callbacks, void *user, struct h2 **out)
{
    struct h2 *h2 = calloc(1, sizeof *h2);
    if (!h2)
        return -ENOMEM;
    h2->settings = settings;
    h2->callbacks = *callbacks;
    h2->user = user;
    int err = build_fields(h2);
    if (!err)
        err = open_session(h2);
    if (err)
        h2_free(h2);
    else
        *out = h2;
    return err;
}

void h2_free(struct h2 *h2)
{
    if (!h2)
        return;
    nghttp2_session_del(h2->session); /* makes no callbacks */
    for (struct call *call = h2->calls, *next; call; call = next) {
        next = call->next;
        call_free(call);
    }
    free(h2->fields);
    free(h2);
}

bool h2_ready(const struct h2 *h2)
{
    if (h2->problem || !h2->settled || h2->going_away)
        return false;
    return h2->call_count < nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) &&
           nghttp2_session_check_request_allowed(h2->session);
}

int h2_submit(struct h2 *h2, void *owner, const struct iovec *parts, size_t part_count, uint64_t timeout_ms)
{
    if (!h2_ready(h2))
        return -EAGAIN;
    size_t bytes = 0;
    for (size_t i = 0; i < part_count; i++)
        bytes += parts[i].iov_len;
    if (bytes > UINT32_MAX)
        return -EMSGSIZE;
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return -ENOMEM;
    call->owner = owner;
    call->parts = parts;
    call->remaining = MESSAGE_PREFIX_BYTES + bytes;
    for (size_t i = 1; i < MESSAGE_PREFIX_BYTES; i++)
        call->prefix[i] = (uint8_t)(bytes >> (8 * (MESSAGE_PREFIX_BYTES - 1 - i)));

    char timeout[GRPC_TIMEOUT_MAX];
    grpc_format_timeout(timeout_ms, timeout);
    nghttp2_nv *field_timeout = &h2->fields[TIMEOUT_FIELD];
    field_timeout->value = (uint8_t *)timeout;
    field_timeout->valuelen = strlen(timeout);
    const nghttp2_data_provider provider = {.read_callback = read_data};
    int32_t stream = nghttp2_submit_request(h2->session, NULL, h2->fields, h2->field_count, &provider, call);
    if (stream < 0) {
        call_free(call);
        return stream == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EAGAIN;
    }
    call->stream = stream;
    call->next = h2->calls;
    if (call->next)
        call->next->previous = call;
    h2->calls = call;
    h2->call_count++;
    return 0;
}

void h2_cancel(struct h2 *h2, void *owner)
{
    struct call *call = h2->calls;
    while (call && call->owner != owner)
        call = call->next;
    if (!call)
        return;
    reset_stream(h2, call->stream);
    call_unlink(h2, call);
    call_free(call);
}

/* A SETTINGS frame, the first there must be, begins with a zero: nobody sends 64 KiB of settings. */
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
    ssize_t got = nghttp2_session_mem_recv(h2->session, data, bytes);
    if (got < 0)
        h2->problem = nghttp2_strerror((int)got);
    return got < 0 ? -EPROTO : 0;
}

int h2_send(struct h2 *h2, struct buf *out, size_t max)
{
    h2->out = out;
    h2->out_max = out->len + max;
    h2->out_err = 0;
    while (out->len < h2->out_max) {
        const uint8_t *data;
        ssize_t bytes = nghttp2_session_mem_send(h2->session, &data);
        if (bytes < 0) {
            h2->problem = nghttp2_strerror((int)bytes);
            break;
        }
        if (bytes == 0)
            break;
        h2->out_err = buf_append(out, data, (size_t)bytes);
        if (h2->out_err) {
            /* nghttp2 counts these bytes as sent: the stream of frames has a hole. */
            h2->problem = "out of memory";
            break;
        }
    }
    h2->out = NULL;
    if (h2->problem)
        return -EPROTO;
    return h2->out_err;
}

const char *h2_problem(const struct h2 *h2)
{
    if (h2->problem)
        return h2->problem;
    return h2->settled ? NULL : SAID_NOTHING;
}

uint64_t h2_frames_received(const struct h2 *h2)
{
    return h2->frames;
}

void h2_abort(struct h2 *h2, const char *why)
{
    h2->going_away = true;
    /* The checker does not know that the first of a list has none before it: unlinking moves the head. */
    while (h2->calls)
        call_fail(h2, h2->calls, GRPC_UNAVAILABLE, !h2->calls->sent, why); /* NOLINT(clang-analyzer-unix.Malloc) */
}
