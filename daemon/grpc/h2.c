/* SPDX-License-Identifier: MIT */
#include "h2.h"

#include <errno.h>
#include <stdlib.h>

#include "h2_session.h"

static const char SAID_NOTHING[] = "no HTTP/2 was spoken: if it expects TLS, write exporter_endpoint with https://; "
                                   "else check that the port is gRPC's (OTLP: 4317)";

static int open_session(struct h2 *h2)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADERS_MAX_BYTES},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *options = NULL;
    int err = nghttp2_session_callbacks_new(&callbacks);
    if (!err)
        err = nghttp2_option_new(&options);
    if (!err) {
        h2_receive_callbacks(callbacks);
        h2_send_callbacks(callbacks);
        nghttp2_option_set_max_outbound_ack(options, H2_ACKS_MAX);
        err = nghttp2_session_client_new2(&h2->session, callbacks, h2, options);
    }
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(options);
    if (!err)
        err = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0]));
    return err ? -ENOMEM : 0;
}

int h2_new(const struct h2_settings *settings, const struct h2_callbacks *callbacks, void *user, struct h2 **out)
{
    struct h2 *h2 = calloc(1, sizeof(*h2));
    if (!h2)
        return -ENOMEM;
    h2->settings = settings;
    h2->callbacks = *callbacks;
    h2->user = user;
    int err = h2_send_fields_new(h2);
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
    for (struct h2_call *call = h2->calls, *next; call; call = next) {
        next = call->next;
        h2_call_free(call);
    }
    h2_output_done(&h2->out);
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

size_t h2_open_calls(const struct h2 *h2)
{
    return h2->call_count;
}

int h2_submit(struct h2 *h2, void *owner, const struct h2_request *request)
{
    return h2_ready(h2) ? h2_send_request(h2, owner, request) : -EAGAIN;
}

void h2_cancel(struct h2 *h2, void *owner)
{
    struct h2_call *call = h2->calls;
    while (call && call->owner != owner)
        call = call->next;
    if (!call)
        return;
    h2_call_reset(h2, call);
    h2_call_unlink(h2, call);
    h2_call_free(call);
}

int h2_ping(struct h2 *h2)
{
    return nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL) ? -ENOMEM : 0;
}

bool h2_pinged_too_often(const struct h2 *h2)
{
    return h2->pinged_too_often;
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
    /* The analyzer does not know that the first call of the list has no predecessor: unlinking it moves the head. */
    while (h2->calls)
        h2_call_fail(h2, h2->calls, GRPC_UNAVAILABLE, !h2->calls->sent, why); /* NOLINT(clang-analyzer-unix.Malloc) */
}
