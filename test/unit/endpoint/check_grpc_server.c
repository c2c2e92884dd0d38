/* SPDX-License-Identifier: MIT
 *
 * Our gRPC client against our gRPC server, in memory; each of them meets the C-core elsewhere.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/grpc_server.h"
#include "grpc/h2.h"
#include "support/test.h"

enum { CALLS_MAX = 16, TIMEOUT_MS = 1000, MAX_BUFFERED = 1 << 20 };

struct outcome {
    unsigned results;
    enum grpc_code code;
    char message[128];
    char body[64];
    size_t body_bytes;
};

static struct h2_settings settings; /* borrowed by client */
static struct h2 *client;
static struct grpc_server *server;
static struct outcome outcomes[CALLS_MAX];
static size_t buffered;
static unsigned calls;
static size_t last_bytes;

static void on_call(void *user, const uint8_t *message, size_t bytes, struct grpc_server_answer *answer)
{
    (void)user;
    calls++;
    last_bytes = bytes;
    if (bytes > 0 && message[0] == '!') {
        answer->code = GRPC_INVALID_ARGUMENT;
        answer->message = "50% of it\nis wrong";
        return;
    }
    buf_printf(&answer->body, "%zu bytes", bytes);
}

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    struct outcome *outcome = call;
    (void)user;
    outcome->results++;
    outcome->code = result->code;
    snprintf(outcome->message, sizeof(outcome->message), "%s", result->message);
    outcome->body_bytes = result->body_bytes < sizeof(outcome->body) ? result->body_bytes : sizeof(outcome->body);
    if (outcome->body_bytes)
        memcpy(outcome->body, result->body, outcome->body_bytes);
}

static void on_goaway(void *user)
{
    (void)user;
}

static void set_up_path(const char *path)
{
    static const struct h2_callbacks callbacks = {.on_result_cb = on_result, .on_goaway_cb = on_goaway};
    settings = (struct h2_settings){.scheme = "http", .authority = "localhost:4317", .path = path};
    struct grpc_server_settings server_settings = {
        .path = "/service/Method",
        .on_call_cb = on_call,
        .buffered = &buffered,
        .max_buffered = MAX_BUFFERED,
    };
    ck_assert_int_eq(h2_new(&settings, &callbacks, NULL, &client), 0);
    ck_assert_int_eq(grpc_server_new(&server_settings, &server), 0);
}

static void set_up(void)
{
    set_up_path("/service/Method");
}

static void tear_down(void)
{
    h2_free(client);
    grpc_server_free(server);
    ck_assert_uint_eq(buffered, 0);
}

FIXTURE(set_up, tear_down);

/* Moves bytes both ways, at most so many at once, until nobody has any. */
static void exchange(size_t piece)
{
    for (bool moved = true; moved;) {
        struct buf to_server = {0}, to_client = {0};
        ck_assert_int_eq(h2_send(client, &to_server, 16384), 0);
        for (size_t at = 0; at < to_server.len; at += piece) {
            size_t bytes = to_server.len - at < piece ? to_server.len - at : piece;
            ck_assert_int_eq(grpc_server_receive(server, to_server.data + at, bytes), 0);
        }
        ck_assert_int_eq(grpc_server_send(server, &to_client, 16384), 0);
        for (size_t at = 0; at < to_client.len; at += piece) {
            size_t bytes = to_client.len - at < piece ? to_client.len - at : piece;
            ck_assert_int_eq(h2_receive(client, to_client.data + at, bytes), 0);
        }
        moved = to_server.len + to_client.len > 0;
        buf_done(&to_server);
        buf_done(&to_client);
    }
}

static void submit(struct outcome *outcome, const void *message, size_t bytes)
{
    static struct iovec parts[CALLS_MAX];
    struct iovec *part = &parts[outcome - outcomes];
    *part = (struct iovec){(void *)(uintptr_t)message, bytes};
    struct h2_request request = {.parts = part, .part_count = 1, .timeout_ms = TIMEOUT_MS};
    if (!h2_ready(client))
        exchange(65536);
    ck_assert_int_eq(h2_submit(client, outcome, &request), 0);
}

static void check_code(size_t index, enum grpc_code code)
{
    ck_assert_uint_eq(outcomes[index].results, 1);
    ck_assert_str_eq(grpc_code_name(outcomes[index].code), grpc_code_name(code));
}

TEST(calls_are_answered_however_the_bytes_are_cut)
{
    static const size_t pieces[] = {1, 2, 7, 9, 100, 65536};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        submit(&outcomes[i], "hello world", 11);
        exchange(pieces[i]);
        check_code(i, GRPC_OK);
        ck_assert_mem_eq(outcomes[i].body, "11 bytes", 8);
    }
    ck_assert_uint_eq(calls, 6);
}

TEST(calls_at_once_keep_apart)
{
    static uint8_t messages[CALLS_MAX][50000];
    for (size_t i = 0; i < CALLS_MAX; i++)
        submit(&outcomes[i], messages[i], sizeof(messages[i]) - i);
    exchange(4096);
    for (size_t i = 0; i < CALLS_MAX; i++) {
        char expected[32];
        check_code(i, GRPC_OK);
        int bytes = snprintf(expected, sizeof(expected), "%zu bytes", sizeof(messages[i]) - i);
        ck_assert_mem_eq(outcomes[i].body, expected, (size_t)bytes);
    }
}

TEST(an_error_brings_its_words)
{
    submit(&outcomes[0], "!", 1);
    exchange(65536);
    check_code(0, GRPC_INVALID_ARGUMENT);
    ck_assert_str_eq(outcomes[0].message, "50% of it\nis wrong");
    submit(&outcomes[1], "?", 1);
    exchange(65536);
    check_code(1, GRPC_OK);
}

TEST(an_unknown_method_is_unimplemented)
{
    tear_down();
    set_up_path("/service/Methods");
    submit(&outcomes[0], "x", 1);
    exchange(65536);
    check_code(0, GRPC_UNIMPLEMENTED);
    ck_assert_uint_eq(calls, 0);
}

TEST(too_large_a_message_is_refused_before_it_is_there)
{
    size_t bytes = GRPC_SERVER_MAX_MESSAGE_BYTES + 1;
    uint8_t *message = calloc(1, bytes);
    submit(&outcomes[0], message, bytes);
    exchange(65536);
    check_code(0, GRPC_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(calls, 0);
    submit(&outcomes[1], "x", 1);
    exchange(65536);
    check_code(1, GRPC_OK);
    free(message);
}

TEST(unfinished_messages_share_a_budget)
{
    static uint8_t message[MAX_BUFFERED + 1];
    submit(&outcomes[0], message, sizeof(message));
    exchange(65536);
    check_code(0, GRPC_UNAVAILABLE);
    ck_assert_uint_eq(buffered, 0);
    submit(&outcomes[1], message, MAX_BUFFERED - 1);
    exchange(65536);
    check_code(1, GRPC_OK);
    ck_assert_uint_eq(last_bytes, MAX_BUFFERED - 1);
}

TEST(a_cancelled_call_gives_its_memory_back)
{
    static uint8_t message[500000];
    struct buf to_server = {0};
    submit(&outcomes[0], message, sizeof(message));
    ck_assert_int_eq(h2_send(client, &to_server, 30000), 0);
    ck_assert_int_eq(grpc_server_receive(server, to_server.data, to_server.len), 0);
    ck_assert_uint_gt(buffered, 0);
    h2_cancel(client, &outcomes[0]);
    exchange(65536);
    ck_assert_uint_eq(buffered, 0);
    ck_assert_uint_eq(calls, 0);
    buf_done(&to_server);
}

TEST(what_is_not_http2_ends_the_connection)
{
    ck_assert_int_eq(grpc_server_receive(server, (const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18), -EPROTO);
}

TEST(after_goodbye_the_connection_is_done)
{
    submit(&outcomes[0], "x", 1);
    exchange(65536);
    ck_assert(!grpc_server_done(server));
    grpc_server_shutdown(server);
    exchange(65536);
    ck_assert(grpc_server_done(server));
}
