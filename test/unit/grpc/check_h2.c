/* SPDX-License-Identifier: MIT
 *
 * The client's HTTP/2 against a scripted peer, in memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support/h2_pair.h"
#include "support/test.h"

TEST(a_call_carries_its_headers_and_message)
{
    struct script_step step = {.rejected = 3, .rejected_message = "no"};
    struct pair *pair = pair_one_call(&step);
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

TEST(a_gzipped_message_is_marked_as_such)
{
    const struct h2_request request = {.parts = SMALL, .part_count = 1, .gzipped = true, .timeout_ms = 10000};
    struct pair *pair = pair_new(&(struct script_limits){0}, NULL, 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(h2_submit(pair->h2, &pair->calls[0], &request), 0);
    ck_assert_int_eq(pair_submit(pair, 1, SMALL, 1), 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_ptr_nonnull(strstr((char *)pair->requests[0].headers.data, "\ngrpc-encoding: gzip\n"));
    ck_assert_mem_eq(pair->requests[0].body.data, "\1\0\0\0\5hello", 10);
    ck_assert_ptr_nonnull(strstr((char *)pair->requests[1].headers.data, "\ngrpc-encoding: identity\n"));
    ck_assert_mem_eq(pair->requests[1].body.data, "\0\0\0\0\5hello", 10);
    pair_free(pair);
}

TEST(nothing_is_submitted_before_the_servers_settings)
{
    struct pair *pair = pair_new(&(struct script_limits){0}, NULL, 0);
    ck_assert(!h2_ready(pair->h2));
    ck_assert_int_eq(pair_submit(pair, 0, SMALL, 1), -EAGAIN);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert(h2_ready(pair->h2));
    pair_free(pair);
}

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

LOOP_TEST(a_message_arrives_whole_through_any_window, COUNT(WINDOWS))
{
    size_t total = _i == 1 ? 3000 : 1000001;
    uint8_t *bytes = malloc(total);
    struct iovec parts[13];
    ck_assert_uint_eq(make_parts(parts, 13, bytes, total), total);
    struct pair *pair = pair_new(&WINDOWS[_i], NULL, 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(pair_submit(pair, i, parts, 13), 0);
    ck_assert_int_eq(pair_talk(pair), 0);
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

TEST(bytes_may_come_one_at_a_time)
{
    struct script_step step = {.status = 14, .message = "a%20b"};
    struct pair *pair = pair_new(&(struct script_limits){0}, &step, 1);
    pair->chunk_max = 1;
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(pair_submit(pair, 0, SMALL, 1), 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(pair->calls[0].code, GRPC_UNAVAILABLE);
    ck_assert_str_eq(pair->calls[0].message, "a b");
    pair_free(pair);
}

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

LOOP_TEST(each_answer_becomes_a_result, COUNT(ANSWERS))
{
    struct script_step step = ANSWERS[_i].step;
    struct pair *pair = pair_one_call(&step);
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
        ck_assert_int_eq(pair_submit(pair, 1, SMALL, 1), 0);
        ck_assert_int_eq(pair_talk(pair), 0);
        ck_assert_uint_eq(pair->calls[1].results, 1);
        ck_assert_int_eq(pair->calls[1].code, GRPC_OK);
    }
    ck_assert_uint_eq(seen->results, 1);
    pair_free(pair);
}

TEST(an_answer_before_the_requests_end_is_the_answer)
{
    /* The window lets only part of the request through. */
    static uint8_t bytes[100000];
    struct iovec part = {bytes, sizeof(bytes)};
    struct script_step step = {.status = 14, .trailers_only = true, .early = true};
    struct pair *pair = pair_new(&(struct script_limits){.initial_window_bytes = 1000}, &step, 1);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(pair_submit(pair, 0, &part, 1), 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_UNAVAILABLE);
    ck_assert_uint_eq(pair->resets, 1);
    ck_assert_int_eq(pair_submit(pair, 1, SMALL, 1), 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(pair->calls[1].code, GRPC_OK);
    pair_free(pair);
}

TEST(calls_stay_within_the_servers_stream_limit)
{
    struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = 2}};
    struct pair *pair = pair_new(&(struct script_limits){.max_concurrent_streams = 2}, steps, 1);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(pair_submit(pair, 0, SMALL, 1), 0);
    ck_assert_int_eq(pair_submit(pair, 1, SMALL, 1), 0);
    ck_assert(!h2_ready(pair->h2));
    ck_assert_int_eq(pair_submit(pair, 2, SMALL, 1), -EAGAIN);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->request_count, 2);

    script_peer_act(pair->peer, pair->requests[0].stream, &(struct script_step){0});
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert(h2_ready(pair->h2));
    ck_assert_int_eq(pair_submit(pair, 2, SMALL, 1), 0);
    ck_assert(!h2_ready(pair->h2));

    script_peer_limit(pair->peer, &(struct script_limits){.max_concurrent_streams = 3});
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert(h2_ready(pair->h2));
    pair_free(pair);
}

TEST(goaway_returns_only_what_lies_above_its_last_stream)
{
    struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = 3}};
    struct pair *pair = pair_new(&(struct script_limits){0}, steps, 1);
    ck_assert_int_eq(pair_talk(pair), 0);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pair_submit(pair, i, SMALL, 1), 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->request_count, 3);
    script_peer_goaway(pair->peer, pair->requests[1].stream);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->goaways, 1);
    ck_assert(!h2_ready(pair->h2));
    ck_assert_int_eq(pair_submit(pair, 3, SMALL, 1), -EAGAIN);
    ck_assert_uint_eq(pair->calls[0].results, 0);
    ck_assert_uint_eq(pair->calls[1].results, 0);
    ck_assert_uint_eq(pair->calls[2].results, 1);
    ck_assert(pair->calls[2].unprocessed);

    script_peer_act(pair->peer, pair->requests[0].stream, &(struct script_step){0});
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_OK);

    h2_abort(pair->h2, "gone");
    ck_assert_uint_eq(pair->calls[1].results, 1);
    ck_assert(!pair->calls[1].unprocessed);
    ck_assert_uint_eq(pair->calls[2].results, 1);
    pair_free(pair);
}

TEST(goaway_returns_calls_not_yet_sent)
{
    struct pair *pair = pair_new(&(struct script_limits){0}, NULL, 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(pair_submit(pair, 0, SMALL, 1), 0);
    script_peer_goaway(pair->peer, 0);
    ck_assert_int_eq(script_peer_send(pair->peer, &pair->to_client), 0);
    ck_assert_int_eq(h2_receive(pair->h2, pair->to_client.data, pair->to_client.len), 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_UNAVAILABLE);
    ck_assert(pair->calls[0].unprocessed);
    ck_assert_uint_eq(pair->request_count, 0);
    pair_free(pair);
}

TEST(abort_tells_what_was_never_sent)
{
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = pair_one_call(&step);
    ck_assert_int_eq(pair_submit(pair, 1, SMALL, 1), 0);
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

TEST(a_cancelled_call_has_no_result)
{
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = pair_one_call(&step);
    h2_cancel(pair->h2, &pair->calls[0]);
    h2_cancel(pair->h2, &pair->calls[0]);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->resets, 1);

    /* Not yet sent: the server never hears of it. */
    ck_assert_int_eq(pair_submit(pair, 1, SMALL, 1), 0);
    h2_cancel(pair->h2, &pair->calls[1]);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->request_count, 1);

    /* In the middle of its message: its parts may be gone at once. */
    uint8_t *bytes = calloc(1, 1 << 20);
    struct iovec part = {bytes, 1 << 20};
    ck_assert_int_eq(pair_submit(pair, 2, &part, 1), 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(pair_submit(pair, 3, &part, 1), 0);
    struct buf out = {0};
    ck_assert_int_eq(h2_send(pair->h2, &out, 20000), 0);
    ck_assert_int_eq(script_peer_receive(pair->peer, out.data, out.len), 0);
    h2_cancel(pair->h2, &pair->calls[3]);
    free(bytes);
    buf_done(&out);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_uint_eq(pair->calls[0].results + pair->calls[1].results + pair->calls[3].results, 0);
    ck_assert_uint_eq(pair->calls[2].results, 1);

    ck_assert_int_eq(pair_submit(pair, 4, SMALL, 1), 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(pair->calls[4].code, GRPC_OK);
    pair_free(pair);
}

TEST(whoever_does_not_speak_http2_is_named)
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
    for (size_t i = 0; i < COUNT(table); i++) {
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
