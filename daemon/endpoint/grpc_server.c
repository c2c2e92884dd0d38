/* SPDX-License-Identifier: MIT */
#include "grpc_server.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_TEXT_MAX = 256 };
enum { STREAM_WINDOW_BYTES = GRPC_SERVER_MAX_MESSAGE_BYTES + 65536, CONNECTION_WINDOW_BYTES = 16 << 20 };
enum { MAX_FRAME_BYTES = 128 << 10 };

struct call {
    struct call *prev, *next;
    int32_t stream_id;
    bool is_post, is_path, is_grpc, answered;
    size_t header_bytes;
    uint8_t prefix[GRPC_PREFIX_BYTES];
    size_t prefix_len;
    size_t expected; /* valid once the prefix is complete */
    struct buf message;
    struct buf out;
    size_t out_sent;
};

struct grpc_server {
    struct grpc_server_settings settings;
    nghttp2_session *session;
    struct call *calls;
};

#define TEXT(name) ((uint8_t *)(uintptr_t)(name))

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = TEXT(name), .namelen = strlen(name), .value = TEXT(value), .valuelen = strlen(value)};
}

static void percent_encode(char *out, size_t capacity, const char *text)
{
    size_t len = 0;
    for (; *text && len + 4 < capacity; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte >= 0x20 && byte < 0x7f && byte != '%')
            out[len++] = *text;
        else
            len += (size_t)snprintf(out + len, capacity - len, "%%%02X", byte);
    }
    out[len] = '\0';
}

/* ---- answers ---- */

static void forget_message(struct grpc_server *server, struct call *call)
{
    *server->settings.buffered -= call->message.len;
    buf_done(&call->message);
}

static int answer_http(struct grpc_server *server, struct call *call, const char *status)
{
    nghttp2_nv headers[] = {header(":status", status)};
    call->answered = true;
    forget_message(server, call);
    return nghttp2_submit_response(server->session, call->stream_id, headers, 1, NULL);
}

static int answer_error(struct grpc_server *server, struct call *call, enum grpc_code code, const char *message)
{
    char number[8], text[MESSAGE_TEXT_MAX];
    snprintf(number, sizeof(number), "%d", (int)code);
    percent_encode(text, sizeof(text), message);
    nghttp2_nv headers[] = {
        header(":status", "200"),     header("content-type", "application/grpc"), header("grpc-status", number),
        header("grpc-message", text), header("grpc-accept-encoding", "identity"),
    };
    call->answered = true;
    forget_message(server, call);
    return nghttp2_submit_response(server->session, call->stream_id, headers, sizeof(headers) / sizeof(*headers), NULL);
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *data, size_t bytes, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    struct call *call = source->ptr;
    size_t left = call->out.len - call->out_sent, take = left < bytes ? left : bytes;
    (void)user;
    memcpy(data, call->out.data + call->out_sent, take);
    call->out_sent += take;
    if (call->out_sent == call->out.len) {
        nghttp2_nv trailers[] = {header("grpc-status", "0")};
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, stream_id, trailers, 1) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return (ssize_t)take;
}

static int answer_ok(struct grpc_server *server, struct call *call, const struct buf *body)
{
    uint8_t prefix[GRPC_PREFIX_BYTES];
    grpc_put_prefix(prefix, false, (uint32_t)body->len);
    nghttp2_nv headers[] = {
        header(":status", "200"),
        header("content-type", "application/grpc"),
        header("grpc-accept-encoding", "identity"),
    };
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_body};
    if (buf_append(&call->out, prefix, sizeof(prefix)) || buf_append(&call->out, body->data, body->len))
        return answer_error(server, call, GRPC_UNAVAILABLE, "out of memory");
    call->answered = true;
    forget_message(server, call);
    return nghttp2_submit_response(server->session, call->stream_id, headers, sizeof(headers) / sizeof(*headers),
                                   &provider);
}

static int finish_call(struct grpc_server *server, struct call *call)
{
    if (call->answered)
        return 0;
    if (call->prefix_len < GRPC_PREFIX_BYTES || call->message.len < call->expected)
        return answer_error(server, call, GRPC_INVALID_ARGUMENT, "the request ended before its message did");
    struct grpc_server_answer answer = {.code = GRPC_OK, .message = ""};
    server->settings.on_call_cb(server->settings.user, call->message.data, call->message.len, &answer);
    int err = answer.code == GRPC_OK ? answer_ok(server, call, &answer.body)
                                     : answer_error(server, call, answer.code, answer.message);
    buf_done(&answer.body);
    return err;
}

/* ---- requests ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct grpc_server *server = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct call *call = calloc(1, sizeof(*call));
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    call->stream_id = frame->hd.stream_id;
    if (nghttp2_session_set_stream_user_data(session, call->stream_id, call) != 0) {
        free(call);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    call->next = server->calls;
    if (call->next)
        call->next->prev = call;
    server->calls = call;
    return 0;
}

static bool equals(const uint8_t *text, size_t bytes, const char *expected)
{
    return bytes == strlen(expected) && memcmp(text, expected, bytes) == 0;
}

static bool is_grpc_type(const uint8_t *value, size_t bytes)
{
    static const char type[] = "application/grpc";
    size_t len = sizeof(type) - 1;
    return bytes >= len && memcmp(value, type, len) == 0 &&
           (bytes == len || value[len] == ';' || equals(value + len, bytes - len, "+proto"));
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                     const uint8_t *value, size_t value_bytes, uint8_t flags, void *user)
{
    struct grpc_server *server = user;
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    if (!call)
        return 0;
    call->header_bytes += name_bytes + value_bytes;
    if (call->header_bytes > GRPC_SERVER_MAX_HEADER_BYTES)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    if (equals(name, name_bytes, ":method"))
        call->is_post = equals(value, value_bytes, "POST");
    else if (equals(name, name_bytes, ":path"))
        call->is_path = equals(value, value_bytes, server->settings.path);
    else if (equals(name, name_bytes, "content-type"))
        call->is_grpc = is_grpc_type(value, value_bytes);
    return 0;
}

static int check_headers(struct grpc_server *server, struct call *call)
{
    if (call->answered)
        return 0;
    if (!call->is_post)
        return answer_http(server, call, "405");
    if (!call->is_grpc)
        return answer_http(server, call, "415");
    if (!call->is_path)
        return answer_error(server, call, GRPC_UNIMPLEMENTED, "no such method here");
    return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct grpc_server *server = user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!call)
        return 0;
    int err = frame->hd.type == NGHTTP2_HEADERS ? check_headers(server, call) : 0;
    if (!err && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        err = finish_call(server, call);
    return !err || err == NGHTTP2_ERR_STREAM_CLOSED ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* The prefix is complete; a call that cannot be taken is answered. -> 0 or nghttp2's error. */
static int begin_message(struct grpc_server *server, struct call *call)
{
    uint8_t flags = call->prefix[0];
    call->expected = grpc_prefix_length(call->prefix);
    if (flags & 1)
        return answer_error(server, call, GRPC_UNIMPLEMENTED, "compressed messages are not understood here");
    if (flags != 0)
        return answer_error(server, call, GRPC_INVALID_ARGUMENT, "the message's flags are unknown");
    if (call->expected > GRPC_SERVER_MAX_MESSAGE_BYTES)
        return answer_error(server, call, GRPC_RESOURCE_EXHAUSTED, "the message is larger than 4 MiB");
    if (buf_reserve(&call->message, call->expected))
        return answer_error(server, call, GRPC_UNAVAILABLE, "out of memory");
    return 0;
}

static int append_data(struct grpc_server *server, struct call *call, const uint8_t *data, size_t bytes)
{
    while (bytes > 0 && call->prefix_len < GRPC_PREFIX_BYTES) {
        call->prefix[call->prefix_len++] = *data++;
        bytes--;
        if (call->prefix_len == GRPC_PREFIX_BYTES) {
            int err = begin_message(server, call);
            if (err || call->answered)
                return err;
        }
    }
    if (bytes > call->expected - call->message.len)
        return answer_error(server, call, GRPC_INVALID_ARGUMENT, "the request holds more than one message");
    if (*server->settings.buffered + bytes > server->settings.max_buffered)
        return answer_error(server, call, GRPC_UNAVAILABLE, "too many unfinished requests");
    if (buf_append(&call->message, data, bytes))
        return answer_error(server, call, GRPC_UNAVAILABLE, "out of memory");
    *server->settings.buffered += bytes;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t bytes,
                   void *user)
{
    struct grpc_server *server = user;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)flags;
    if (!call || call->answered || bytes == 0)
        return 0;
    return append_data(server, call, data, bytes) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* A call is answered before its request has ended: resets the stream, so that the client stops sending. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static void free_call(struct grpc_server *server, struct call *call)
{
    *(call->prev ? &call->prev->next : &server->calls) = call->next;
    if (call->next)
        call->next->prev = call->prev;
    forget_message(server, call);
    buf_done(&call->out);
    free(call);
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, void *user)
{
    struct call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)error;
    if (call)
        free_call(user, call);
    return 0;
}

/* ---- the connection ---- */

static int new_session(struct grpc_server *server)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return -ENOMEM;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    int err = nghttp2_session_server_new(&server->session, callbacks, server);
    nghttp2_session_callbacks_del(callbacks);
    return err ? -ENOMEM : 0;
}

int grpc_server_new(const struct grpc_server_settings *settings, struct grpc_server **out)
{
    static const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, GRPC_SERVER_MAX_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, MAX_FRAME_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_SERVER_MAX_HEADER_BYTES},
    };
    struct grpc_server *server = calloc(1, sizeof(*server));
    if (!server)
        return -ENOMEM;
    server->settings = *settings;
    if (new_session(server) ||
        nghttp2_submit_settings(server->session, NGHTTP2_FLAG_NONE, entries, sizeof(entries) / sizeof(*entries)) != 0 ||
        nghttp2_session_set_local_window_size(server->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW_BYTES) != 0) {
        grpc_server_free(server);
        return -ENOMEM;
    }
    *out = server;
    return 0;
}

void grpc_server_free(struct grpc_server *server)
{
    if (!server)
        return;
    while (server->calls)
        free_call(server, server->calls); /* NOLINT(clang-analyzer-unix.Malloc): freeing the head moves the head */
    nghttp2_session_del(server->session);
    free(server);
}

int grpc_server_receive(struct grpc_server *server, const uint8_t *data, size_t bytes)
{
    return nghttp2_session_mem_recv(server->session, data, bytes) < 0 ? -EPROTO : 0;
}

int grpc_server_send(struct grpc_server *server, struct buf *out, size_t max)
{
    for (size_t start = out->len; out->len - start < max;) {
        const uint8_t *data;
        ssize_t bytes = nghttp2_session_mem_send(server->session, &data);
        if (bytes == 0)
            return 0;
        if (bytes < 0)
            return bytes == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
        int err = buf_append(out, data, (size_t)bytes);
        if (err)
            return err;
    }
    return 0;
}

void grpc_server_shutdown(struct grpc_server *server)
{
    nghttp2_session_terminate_session(server->session, NGHTTP2_NO_ERROR);
}

bool grpc_server_done(const struct grpc_server *server)
{
    return !nghttp2_session_want_read(server->session) && !nghttp2_session_want_write(server->session);
}
