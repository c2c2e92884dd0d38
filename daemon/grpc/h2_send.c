/* SPDX-License-Identifier: MIT
 *
 * What goes to the peer: requests, framed by nghttp2's callbacks, as bytes that h2_output.h collects.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h2_session.h"

enum {
    DATA_FRAME_MAX_BYTES = 64 << 10,
    FIXED_FIELDS = 10,
    /* Indices of the fields that differ from request to request. */
    TIMEOUT_FIELD = 4, /* right after the pseudo-headers */
    ENCODING_FIELD = 7,
};

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2 *h2 = user;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        struct h2_call *call = h2_call_of(session, frame->hd.stream_id);
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
    struct h2_call *call = frame->hd.type == NGHTTP2_HEADERS ? h2->calls : NULL;
    while (call && call->stream != frame->hd.stream_id)
        call = call->next;
    if (call)
        h2_call_fail(h2, call, GRPC_UNAVAILABLE, true, nghttp2_strerror(error));
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

/* Announces the next DATA frame's length; write_data then puts it into the output. */
static ssize_t read_data(nghttp2_session *session, int32_t stream, uint8_t *data, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    (void)data;
    (void)source;
    (void)user;
    const struct h2_call *call = h2_call_of(session, stream);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t bytes = call->remaining < room ? call->remaining : room;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (bytes == call->remaining)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)bytes;
}

/* The next bytes of the request, from its own parts. */
static int put_request(struct h2_call *call, struct h2_output *out, size_t bytes)
{
    size_t prefix = GRPC_PREFIX_BYTES - call->prefix_offset;
    if (prefix > bytes)
        prefix = bytes;
    int err = h2_output_copy(out, call->prefix + call->prefix_offset, prefix);
    call->remaining -= bytes;
    call->prefix_offset += prefix;
    for (bytes -= prefix; bytes && !err;) {
        const struct iovec *part = &call->parts[call->part];
        size_t left = part->iov_len - call->part_offset;
        size_t now = left < bytes ? left : bytes;
        if (now)
            err = h2_output_borrow(out, (const uint8_t *)part->iov_base + call->part_offset, now);
        bytes -= now;
        call->part_offset += now;
        if (now == left) {
            call->part++;
            call->part_offset = 0;
        }
    }
    return err;
}

static int write_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header, size_t bytes,
                      nghttp2_data_source *source, void *user)
{
    (void)source;
    struct h2 *h2 = user;
    struct h2_call *call = h2_call_of(session, frame->hd.stream_id);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    h2->out_err = h2_output_copy(&h2->out, header, H2_FRAME_HEADER_BYTES);
    if (!h2->out_err)
        h2->out_err = put_request(call, &h2->out, bytes);
    if (h2->out_err)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return h2->out.bytes < h2->out_max ? 0 : NGHTTP2_ERR_PAUSE;
}

/* ---- requests ---- */

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

int h2_send_fields_new(struct h2 *h2)
{
    const struct h2_settings *settings = h2->settings;
    h2->fields = calloc(FIXED_FIELDS + settings->metadata_count, sizeof(*h2->fields));
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
        [ENCODING_FIELD] = field("grpc-encoding", "", NGHTTP2_NV_FLAG_NONE),
        field("grpc-accept-encoding", "identity", NGHTTP2_NV_FLAG_NONE),
        field("user-agent", "aistrace/" AISTRACE_BUILD_VERSION " OTel-OTLP-Exporter-C/" AISTRACE_BUILD_VERSION,
              NGHTTP2_NV_FLAG_NONE),
    };
    memcpy(h2->fields, fixed, sizeof(fixed));
    h2->field_count = FIXED_FIELDS;
    for (size_t i = 0; i < settings->metadata_count; i++) {
        const struct h2_metadata *m = &settings->metadata[i];
        uint8_t flags = m->secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
        h2->fields[h2->field_count++] = field(m->name, m->value, flags);
    }
    return 0;
}

void h2_send_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, data_frame_bytes);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, write_data);
}

static void set_value(nghttp2_nv *field, const char *value)
{
    field->value = (uint8_t *)value;
    field->valuelen = strlen(value);
}

int h2_send_request(struct h2 *h2, void *owner, const struct h2_request *request)
{
    size_t bytes = 0;
    for (size_t i = 0; i < request->part_count; i++)
        bytes += request->parts[i].iov_len;
    if (bytes > UINT32_MAX)
        return -EMSGSIZE;
    struct h2_call *call = calloc(1, sizeof(*call));
    if (!call)
        return -ENOMEM;
    call->owner = owner;
    call->parts = request->parts;
    call->remaining = GRPC_PREFIX_BYTES + bytes;
    grpc_put_prefix(call->prefix, request->gzipped, (uint32_t)bytes);

    char timeout[GRPC_TIMEOUT_MAX];
    grpc_format_timeout(request->timeout_ms, timeout);
    set_value(&h2->fields[TIMEOUT_FIELD], timeout);
    set_value(&h2->fields[ENCODING_FIELD], request->gzipped ? "gzip" : "identity");
    const nghttp2_data_provider provider = {.read_callback = read_data};
    int32_t stream = nghttp2_submit_request(h2->session, NULL, h2->fields, h2->field_count, &provider, call);
    if (stream < 0) {
        h2_call_free(call);
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

int h2_send_parts(struct h2 *h2, size_t max, const struct h2_output **out)
{
    struct h2_output *output = &h2->out;
    *out = output;
    h2_output_clear(output);
    h2->out_max = max;
    h2->out_err = 0;
    while (output->bytes < max) {
        const uint8_t *data;
        ssize_t bytes = nghttp2_session_mem_send(h2->session, &data);
        if (bytes == 0)
            break;
        if (bytes > 0)
            h2->out_err = h2_output_copy(output, data, (size_t)bytes);
        if (h2->out_err) {
            /* nghttp2 counts these bytes as sent: what follows would not make sense to the peer. */
            h2->problem = "out of memory";
            h2_output_clear(output);
            break;
        }
        if (bytes < 0) {
            h2->problem = nghttp2_strerror((int)bytes);
            break;
        }
    }
    h2_output_finish(output);
    return h2->problem ? -EPROTO : 0;
}

int h2_send(struct h2 *h2, struct buf *out, size_t max)
{
    const struct h2_output *output;
    int err = h2_send_parts(h2, max, &output);
    int out_err = h2_output_gather(output, 0, out);
    if (out_err)
        h2->problem = "out of memory";
    return out_err ? -EPROTO : err;
}
