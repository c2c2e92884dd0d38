/* SPDX-License-Identifier: MIT */
#include "script_peer.h"

#include <errno.h>
#include <inttypes.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 4, EXTRA_HEADERS_MAX = 1024, CONNECTION_WINDOW_BYTES = 65535 };

/* What is being sent to one stream. */
struct answer {
    struct buf body;
    size_t sent;
    char status[16];
    char *message;
    char *details;
};

struct stream {
    struct script_request request;
    struct answer answer;
    struct stream *next;
};

struct script_peer {
    nghttp2_session *session;
    struct script *script;
    struct script_peer_callbacks callbacks;
    void *user;
    struct stream *streams;
    int32_t last_done;
    bool closed;
};

struct script_step script_next(struct script *script)
{
    if (script->at >= script->count)
        return (struct script_step){0};
    const struct script_step *step = &script->steps[script->at];
    int times = step->times ? step->times : 1;
    if (times != SCRIPT_FOR_EVER && ++script->used >= times) {
        script->used = 0;
        script->at++;
    }
    return *step;
}

static struct stream *find(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static void stream_free(struct script_peer *peer, struct stream *stream)
{
    struct stream **at = &peer->streams;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    buf_done(&stream->request.headers);
    buf_done(&stream->request.body);
    buf_done(&stream->answer.body);
    free(stream->answer.message);
    free(stream->answer.details);
    free(stream);
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)name, .namelen = strlen(name), .value = (uint8_t *)value, .valuelen = strlen(value)};
}

static size_t status_fields(const struct answer *answer, nghttp2_nv *fields)
{
    size_t count = 0;
    if (answer->status[0])
        fields[count++] = field("grpc-status", answer->status);
    if (answer->message)
        fields[count++] = field("grpc-message", answer->message);
    if (answer->details)
        fields[count++] = field("grpc-status-details-bin", answer->details);
    return count;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *data, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)user;
    struct answer *answer = source->ptr;
    size_t left = answer->body.len - answer->sent;
    size_t bytes = left < room ? left : room;
    if (bytes)
        memcpy(data, answer->body.data + answer->sent, bytes);
    answer->sent += bytes;
    if (answer->sent == answer->body.len) {
        nghttp2_nv fields[FIELDS_MAX];
        size_t count = status_fields(answer, fields);
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (count) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(session, id, fields, count);
        }
    }
    return (ssize_t)bytes;
}

static void put_varint(struct buf *out, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        buf_append(out, &byte, 1);
        value >>= 7;
    } while (value);
}

static void put_response(struct buf *out, const struct script_step *step)
{
    struct buf partial = {0};
    struct buf message = {0};
    if (step->rejected) {
        buf_append(&partial, "\x08", 1);
        put_varint(&partial, (uint64_t)step->rejected);
    }
    if (step->rejected_message) {
        buf_append(&partial, "\x12", 1);
        put_varint(&partial, strlen(step->rejected_message));
        buf_append(&partial, step->rejected_message, strlen(step->rejected_message));
    }
    if (partial.len) {
        buf_append(&message, "\x0a", 1);
        put_varint(&message, partial.len);
        buf_append(&message, partial.data, partial.len);
    }
    const uint8_t prefix[5] = {0, (uint8_t)(message.len >> 24), (uint8_t)(message.len >> 16),
                               (uint8_t)(message.len >> 8), (uint8_t)message.len};
    buf_append(out, prefix, sizeof(prefix));
    buf_append(out, message.data, message.len);
    buf_done(&partial);
    buf_done(&message);
}

static void put_body(struct buf *out, const struct script_step *step)
{
    if (step->body_zeros) {
        if (buf_reserve(out, step->body_zeros) == 0) {
            memset(out->data, 0, step->body_zeros);
            out->len = step->body_zeros;
        }
    } else if (step->body) {
        buf_append(out, step->body, step->body_bytes);
    } else if (step->status == 0) {
        put_response(out, step);
    }
}

static void respond(struct script_peer *peer, struct stream *stream, const struct script_step *step)
{
    struct answer *answer = &stream->answer;
    char http_status[16];
    snprintf(http_status, sizeof(http_status), "%d", step->http_status ? step->http_status : 200);
    if (step->status != SCRIPT_NO_STATUS)
        snprintf(answer->status, sizeof(answer->status), "%d", step->status);
    answer->message = step->message ? strdup(step->message) : NULL;
    answer->details = step->details ? strdup(step->details) : NULL;

    size_t extra = step->extra_headers < EXTRA_HEADERS_MAX ? step->extra_headers : EXTRA_HEADERS_MAX;
    nghttp2_nv fields[2 + EXTRA_HEADERS_MAX + FIELDS_MAX];
    size_t count = 0;
    fields[count++] = field(":status", http_status);
    fields[count++] = field("content-type", "application/grpc");
    while (extra--)
        fields[count++] = field("x-extra", "nothing of interest");
    if (step->trailers_only) {
        count += status_fields(answer, fields + count);
        nghttp2_submit_response(peer->session, stream->request.stream, fields, count, NULL);
        return;
    }
    put_body(&answer->body, step);
    const nghttp2_data_provider provider = {.source.ptr = answer, .read_callback = read_body};
    nghttp2_submit_response(peer->session, stream->request.stream, fields, count, &provider);
}

void script_peer_act(struct script_peer *peer, int32_t id, const struct script_step *step)
{
    struct stream *stream = find(peer->session, id);
    if (!stream)
        return;
    switch (step->kind) {
    case SCRIPT_ANSWER:
        respond(peer, stream, step);
        break;
    case SCRIPT_HOLD:
        break;
    case SCRIPT_RESET:
        nghttp2_submit_rst_stream(peer->session, 0, id, step->error);
        break;
    case SCRIPT_GOAWAY_BEFORE:
        script_peer_goaway(peer, id - 2);
        break;
    case SCRIPT_GOAWAY_AFTER:
        script_peer_goaway(peer, id);
        respond(peer, stream, step);
        break;
    case SCRIPT_CLOSE:
        peer->closed = true;
        break;
    }
}

static void request_there(struct script_peer *peer, struct stream *stream)
{
    if (stream->request.stream > peer->last_done)
        peer->last_done = stream->request.stream;
    peer->callbacks.on_request_cb(peer->user, peer, &stream->request);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct script_peer *peer = user;
    struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    stream->request.stream = frame->hd.stream_id;
    stream->next = peer->streams;
    peer->streams = stream;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                     const uint8_t *value, size_t value_bytes, uint8_t flags, void *user)
{
    (void)user;
    struct stream *stream = find(session, frame->hd.stream_id);
    if (stream)
        buf_printf(&stream->request.headers, "%.*s: %.*s%s\n", (int)name_bytes, (const char *)name, (int)value_bytes,
                   (const char *)value, flags & NGHTTP2_NV_FLAG_NO_INDEX ? " (never indexed)" : "");
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t bytes, void *user)
{
    (void)flags;
    (void)user;
    struct stream *stream = find(session, id);
    return stream && buf_append(&stream->request.body, data, bytes) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct script_peer *peer = user;
    struct stream *stream = find(session, frame->hd.stream_id);
    if (!stream || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    struct script_request *request = &stream->request;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        request->step = script_next(peer->script);
        buf_append(&request->headers, "", 1);
        if (request->step.early) {
            request->early_done = true;
            request_there(peer, stream);
        }
    }
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM && !request->early_done)
        request_there(peer, stream);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct script_peer *peer = user;
    struct stream *stream = find(session, id);
    if (stream) {
        nghttp2_session_set_stream_user_data(session, id, NULL);
        stream_free(peer, stream);
    }
    if (error && peer->callbacks.on_reset_cb)
        peer->callbacks.on_reset_cb(peer->user, error);
    return 0;
}

void script_peer_limit(struct script_peer *peer, const struct script_limits *limits)
{
    nghttp2_settings_entry settings[3];
    const uint32_t none = (uint32_t)SCRIPT_NO_STREAMS;
    size_t count = 0;
    if (limits->max_concurrent_streams)
        settings[count++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                     limits->max_concurrent_streams + (limits->max_concurrent_streams == none)};
    if (limits->initial_window_bytes)
        settings[count++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits->initial_window_bytes};
    if (limits->initial_window_bytes > CONNECTION_WINDOW_BYTES) /* no setting says this one */
        nghttp2_session_set_local_window_size(peer->session, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)limits->initial_window_bytes);
    if (limits->max_frame_bytes)
        settings[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_FRAME_SIZE, limits->max_frame_bytes};
    nghttp2_submit_settings(peer->session, 0, settings, count);
}

void script_peer_goaway(struct script_peer *peer, int32_t last_stream)
{
    nghttp2_submit_goaway(peer->session, 0, last_stream > 0 ? last_stream : 0, NGHTTP2_NO_ERROR, NULL, 0);
}

int script_peer_new(const struct script_limits *limits, struct script *script,
                    const struct script_peer_callbacks *callbacks, void *user, struct script_peer **out)
{
    nghttp2_session_callbacks *table;
    struct script_peer *peer = calloc(1, sizeof(*peer));
    if (!peer || nghttp2_session_callbacks_new(&table)) {
        free(peer);
        return -ENOMEM;
    }
    peer->script = script;
    peer->callbacks = *callbacks;
    peer->user = user;
    nghttp2_session_callbacks_set_on_begin_headers_callback(table, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(table, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(table, on_frame_recv);
    nghttp2_session_callbacks_set_on_stream_close_callback(table, on_stream_close);
    int err = nghttp2_session_server_new(&peer->session, table, peer);
    nghttp2_session_callbacks_del(table);
    if (err) {
        free(peer);
        return -ENOMEM;
    }
    script_peer_limit(peer, limits);
    *out = peer;
    return 0;
}

void script_peer_free(struct script_peer *peer)
{
    if (!peer)
        return;
    while (peer->streams)
        stream_free(peer, peer->streams);
    nghttp2_session_del(peer->session);
    free(peer);
}

int script_peer_receive(struct script_peer *peer, const uint8_t *data, size_t bytes)
{
    return nghttp2_session_mem_recv(peer->session, data, bytes) < 0 ? -EPROTO : 0;
}

int script_peer_send(struct script_peer *peer, struct buf *out)
{
    for (;;) {
        const uint8_t *data;
        ssize_t bytes = nghttp2_session_mem_send(peer->session, &data);
        if (bytes <= 0)
            return bytes < 0 ? -EPROTO : 0;
        int err = buf_append(out, data, (size_t)bytes);
        if (err)
            return err;
    }
}

int32_t script_peer_last_done(const struct script_peer *peer)
{
    return peer->last_done;
}

bool script_peer_closed(const struct script_peer *peer)
{
    return peer->closed;
}
