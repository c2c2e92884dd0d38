/* SPDX-License-Identifier: MIT
 *
 * One connection: the ways in which it fails to come about, or has to be given up, and closing at any moment.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "support/script_server.h"

enum { PATIENCE_MS = 20000 };

/* The resolver, as libuv sees it: the name `two.addresses` has one where nobody listens first, and there is no hosts
 * file that knows `localhost`. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out)
{
    (void)hints;
    if (strcmp(node, "localhost") == 0)
        return EAI_NONAME;
    static struct sockaddr_in addresses[2];
    static struct addrinfo list[2];
    for (size_t i = 0; i < 2; i++) {
        addresses[i].sin_family = AF_INET;
        addresses[i].sin_port = htons((uint16_t)atoi(service));
        addresses[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 - (uint32_t)i);
        list[i] = (struct addrinfo){.ai_family = AF_INET,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_addr = (struct sockaddr *)&addresses[i],
                                    .ai_addrlen = sizeof addresses[i],
                                    .ai_next = i == 0 ? &list[1] : NULL};
    }
    *out = strcmp(node, "two.addresses") == 0 ? &list[0] : &list[1];
    return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *list)
{
    (void)list;
}

static struct bench {
    uv_loop_t loop;
    struct conn *conn;
    struct conn_settings settings;
    struct script_server *server;
    struct script script;
    char port[16];
    unsigned ready, results, downs, goaways, requests;
    struct grpc_result result;
    char why[512];
    bool close_on_result;
    bool closed;
} bench;

static void on_ready(void *user)
{
    ck_assert_ptr_eq(user, &bench);
    bench.ready++;
}

static void on_closed(void *user)
{
    ck_assert_ptr_eq(user, &bench);
    bench.closed = true;
}

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    ck_assert_ptr_eq(user, &bench);
    ck_assert_ptr_eq(call, &bench.result);
    bench.results++;
    bench.result = *result;
    if (bench.close_on_result)
        conn_close(bench.conn, on_closed, &bench);
}

static void on_down(void *user, const char *why)
{
    ck_assert_ptr_eq(user, &bench);
    bench.downs++;
    snprintf(bench.why, sizeof bench.why, "%s", why);
}

static void on_goaway(void *user)
{
    ck_assert_ptr_eq(user, &bench);
    bench.goaways++;
}

static void begin(const char *host, const struct script_server_options *given)
{
    static const struct conn_callbacks callbacks = {on_ready, on_result, on_down, on_goaway};
    ck_assert_int_eq(uv_loop_init(&bench.loop), 0);
    if (given) {
        struct script_server_options options = *given;
        options.script = &bench.script;
        ck_assert_int_eq(script_server_start(&bench.loop, &options, &bench.server), 0);
        snprintf(bench.port, sizeof bench.port, "%d", script_server_port(bench.server));
    }
    bench.settings = (struct conn_settings){
        .host = host,
        .port = bench.port,
        .connect_timeout_ms = 200,
        .h2 = {.scheme = "http", .authority = "test", .path = "/test"},
    };
    ck_assert_int_eq(conn_open(&bench.loop, &bench.settings, &callbacks, &bench, &bench.conn), 0);
}

static void end(void)
{
    if (!bench.closed)
        conn_close(bench.conn, on_closed, &bench);
    if (bench.server)
        script_server_stop(bench.server);
    ck_assert_int_eq(uv_run(&bench.loop, UV_RUN_DEFAULT), 0);
    ck_assert(bench.closed);
    ck_assert_int_eq(uv_loop_close(&bench.loop), 0);
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void run_until(const unsigned *count)
{
    uv_timer_t tick;
    uv_update_time(&bench.loop);
    uint64_t until_ms = uv_now(&bench.loop) + PATIENCE_MS;
    uv_timer_init(&bench.loop, &tick);
    uv_timer_start(&tick, on_tick, 5, 5);
    while (!*count) {
        ck_assert_msg(uv_now(&bench.loop) < until_ms, "waited too long");
        uv_run(&bench.loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&bench.loop, UV_RUN_NOWAIT);
}

static struct iovec HELLO = {"hello", 5};
static const struct h2_request HELLO_REQUEST = {.parts = &HELLO, .part_count = 1, .timeout_ms = 1000};

START_TEST(every_address_of_a_name_is_tried)
{
    begin("two.addresses", &(struct script_server_options){0});
    ck_assert(!conn_ready(bench.conn));
    run_until(&bench.ready);
    ck_assert(conn_ready(bench.conn));
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), 0);
    ck_assert_uint_eq(bench.results, 0);
    run_until(&bench.results);
    ck_assert_int_eq(bench.result.code, GRPC_OK);
    ck_assert_uint_eq(bench.downs, 0);
    end();
}
END_TEST

START_TEST(localhost_is_found_without_a_hosts_file)
{
    begin("localhost", &(struct script_server_options){0});
    run_until(&bench.ready);
    ck_assert_uint_eq(bench.downs, 0);
    end();
}
END_TEST

START_TEST(a_silent_peer_is_given_up_in_time)
{
    begin("127.0.0.1", &(struct script_server_options){.greeting = ""});
    run_until(&bench.downs);
    ck_assert_uint_eq(bench.ready, 0);
    ck_assert_ptr_nonnull(strstr(bench.why, "allowed no call in time"));
    ck_assert_ptr_nonnull(strstr(bench.why, "exporter_endpoint"));
    ck_assert(conn_down(bench.conn));
    end();
}
END_TEST

static void on_request(void *user, const struct script_request *request)
{
    (void)request;
    ++*(unsigned *)user;
}

START_TEST(a_peer_that_allows_no_more_calls_is_given_up_when_the_last_is_over)
{
    static const struct script_step steps[] = {{.delay_ms = 300}};
    bench.script = (struct script){.steps = steps, .count = 1};
    begin("127.0.0.1", &(struct script_server_options){.on_act_cb = on_request, .user = &bench.requests});
    run_until(&bench.ready);
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), 0);
    run_until(&bench.requests);
    script_server_limit(bench.server, &(struct script_limits){.max_concurrent_streams = SCRIPT_NO_STREAMS});
    run_until(&bench.results);
    ck_assert_int_eq(bench.result.code, GRPC_OK);
    ck_assert_uint_eq(bench.downs, 0);
    run_until(&bench.downs);
    ck_assert_ptr_nonnull(strstr(bench.why, "allowed no call in time"));
    end();
}
END_TEST

START_TEST(a_flood_of_frames_ends_the_connection)
{
    enum { PINGS = 20000, PING_BYTES = 17 };
    static char flood[9 + PINGS * PING_BYTES] = "\0\0\0\4\0\0\0\0\0";
    for (size_t i = 0; i < PINGS; i++)
        memcpy(flood + 9 + i * PING_BYTES, "\0\0\x08\6\0\0\0\0\0........", PING_BYTES);
    begin("127.0.0.1", &(struct script_server_options){.greeting = flood, .greeting_bytes = sizeof flood});
    run_until(&bench.downs);
    ck_assert_ptr_nonnull(strstr(bench.why, "floods"));
    end();
}
END_TEST

START_TEST(a_refused_connection_is_said)
{
    begin("127.0.0.1", &(struct script_server_options){0});
    script_server_stop(bench.server);
    bench.server = NULL;
    run_until(&bench.downs);
    ck_assert_ptr_nonnull(strstr(bench.why, "cannot connect: connection refused"));
    end();
}
END_TEST

START_TEST(a_lost_connection_ends_its_calls_first)
{
    static const struct script_step close_it = {.kind = SCRIPT_CLOSE};
    bench.script = (struct script){.steps = &close_it, .count = 1};
    begin("127.0.0.1", &(struct script_server_options){0});
    run_until(&bench.ready);
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), 0);
    run_until(&bench.downs);
    ck_assert_uint_eq(bench.results, 1);
    ck_assert_int_eq(bench.result.code, GRPC_UNAVAILABLE);
    ck_assert(!bench.result.unprocessed);
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), -EAGAIN);
    end();
}
END_TEST

START_TEST(closing_is_possible_at_any_moment)
{
    static const struct script_step hold = {.kind = SCRIPT_HOLD};
    static uint8_t large[8 << 20];
    static struct iovec much = {large, sizeof large};
    bench.script = (struct script){.steps = &hold, .count = _i == 3};
    begin("127.0.0.1", &(struct script_server_options){.limits.initial_window_bytes = 1 << 30});
    switch (_i) {
    case 0: /* while resolving */
        break;
    case 1: /* while connecting */
        for (int turns = 0; turns < 2; turns++)
            uv_run(&bench.loop, UV_RUN_ONCE);
        break;
    case 2: /* within a callback */
        bench.close_on_result = true;
        run_until(&bench.ready);
        ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), 0);
        run_until(&bench.results);
        break;
    default: /* with a write under way */
        run_until(&bench.ready);
        ck_assert_int_eq(conn_submit(bench.conn, &bench.result,
                                     &(struct h2_request){.parts = &much, .part_count = 1, .timeout_ms = 1000}),
                         0);
        uv_run(&bench.loop, UV_RUN_NOWAIT);
        break;
    }
    unsigned results = bench.results;
    end();
    ck_assert_uint_eq(bench.results, results);
    ck_assert_uint_eq(bench.downs, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conn");
    TCase *tcase = tcase_create("conn");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_address_of_a_name_is_tried);
    tcase_add_test(tcase, localhost_is_found_without_a_hosts_file);
    tcase_add_test(tcase, a_silent_peer_is_given_up_in_time);
    tcase_add_test(tcase, a_peer_that_allows_no_more_calls_is_given_up_when_the_last_is_over);
    tcase_add_test(tcase, a_flood_of_frames_ends_the_connection);
    tcase_add_test(tcase, a_refused_connection_is_said);
    tcase_add_test(tcase, a_lost_connection_ends_its_calls_first);
    tcase_add_loop_test(tcase, closing_is_possible_at_any_moment, 0, 4);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
