/* SPDX-License-Identifier: MIT */
#include "h2_pair.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct h2_metadata METADATA[] = {{"authorization", "Bearer s3cret", true}, {"x-tenant", "one", false}};
static const struct h2_settings SETTINGS = {
    .scheme = "http",
    .authority = "collector:4317",
    .path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    .metadata = METADATA,
    .metadata_count = 2,
};

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    (void)user;
    struct outcome_seen *seen = call;
    seen->results++;
    seen->code = result->code;
    seen->unprocessed = result->unprocessed;
    seen->message_bytes = strlen(result->message);
    snprintf(seen->message, sizeof(seen->message), "%s", result->message);
    buf_append(&seen->body, result->body, result->body_bytes);
    buf_append(&seen->details, result->details, result->details_bytes);
}

static void on_goaway(void *user)
{
    struct pair *pair = user;
    pair->goaways++;
}

static void on_request(void *user, struct script_peer *peer, struct script_request *request)
{
    struct pair *pair = user;
    ck_assert_uint_lt(pair->request_count, REQUESTS_MAX);
    struct script_request *copy = &pair->requests[pair->request_count++];
    *copy = (struct script_request){.stream = request->stream, .step = request->step};
    buf_append(&copy->headers, request->headers.data, request->headers.len);
    buf_append(&copy->body, request->body.data, request->body.len);
    script_peer_act(peer, request->stream, &request->step);
}

static void on_reset(void *user, uint32_t error)
{
    (void)error;
    struct pair *pair = user;
    pair->resets++;
}

struct pair *pair_new(const struct script_limits *limits, const struct script_step *steps, size_t count)
{
    static const struct h2_callbacks client = {on_result, on_goaway};
    static const struct script_peer_callbacks server = {on_request, on_reset};
    struct pair *pair = calloc(1, sizeof(*pair));
    ck_assert_ptr_nonnull(pair);
    pair->script = (struct script){.steps = steps, .count = count};
    pair->chunk_max = SIZE_MAX;
    ck_assert_int_eq(h2_new(&SETTINGS, &client, pair, &pair->h2), 0);
    ck_assert_int_eq(script_peer_new(limits, &pair->script, &server, pair, &pair->peer), 0);
    return pair;
}

void pair_free(struct pair *pair)
{
    h2_free(pair->h2);
    script_peer_free(pair->peer);
    buf_done(&pair->to_peer);
    buf_done(&pair->to_client);
    for (size_t i = 0; i < CALLS_MAX; i++) {
        buf_done(&pair->calls[i].body);
        buf_done(&pair->calls[i].details);
    }
    for (size_t i = 0; i < pair->request_count; i++) {
        buf_done(&pair->requests[i].headers);
        buf_done(&pair->requests[i].body);
    }
    free(pair);
}

int pair_talk(struct pair *pair)
{
    for (;;) {
        pair->to_peer.len = pair->to_client.len = 0;
        int err = h2_send(pair->h2, &pair->to_peer, 256 << 10);
        for (size_t at = 0; at < pair->to_peer.len; at += pair->chunk_max) {
            size_t left = pair->to_peer.len - at;
            ck_assert_int_eq(script_peer_receive(pair->peer, pair->to_peer.data + at,
                                                 left < pair->chunk_max ? left : pair->chunk_max),
                             0);
            if (left < pair->chunk_max)
                break;
        }
        if (err)
            return err;
        ck_assert_int_eq(script_peer_send(pair->peer, &pair->to_client), 0);
        if (!pair->to_peer.len && !pair->to_client.len)
            return 0;
        for (size_t at = 0; at < pair->to_client.len; at += pair->chunk_max) {
            size_t left = pair->to_client.len - at;
            err = h2_receive(pair->h2, pair->to_client.data + at, left < pair->chunk_max ? left : pair->chunk_max);
            if (err)
                return err;
            if (left < pair->chunk_max)
                break;
        }
    }
}

struct iovec SMALL[1] = {{"hello", 5}};

int pair_submit(struct pair *pair, size_t call, struct iovec *parts, size_t count)
{
    const struct h2_request request = {.parts = parts, .part_count = count, .timeout_ms = 10000};
    return h2_submit(pair->h2, &pair->calls[call], &request);
}

struct pair *pair_one_call(struct script_step *step)
{
    struct pair *pair = pair_new(&(struct script_limits){0}, step, 1);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert(h2_ready(pair->h2));
    ck_assert_int_eq(pair_submit(pair, 0, SMALL, 1), 0);
    ck_assert_uint_eq(pair->calls[0].results, 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    return pair;
}

void pair_receive(struct pair *pair, const void *bytes, size_t count)
{
    ck_assert_int_eq(h2_receive(pair->h2, bytes, count), 0);
}
