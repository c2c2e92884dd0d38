/* SPDX-License-Identifier: MIT
 *
 * The client's HTTP/2 against a scripted peer, in memory: what one sends the other receives, nothing else happens.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "h2.h"
#include "support/script_peer.h"

enum { CALLS_MAX = 64, REQUESTS_MAX = 64 };

struct outcome_seen {
    unsigned results;
    enum grpc_code code;
    bool unprocessed;
    char message[256];
    struct buf body;
    struct buf details;
};

struct pair {
    struct h2 *h2;
    struct script_peer *peer;
    struct script script;
    struct buf to_peer, to_client;
    struct outcome_seen calls[CALLS_MAX];
    struct script_request requests[REQUESTS_MAX]; /* copies */
    size_t request_count;
    unsigned goaways, resets;
    size_t chunk_max;
};

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
    snprintf(seen->message, sizeof seen->message, "%s", result->message);
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

static struct pair *pair_new(const struct script_limits *limits, const struct script_step *steps, size_t count)
{
    static const struct h2_callbacks client = {on_result, on_goaway};
    static const struct script_peer_callbacks server = {on_request, on_reset};
    struct pair *pair = calloc(1, sizeof *pair);
    ck_assert_ptr_nonnull(pair);
    pair->script = (struct script){.steps = steps, .count = count};
    pair->chunk_max = SIZE_MAX;
    ck_assert_int_eq(h2_new(&SETTINGS, &client, pair, &pair->h2), 0);
    ck_assert_int_eq(script_peer_new(limits, &pair->script, &server, pair, &pair->peer), 0);
    return pair;
}

static void pair_free(struct pair *pair)
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

/* Moves bytes both ways until both are silent, in chunks of at most chunk_max. -> the first error of the client */
static int talk(struct pair *pair)
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

static struct iovec SMALL[] = {{"hello", 5}};

static int submit(struct pair *pair, size_t call, struct iovec *parts, size_t count)
{
    const struct h2_request request = {.parts = parts, .part_count = count, .timeout_ms = 10000};
    return h2_submit(pair->h2, &pair->calls[call], &request);
}

/* One call of a small message through a script of one step. */
static struct pair *one_call(struct script_step *step)
{
    struct pair *pair = pair_new(&(struct script_limits){0}, step, 1);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert(h2_ready(pair->h2));
    ck_assert_int_eq(submit(pair, 0, SMALL, 1), 0);
    ck_assert_uint_eq(pair->calls[0].results, 0);
    ck_assert_int_eq(talk(pair), 0);
    return pair;
}

START_TEST(a_call_carries_its_headers_and_message)
{
    struct script_step step = {.rejected = 3, .rejected_message = "no"};
    struct pair *pair = one_call(&step);
    ck_assert_uint_eq(pair->request_count, 1);
    ck_assert_str_eq(
        (char *)pair->requests[0].headers.data,
        ":method: POST\n:scheme: http\n:path: /opentelemetry.proto.collector.trace.v1.TraceService/Export\n"
        ":authority: collector:4317\ngrpc-timeout: 10000m\nte: trailers\n"
        "content-type: application/grpc\ngrpc-encoding: identity\ngrpc-accept-encoding: identity\n"
        "user-agent: aistrace/" AISTRACE_BUILD_VERSION " OTel-OTLP-Exporter-C/" AISTRACE_BUILD_VERSION
        "\nauthorization: Bearer s3cret (never indexed)\nx-tenant: one\n");
    ck_assert_uint_eq(pair->requests[0].body.len, 10);
    ck_assert_mem_eq(pair->requests[0].body.data, "\0\0\0\0\5hello", 10);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_OK);
    ck_assert_uint_eq(pair->calls[0].body.len, 8);
    ck_assert_mem_eq(pair->calls[0].body.data, "\x0a\x06\x08\x03\x12\x02no", 8);
    ck_assert_uint_eq(pair->resets, 0);
    pair_free(pair);
}
END_TEST

START_TEST(a_gzipped_message_is_marked_as_such)
{
    const struct h2_request request = {.parts = SMALL, .part_count = 1, .gzipped = true, .timeout_ms = 10000};
    struct pair *pair = pair_new(&(struct script_limits){0}, NULL, 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(h2_submit(pair->h2, &pair->calls[0], &request), 0);
    ck_assert_int_eq(submit(pair, 1, SMALL, 1), 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_ptr_nonnull(strstr((char *)pair->requests[0].headers.data, "\ngrpc-encoding: gzip\n"));
    ck_assert_mem_eq(pair->requests[0].body.data, "\1\0\0\0\5hello", 10);
    ck_assert_ptr_nonnull(strstr((char *)pair->requests[1].headers.data, "\ngrpc-encoding: identity\n"));
    ck_assert_mem_eq(pair->requests[1].body.data, "\0\0\0\0\5hello", 10);
    pair_free(pair);
}
END_TEST

START_TEST(nothing_is_submitted_before_the_servers_settings)
{
    struct pair *pair = pair_new(&(struct script_limits){0}, NULL, 0);
    ck_assert(!h2_ready(pair->h2));
    ck_assert_int_eq(submit(pair, 0, SMALL, 1), -EAGAIN);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert(h2_ready(pair->h2));
    pair_free(pair);
}
END_TEST

/* Parts of awkward sizes, some empty, filled with a pattern. */
static size_t make_parts(struct iovec *parts, size_t count, uint8_t *bytes, size_t total)
{
    size_t at = 0;
    for (size_t i = 0; i < total; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    for (size_t i = 0; i < count; i++) {
        size_t size = i + 1 == count ? total - at : (i % 3 == 1 ? 0 : total / count / (i % 2 + 1));
        parts[i] = (struct iovec){bytes + at, size};
        at += size;
    }
    return at;
}

static const struct script_limits WINDOWS[] = {
    {0},
    {.initial_window_bytes = 1},
    {.initial_window_bytes = 1000},
    {.initial_window_bytes = 1 << 30},
    {.initial_window_bytes = 1 << 30, .max_frame_bytes = 1 << 20},
};

START_TEST(a_message_arrives_whole_through_any_window)
{
    size_t total = _i == 1 ? 3000 : 1000001;
    uint8_t *bytes = malloc(total);
    struct iovec parts[13];
    ck_assert_uint_eq(make_parts(parts, 13, bytes, total), total);
    struct pair *pair = pair_new(&WINDOWS[_i], NULL, 0);
    ck_assert_int_eq(talk(pair), 0);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(submit(pair, i, parts, 13), 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->request_count, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct buf *body = &pair->requests[i].body;
        ck_assert_uint_eq(body->len, total + 5);
        const uint8_t prefix[] = {0, 0, (uint8_t)(total >> 16), (uint8_t)(total >> 8), (uint8_t)total};
        ck_assert_mem_eq(body->data, prefix, 5);
        ck_assert(memcmp(body->data + 5, bytes, total) == 0);
        ck_assert_uint_eq(pair->calls[i].results, 1);
        ck_assert_int_eq(pair->calls[i].code, GRPC_OK);
    }
    pair_free(pair);
    free(bytes);
}
END_TEST

START_TEST(bytes_may_come_one_at_a_time)
{
    struct script_step step = {.status = 14, .message = "a%20b"};
    struct pair *pair = pair_new(&(struct script_limits){0}, &step, 1);
    pair->chunk_max = 1;
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(submit(pair, 0, SMALL, 1), 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(pair->calls[0].code, GRPC_UNAVAILABLE);
    ck_assert_str_eq(pair->calls[0].message, "a b");
    pair_free(pair);
}
END_TEST

START_TEST(output_is_bounded_by_what_was_asked_for)
{
    static uint8_t bytes[1 << 20];
    struct iovec part = {bytes, sizeof bytes};
    struct pair *pair = pair_new(&(struct script_limits){.initial_window_bytes = 1 << 30}, NULL, 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(submit(pair, 0, &part, 1), 0);
    struct buf out = {0};
    ck_assert_int_eq(h2_send(pair->h2, &out, 10000), 0);
    ck_assert_uint_gt(out.len, 0);
    ck_assert_uint_lt(out.len, 10000 + 17000);
    buf_done(&out);
    pair_free(pair);
}
END_TEST

static const struct {
    struct script_step step;
    enum grpc_code code;
    bool unprocessed;
    const char *message;
    const char *details;
} ANSWERS[] = {
    {{.status = 0, .trailers_only = true}, GRPC_OK, false, "the response holds no message", ""},
    {{.status = 14, .trailers_only = true, .message = "down"}, GRPC_UNAVAILABLE, false, "down", ""},
    {{.status = 8, .message = "slow%2", .details = "Zm9v"}, GRPC_RESOURCE_EXHAUSTED, false, "slow%2", "foo"},
    {{.status = 8, .details = "Zg=="}, GRPC_RESOURCE_EXHAUSTED, false, "", "f"},
    {{.status = 8, .details = "!!"}, GRPC_RESOURCE_EXHAUSTED, false, "", ""},
    {{.status = 99}, GRPC_UNKNOWN, false, "", ""},
    {{.status = SCRIPT_NO_STATUS}, GRPC_UNKNOWN, false, "HTTP status 200 without grpc-status", ""},
    {{.status = SCRIPT_NO_STATUS, .http_status = 503},
     GRPC_UNAVAILABLE,
     false,
     "HTTP status 503 without grpc-status",
     ""},
    {{.status = SCRIPT_NO_STATUS, .http_status = 401, .trailers_only = true},
     GRPC_UNAUTHENTICATED,
     false,
     "HTTP status 401 without grpc-status",
     ""},
    {{.http_status = 503, .status = 3}, GRPC_INVALID_ARGUMENT, false, "", ""},
    {{.kind = SCRIPT_RESET, .error = 7}, GRPC_UNAVAILABLE, true, "stream reset: REFUSED_STREAM", ""},
    {{.kind = SCRIPT_RESET, .error = 8}, GRPC_CANCELLED, false, "stream reset: CANCEL", ""},
    {{.kind = SCRIPT_RESET, .error = 11}, GRPC_RESOURCE_EXHAUSTED, false, "stream reset: ENHANCE_YOUR_CALM", ""},
    {{.kind = SCRIPT_RESET, .error = 2}, GRPC_INTERNAL, false, "stream reset: INTERNAL_ERROR", ""},
    {{.kind = SCRIPT_RESET, .error = 0}, GRPC_INTERNAL, false, "stream reset: NO_ERROR", ""},
    {{.kind = SCRIPT_GOAWAY_BEFORE}, GRPC_UNAVAILABLE, true, "stream reset: REFUSED_STREAM", ""},
    {{.kind = SCRIPT_GOAWAY_AFTER, .status = 0}, GRPC_OK, false, "", ""},
    {{.body_zeros = 5}, GRPC_OK, false, "", ""},
    {{.body_zeros = 4}, GRPC_OK, false, "the response holds no message", ""},
    {{.body = "\1\0\0\0\0", .body_bytes = 5}, GRPC_OK, false, "the response holds no message", ""},
    {{.body = "\0\0\0\0\2x", .body_bytes = 6}, GRPC_OK, false, "the response holds no message", ""},
    {{.body_zeros = H2_BODY_MAX_BYTES + 1}, GRPC_RESOURCE_EXHAUSTED, false, "the response is larger than 64 KiB", ""},
    {{.extra_headers = 62}, GRPC_RESOURCE_EXHAUSTED, false, "the response has too many headers", ""},
    {{.kind = SCRIPT_RESET, .error = 1}, GRPC_INTERNAL, false, "stream reset: PROTOCOL_ERROR", ""},
    {{.kind = SCRIPT_RESET, .error = 3}, GRPC_INTERNAL, false, "stream reset: FLOW_CONTROL_ERROR", ""},
    {{.kind = SCRIPT_RESET, .error = 4}, GRPC_INTERNAL, false, "stream reset: SETTINGS_TIMEOUT", ""},
    {{.kind = SCRIPT_RESET, .error = 5}, GRPC_INTERNAL, false, "stream reset: STREAM_CLOSED", ""},
    {{.kind = SCRIPT_RESET, .error = 6}, GRPC_INTERNAL, false, "stream reset: FRAME_SIZE_ERROR", ""},
    {{.kind = SCRIPT_RESET, .error = 9}, GRPC_INTERNAL, false, "stream reset: COMPRESSION_ERROR", ""},
    {{.kind = SCRIPT_RESET, .error = 10}, GRPC_INTERNAL, false, "stream reset: CONNECT_ERROR", ""},
    {{.kind = SCRIPT_RESET, .error = 12}, GRPC_INTERNAL, false, "stream reset: INADEQUATE_SECURITY", ""},
    {{.kind = SCRIPT_RESET, .error = 13}, GRPC_INTERNAL, false, "stream reset: HTTP_1_1_REQUIRED", ""},
};

START_TEST(each_answer_becomes_a_result)
{
    struct script_step step = ANSWERS[_i].step;
    struct pair *pair = one_call(&step);
    const struct outcome_seen *seen = &pair->calls[0];
    ck_assert_uint_eq(seen->results, 1);
    ck_assert_int_eq(seen->code, ANSWERS[_i].code);
    ck_assert_int_eq(seen->unprocessed, ANSWERS[_i].unprocessed);
    ck_assert_str_eq(seen->message, ANSWERS[_i].message);
    ck_assert_uint_eq(seen->details.len, strlen(ANSWERS[_i].details));
    bool goes_away = step.kind == SCRIPT_GOAWAY_BEFORE || step.kind == SCRIPT_GOAWAY_AFTER;
    ck_assert_uint_eq(pair->goaways, goes_away);
    ck_assert_int_eq(h2_ready(pair->h2), !goes_away);
    if (!goes_away) {
        ck_assert_int_eq(submit(pair, 1, SMALL, 1), 0);
        ck_assert_int_eq(talk(pair), 0);
        ck_assert_uint_eq(pair->calls[1].results, 1);
        ck_assert_int_eq(pair->calls[1].code, GRPC_OK);
    }
    ck_assert_uint_eq(seen->results, 1);
    pair_free(pair);
}
END_TEST

START_TEST(an_answer_before_the_requests_end_is_the_answer)
{
    /* The window lets only part of the request through. */
    static uint8_t bytes[100000];
    struct iovec part = {bytes, sizeof bytes};
    struct script_step step = {.status = 14, .trailers_only = true, .early = true};
    struct pair *pair = pair_new(&(struct script_limits){.initial_window_bytes = 1000}, &step, 1);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(submit(pair, 0, &part, 1), 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_UNAVAILABLE);
    ck_assert_uint_eq(pair->resets, 1);
    ck_assert_int_eq(submit(pair, 1, SMALL, 1), 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(pair->calls[1].code, GRPC_OK);
    pair_free(pair);
}
END_TEST

START_TEST(calls_stay_within_the_servers_stream_limit)
{
    struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = 2}};
    struct pair *pair = pair_new(&(struct script_limits){.max_concurrent_streams = 2}, steps, 1);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(submit(pair, 0, SMALL, 1), 0);
    ck_assert_int_eq(submit(pair, 1, SMALL, 1), 0);
    ck_assert(!h2_ready(pair->h2));
    ck_assert_int_eq(submit(pair, 2, SMALL, 1), -EAGAIN);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->request_count, 2);

    script_peer_act(pair->peer, pair->requests[0].stream, &(struct script_step){0});
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert(h2_ready(pair->h2));
    ck_assert_int_eq(submit(pair, 2, SMALL, 1), 0);
    ck_assert(!h2_ready(pair->h2));

    script_peer_limit(pair->peer, &(struct script_limits){.max_concurrent_streams = 3});
    ck_assert_int_eq(talk(pair), 0);
    ck_assert(h2_ready(pair->h2));
    pair_free(pair);
}
END_TEST

START_TEST(goaway_returns_only_what_lies_above_its_last_stream)
{
    struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = 3}};
    struct pair *pair = pair_new(&(struct script_limits){0}, steps, 1);
    ck_assert_int_eq(talk(pair), 0);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(submit(pair, i, SMALL, 1), 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->request_count, 3);
    script_peer_goaway(pair->peer, pair->requests[1].stream);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->goaways, 1);
    ck_assert(!h2_ready(pair->h2));
    ck_assert_int_eq(submit(pair, 3, SMALL, 1), -EAGAIN);
    ck_assert_uint_eq(pair->calls[0].results, 0);
    ck_assert_uint_eq(pair->calls[1].results, 0);
    ck_assert_uint_eq(pair->calls[2].results, 1);
    ck_assert(pair->calls[2].unprocessed);

    script_peer_act(pair->peer, pair->requests[0].stream, &(struct script_step){0});
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_OK);

    h2_abort(pair->h2, "gone");
    ck_assert_uint_eq(pair->calls[1].results, 1);
    ck_assert(!pair->calls[1].unprocessed);
    ck_assert_uint_eq(pair->calls[2].results, 1);
    pair_free(pair);
}
END_TEST

START_TEST(goaway_returns_calls_not_yet_sent)
{
    struct pair *pair = pair_new(&(struct script_limits){0}, NULL, 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(submit(pair, 0, SMALL, 1), 0);
    script_peer_goaway(pair->peer, 0);
    ck_assert_int_eq(script_peer_send(pair->peer, &pair->to_client), 0);
    ck_assert_int_eq(h2_receive(pair->h2, pair->to_client.data, pair->to_client.len), 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_UNAVAILABLE);
    ck_assert(pair->calls[0].unprocessed);
    ck_assert_uint_eq(pair->request_count, 0);
    pair_free(pair);
}
END_TEST

START_TEST(abort_tells_what_was_never_sent)
{
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = one_call(&step);
    ck_assert_int_eq(submit(pair, 1, SMALL, 1), 0);
    h2_abort(pair->h2, "the network went away");
    for (size_t i = 0; i < 2; i++) {
        ck_assert_uint_eq(pair->calls[i].results, 1);
        ck_assert_int_eq(pair->calls[i].code, GRPC_UNAVAILABLE);
        ck_assert_str_eq(pair->calls[i].message, "the network went away");
        ck_assert_int_eq(pair->calls[i].unprocessed, i == 1);
    }
    ck_assert(!h2_ready(pair->h2));
    pair_free(pair);
}
END_TEST

START_TEST(a_cancelled_call_has_no_result)
{
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = one_call(&step);
    h2_cancel(pair->h2, &pair->calls[0]);
    h2_cancel(pair->h2, &pair->calls[0]);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->resets, 1);

    /* Not yet sent: the server never hears of it. */
    ck_assert_int_eq(submit(pair, 1, SMALL, 1), 0);
    h2_cancel(pair->h2, &pair->calls[1]);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->request_count, 1);

    /* In the middle of its message: its parts may be gone at once. */
    uint8_t *bytes = calloc(1, 1 << 20);
    struct iovec part = {bytes, 1 << 20};
    ck_assert_int_eq(submit(pair, 2, &part, 1), 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(submit(pair, 3, &part, 1), 0);
    struct buf out = {0};
    ck_assert_int_eq(h2_send(pair->h2, &out, 20000), 0);
    ck_assert_int_eq(script_peer_receive(pair->peer, out.data, out.len), 0);
    h2_cancel(pair->h2, &pair->calls[3]);
    free(bytes);
    buf_done(&out);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results + pair->calls[1].results + pair->calls[3].results, 0);
    ck_assert_uint_eq(pair->calls[2].results, 1);

    ck_assert_int_eq(submit(pair, 4, SMALL, 1), 0);
    ck_assert_int_eq(talk(pair), 0);
    ck_assert_int_eq(pair->calls[4].code, GRPC_OK);
    pair_free(pair);
}
END_TEST

START_TEST(whoever_does_not_speak_http2_is_named)
{
    static const struct {
        const char *bytes;
        size_t count;
        const char *word;
    } table[] = {
        {"\x15\x03\x03\0\2\2\x28", 7, "TLS"},
        {"\x15", 1, "TLS"},
        {"HTTP/1.1 400 Bad Request\r\n", 26, "HTTP/1"},
        {"SSH-2.0-OpenSSH_9.2\r\n", 21, "HTTP/2"},
        {"\0\0\0\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18, ""}, /* frames, but not SETTINGS first */
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct pair *pair = pair_new(&(struct script_limits){0}, NULL, 0);
        ck_assert_ptr_nonnull(h2_problem(pair->h2));
        struct buf out = {0};
        int err = h2_receive(pair->h2, (const uint8_t *)table[i].bytes, table[i].count);
        if (!err)
            err = h2_send(pair->h2, &out, 1 << 20);
        ck_assert_int_eq(err, -EPROTO);
        ck_assert_ptr_nonnull(strstr(h2_problem(pair->h2), table[i].word));
        if (*table[i].word)
            ck_assert_ptr_nonnull(strstr(h2_problem(pair->h2), "exporter_endpoint"));
        ck_assert(!h2_ready(pair->h2));
        buf_done(&out);
        pair_free(pair);
    }
}
END_TEST

static void receive(struct pair *pair, const void *bytes, size_t count)
{
    ck_assert_int_eq(h2_receive(pair->h2, bytes, count), 0);
}

/* Also those that nghttp2 does not tell of: of a type it does not know, and DATA on a stream that is over. */
START_TEST(every_frame_is_counted_and_a_large_one_as_several)
{
    static const uint8_t pings[] = "\0\0\x08\6\0\0\0\0\0........\0\0\x08\6\0\0\0\0\0........";
    static const uint8_t unknown[] = "\0\0\1\x63\0\0\0\0\0.";
    static const uint8_t late_data[9 + 2 * H2_FRAME_UNIT_BYTES] = "\0\x20\0\0\0\0\0\0\1";
    struct script_step step = {0};
    struct pair *pair = one_call(&step);
    ck_assert_ptr_null(h2_problem(pair->h2));
    uint64_t before = h2_frames_received(pair->h2);
    receive(pair, pings, sizeof pings - 1);
    ck_assert_uint_eq(h2_frames_received(pair->h2), before + 2);
    for (size_t i = 0; i < sizeof unknown - 1; i++)
        receive(pair, unknown + i, 1);
    ck_assert_uint_eq(h2_frames_received(pair->h2), before + 3);
    receive(pair, late_data, sizeof late_data);
    ck_assert_uint_eq(h2_frames_received(pair->h2), before + 6);
    pair_free(pair);
}
END_TEST

/* HEADERS of no fields, then CONTINUATIONs of none. */
START_TEST(continuations_are_bounded)
{
    static const uint8_t headers[] = "\0\0\0\1\0\0\0\0\1";
    static const uint8_t continuation[] = "\0\0\0\x09\0\0\0\0\1";
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = one_call(&step);
    receive(pair, headers, 9);
    int err = 0;
    unsigned count = 0;
    while (!err && count < 1000) {
        err = h2_receive(pair->h2, continuation, 9);
        count += !err;
    }
    ck_assert_int_eq(err, -EPROTO);
    ck_assert_uint_le(count, H2_CONTINUATIONS_MAX);
    ck_assert_ptr_nonnull(strstr(h2_problem(pair->h2), "floods"));
    pair_free(pair);
}
END_TEST

START_TEST(acknowledgements_to_a_peer_that_does_not_read_are_bounded)
{
    static const uint8_t frames[][17] = {"\0\0\x08\6\0\0\0\0\0.......", "\0\0\0\4\0\0\0\0"};
    static const size_t bytes[] = {17, 9};
    struct pair *pair = pair_new(&(struct script_limits){0}, NULL, 0);
    ck_assert_int_eq(talk(pair), 0);
    int err = 0;
    unsigned count = 0;
    for (; !err && count < 10000; count++)
        err = h2_receive(pair->h2, frames[_i], bytes[_i]);
    ck_assert_int_eq(err, -EPROTO);
    ck_assert_uint_le(count, H2_ACKS_MAX + 2);
    ck_assert_ptr_nonnull(strstr(h2_problem(pair->h2), "floods"));
    pair_free(pair);
}
END_TEST

START_TEST(what_informational_headers_say_besides_is_no_answer)
{
    /* :status 103, grpc-status 0; then :status 200; then an end of the stream without trailers */
    static const uint8_t early[] = "\0\0\x14\1\4\0\0\0\1\x08\3"
                                   "103\0\x0b"
                                   "grpc-status\1"
                                   "0";
    static const uint8_t final[] = "\0\0\1\1\4\0\0\0\1\x88\0\0\0\0\1\0\0\0\1";
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = one_call(&step);
    receive(pair, early, sizeof early - 1);
    receive(pair, final, sizeof final - 1);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_UNKNOWN);
    ck_assert_str_eq(pair->calls[0].message, "HTTP status 200 without grpc-status");
    pair_free(pair);
}
END_TEST

/* 30 times :status 103 and a field; then headers of five fields, as many as the bound allows, or one more in trailers.
 */
START_TEST(headers_are_summed_over_all_there_are)
{
    static const uint8_t early[] = "\0\0\x09\1\4\0\0\0\1\x08\3"
                                   "103\0\1"
                                   "x\0";
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = one_call(&step);
    for (int i = 0; i < H2_HEADERS_MAX_COUNT / 2; i++) {
        ck_assert_uint_eq(pair->calls[0].results, 0);
        receive(pair, early, sizeof early - 1);
    }
    static const uint8_t final[] = "\0\0\1\1\4\0\0\0\1\x88";
    receive(pair, final, sizeof final - 1);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(pair->calls[0].message, "the response has too many headers");
    pair_free(pair);
}
END_TEST

START_TEST(a_response_may_come_in_frames_of_any_size)
{
    static const uint8_t frames[] = "\0\0\1\1\4\0\0\0\1\x88"       /* :status 200 */
                                    "\0\0\2\0\0\0\0\0\1\0\0"       /* two bytes of the message's prefix */
                                    "\0\0\0\0\0\0\0\0\1"           /* none */
                                    "\0\0\4\0\0\0\0\0\1\0\0\2\x0a" /* the others, and its first byte */
                                    "\0\0\1\0\0\0\0\0\1\0"         /* and its last */
                                    "\0\0\x0f\1\5\0\0\0\1\0\x0b"
                                    "grpc-status\1"
                                    "0";
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = one_call(&step);
    receive(pair, frames, sizeof frames - 1);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_OK);
    ck_assert_uint_eq(pair->calls[0].body.len, 2);
    ck_assert_mem_eq(pair->calls[0].body.data, "\x0a\0", 2);
    pair_free(pair);
}
END_TEST

START_TEST(long_words_of_the_server_are_cut_or_left_out)
{
    static char message[H2_MESSAGE_MAX_BYTES + 2], details[H2_DETAILS_MAX_BYTES + 5];
    memset(message, 'm', sizeof message - 1);
    memset(details, 'A', H2_DETAILS_MAX_BYTES + (_i ? 4 : 0));
    struct script_step step = {.status = 8, .message = message, .details = details};
    struct pair *pair = one_call(&step);
    ck_assert_int_eq(pair->calls[0].code, GRPC_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(strlen(pair->calls[0].message), sizeof pair->calls[0].message - 1);
    ck_assert_uint_eq(pair->calls[0].details.len, _i ? 0 : H2_DETAILS_MAX_BYTES / 4 * 3);
    pair_free(pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("h2");
    TCase *tcase = tcase_create("requests");
    tcase_add_test(tcase, a_call_carries_its_headers_and_message);
    tcase_add_test(tcase, a_gzipped_message_is_marked_as_such);
    tcase_add_test(tcase, nothing_is_submitted_before_the_servers_settings);
    tcase_add_loop_test(tcase, a_message_arrives_whole_through_any_window, 0, sizeof WINDOWS / sizeof WINDOWS[0]);
    tcase_add_test(tcase, bytes_may_come_one_at_a_time);
    tcase_add_test(tcase, output_is_bounded_by_what_was_asked_for);
    tcase_add_test(tcase, calls_stay_within_the_servers_stream_limit);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("answers");
    tcase_add_loop_test(tcase, each_answer_becomes_a_result, 0, sizeof ANSWERS / sizeof ANSWERS[0]);
    tcase_add_test(tcase, an_answer_before_the_requests_end_is_the_answer);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("ends");
    tcase_add_test(tcase, goaway_returns_only_what_lies_above_its_last_stream);
    tcase_add_test(tcase, goaway_returns_calls_not_yet_sent);
    tcase_add_test(tcase, abort_tells_what_was_never_sent);
    tcase_add_test(tcase, a_cancelled_call_has_no_result);
    tcase_add_test(tcase, whoever_does_not_speak_http2_is_named);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("bounds");
    tcase_add_test(tcase, every_frame_is_counted_and_a_large_one_as_several);
    tcase_add_test(tcase, continuations_are_bounded);
    tcase_add_loop_test(tcase, acknowledgements_to_a_peer_that_does_not_read_are_bounded, 0, 2);
    tcase_add_test(tcase, what_informational_headers_say_besides_is_no_answer);
    tcase_add_test(tcase, headers_are_summed_over_all_there_are);
    tcase_add_test(tcase, a_response_may_come_in_frames_of_any_size);
    tcase_add_loop_test(tcase, long_words_of_the_server_are_cut_or_left_out, 0, 2);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
