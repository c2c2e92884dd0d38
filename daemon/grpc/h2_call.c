/* SPDX-License-Identifier: MIT
 *
 * One call: its life, and what the server says about it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encoding.h"
#include "h2_session.h"

void h2_call_free(struct h2_call *call)
{
    buf_done(&call->message);
    buf_done(&call->details);
    buf_done(&call->body);
    free(call);
}

void h2_call_unlink(struct h2 *h2, struct h2_call *call)
{
    if (call->previous)
        call->previous->next = call->next;
    else
        h2->calls = call->next;
    if (call->next)
        call->next->previous = call->previous;
    h2->call_count--;
    nghttp2_session_set_stream_user_data(h2->session, call->stream, NULL);
}

static void end(struct h2 *h2, struct h2_call *call, const struct grpc_result *result)
{
    h2_call_unlink(h2, call);
    h2->callbacks.on_result_cb(h2->user, call->owner, result);
    h2_call_free(call);
}

void h2_call_fail(struct h2 *h2, struct h2_call *call, enum grpc_code code, bool unprocessed, const char *message)
{
    struct grpc_result result = {.code = code, .unprocessed = unprocessed, .message = message};
    end(h2, call, &result);
}

void h2_call_reset(struct h2 *h2, const struct h2_call *call)
{
    nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
}

void h2_call_exhaust(struct h2 *h2, struct h2_call *call, const char *message)
{
    h2_call_reset(h2, call);
    h2_call_fail(h2, call, GRPC_RESOURCE_EXHAUSTED, false, message);
}

/* The message within the body's framing. -> false when it is not one whole uncompressed message. */
static bool unframe(const struct buf *body, const uint8_t **message, size_t *bytes)
{
    if (body->len < GRPC_PREFIX_BYTES || body->data[0] != 0)
        return false;
    size_t length = grpc_prefix_length(body->data);
    if (length != body->len - GRPC_PREFIX_BYTES)
        return false;
    *message = body->data + GRPC_PREFIX_BYTES;
    *bytes = length;
    return true;
}

void h2_call_answered(struct h2 *h2, struct h2_call *call)
{
    struct grpc_result result = {.code = call->code, .message = ""};
    char text[64];
    if (!call->has_status) {
        result.code = grpc_code_from_http(call->http_status);
        snprintf(text, sizeof(text), "HTTP status %d without grpc-status", call->http_status);
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

    /* Trailers may come before the request is sent to its end: then the rest is not needed. */
    if (call->remaining)
        h2_call_reset(h2, call);
    end(h2, call, &result);
}

struct h2_call *h2_call_of(nghttp2_session *session, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(session, stream);
}

static bool name_is(const uint8_t *name, size_t bytes, const char *wanted)
{
    return bytes == strlen(wanted) && memcmp(name, wanted, bytes) == 0;
}

void h2_call_forget_fields(struct h2_call *call)
{
    call->has_status = false;
    call->message.len = call->details.len = 0;
}

int h2_call_keep_field(struct h2_call *call, const uint8_t *name, size_t name_bytes, const uint8_t *value,
                       size_t value_bytes)
{
    if (name_is(name, name_bytes, ":status")) {
        /* nghttp2 accepts only three digits. */
        call->http_status = value_bytes == 3 ? (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0') : 0;
    } else if (name_is(name, name_bytes, "grpc-status")) {
        call->code = grpc_code_parse((const char *)value, value_bytes);
        call->has_status = true;
    } else if (name_is(name, name_bytes, "grpc-message")) {
        call->message.len = 0;
        size_t kept = value_bytes < H2_MESSAGE_MAX_BYTES ? value_bytes : H2_MESSAGE_MAX_BYTES;
        if (buf_append(&call->message, value, kept) || buf_append(&call->message, "", 1))
            return -ENOMEM;
        call->message.len = percent_decode((char *)call->message.data, (char *)call->message.data, kept, NULL);
        call->message.data[call->message.len] = '\0';
    } else if (name_is(name, name_bytes, "grpc-status-details-bin")) {
        call->details.len = 0;
        if (value_bytes > H2_DETAILS_MAX_BYTES)
            return 0;
        if (buf_append(&call->details, value, value_bytes))
            return -ENOMEM;
        if (grpc_base64_decode(call->details.data, value_bytes, &call->details.len))
            call->details.len = 0;
    }
    return 0;
}
