/* SPDX-License-Identifier: MIT
 *
 * The exporter when connections fail, end, or lead elsewhere.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/exporter_batch.h"
#include "support/exporter_bench.h"
#include "support/loop.h"
#include "support/test.h"

TEST(a_connection_that_only_keeps_silent_is_left_for_another)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = SCRIPT_FOR_EVER}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench.config.timeout_ms = 50;
    bench_export();
    bench_run_until(bench_connected, 1);
    bench_submit(4);
    bench_run_until(bench_timed_out, 8);
    bench_answer_from_now_on();
    bench_run_until(bench_finished, 4);
    bench_check_exported();
    ck_assert_uint_eq(script_server_accepted(bench.server), 2);
    bench_end();
}

TEST(a_server_that_dies_and_returns_gets_what_it_missed)
{
    static const struct script_step steps[] = {{.times = 2}, {.kind = SCRIPT_HOLD, .times = 2}};
    bench_begin(steps, 2);
    bench_serve(NULL);
    bench_export();
    bench_submit(2);
    bench_run_until(bench_finished, 2);
    bench_submit(2);
    bench_run_until(bench_sent, 2);
    bench_run_until(bench_sent, 3);
    script_server_stop(bench.server);
    bench_run_until(bench_in_trouble, 0);
    bench_submit(3);
    bench_serve(NULL);
    bench_run_until(bench_finished, 7);
    bench_check_all_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 2);
    ck_assert(bench.stats.outage_began_ms > 0 && bench.stats.outage_ended_ms >= bench.stats.outage_began_ms);
    bench_end();
}

TEST(an_endpoint_that_is_not_there_yet_is_found_later)
{
    bench_begin(NULL, 0);
    bench_serve(NULL); /* for a port that is free */
    script_server_stop(bench.server);
    uv_run(&bench.loop, UV_RUN_NOWAIT);
    bench_export();
    bench_submit(2);
    bench_run_until(bench_in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "connection refused"));
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), bench.port));
    bench_serve(NULL);
    bench_run_until(bench_finished, 2);
    bench_check_all_exported();
    bench_end();
}

TEST(goaway_moves_the_rest_to_a_new_connection_and_lets_the_old_one_finish)
{
    static const struct script_step steps[] = {
        {.delay_ms = 200}, {.kind = SCRIPT_GOAWAY_BEFORE}, {.times = 3}, {.kind = SCRIPT_GOAWAY_AFTER}};
    bench_begin(steps, 4);
    bench_serve(NULL);
    bench.config.max_in_flight = 2;
    bench_export();
    bench_run_until(bench_connected, 1);
    bench_submit(6);
    bench_run_until(bench_finished, 6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert(bench.batches[i].outcome.exported);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 6);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 0);
    ck_assert_uint_eq(bench.batches[1].sent, 2);
    ck_assert_uint_ge(script_server_accepted(bench.server), 2);
    bench_end();
}

TEST(a_server_that_closes_on_every_request_is_not_stormed)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_CLOSE, .times = SCRIPT_FOR_EVER}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench_export();
    bench_submit(8);
    bench_run_until(bench_in_trouble, 0);
    loop_run_for(&bench.loop, 500);
    ck_assert_uint_le(script_server_accepted(bench.server), 3);
    ck_assert_uint_eq(exporter_held(bench.exporter), 8);
    bench_end();
}

TEST(a_server_that_refuses_every_stream_is_not_stormed)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_RESET, .error = 7, .times = 10}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench_export();
    bench_submit(1);
    bench_run_until(bench_finished, 1);
    ck_assert_uint_eq(bench.batches[0].sent, 11);
    /* Every other attempt did not count, so that five waited. */
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 5);
    bench_end();
}

LOOP_TEST(who_is_not_grpc_is_named_with_the_setting_to_change, 2)
{
    static const struct {
        const char *bytes;
        size_t count;
        const char *word;
    } table[] = {{"\x15\x03\x01\0\2\2\x46", 7, "https://"}, {"HTTP/1.1 400 Bad Request\r\n\r\n", 28, "4317"}};
    bench_begin(NULL, 0);
    bench_serve(&(struct script_server_options){.greeting = table[_i].bytes, .greeting_bytes = table[_i].count});
    bench_export();
    bench_submit(1);
    bench_run_until(bench_in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "exporter_endpoint"));
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), table[_i].word));
    ck_assert_ptr_nonnull(strstr(bench_log(), "exporter_endpoint"));
    bench_end();
}

TEST(a_host_that_does_not_resolve_is_named)
{
    bench_begin(NULL, 0);
    snprintf(bench.port, sizeof(bench.port), "4317");
    bench.config.host = "no-such-host.invalid";
    bench_export();
    bench_run_until(bench_in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "no-such-host.invalid:4317: cannot resolve"));
    bench_end();
}

static bool acted_on(unsigned count)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < bench.submitted; i++)
        sum += bench.batches[i].sent;
    return sum >= count;
}

TEST(another_endpoint_gets_what_comes_next_and_the_first_finishes_what_it_has)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_ANSWER, .delay_ms = 300}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench_export();
    bench_run_until(bench_connected, 1);
    bench_submit(2);
    bench_run_until(acted_on, 1); /* and the other waits for its answer */
    struct script_server *first = bench.server;
    bench.port[0] = '\0';
    bench_serve(NULL);
    struct config fresh = bench.config;
    char host[] = "localhost", port[16];
    snprintf(port, sizeof(port), "%d", script_server_port(bench.server));
    fresh.host = host;
    fresh.port = port;
    ck_assert_int_eq(exporter_reconfigure(bench.exporter, &fresh), 0);
    memset(&bench.config, 0xff, sizeof(bench.config)); /* the exporter no longer reads it */
    bench_submit(2);
    bench_run_until(bench_finished, 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(bench.batches[i].sent, 1);
    ck_assert_uint_eq(script_server_accepted(first), 1);
    ck_assert_uint_eq(script_server_accepted(bench.server), 1);
    script_server_stop(first);
    bench_end();
}

TEST(a_reload_that_moves_nothing_keeps_the_connection)
{
    bench_begin(NULL, 0);
    bench_serve(NULL);
    bench_export();
    bench_run_until(bench_connected, 1);
    struct config fresh = bench.config;
    fresh.timeout_ms = 5000;
    fresh.max_in_flight = 256;
    ck_assert_int_eq(exporter_reconfigure(bench.exporter, &fresh), 0);
    bench_submit(20);
    bench_run_until(bench_finished, 20);
    ck_assert_uint_eq(script_server_accepted(bench.server), 1);
    bench_end();
}

TEST(a_new_endpoint_ends_the_wait_for_the_old_one)
{
    bench_begin(NULL, 0);
    bench.config.host = "127.0.0.1";
    snprintf(bench.port, sizeof(bench.port), "1");
    bench.config.retry_initial_ms = bench.config.retry_max_ms = 600000;
    bench_export();
    bench_submit(3);
    bench_run_until(bench_in_trouble, 0);
    char *port = bench.port;
    struct config fresh = bench.config;
    char old_port[] = "1";
    bench.config.port = old_port;
    port[0] = '\0';
    bench_serve(NULL);
    ck_assert_int_eq(exporter_reconfigure(bench.exporter, &fresh), 0);
    bench_run_until(bench_finished, 3);
    bench_end();
}

TEST(tls_is_not_silently_left_out)
{
    bench_begin(NULL, 0);
    bench.config.transport = CONFIG_TLS;
    bench_serve(NULL);
    bench_export();
    bench_submit(3);
    bench_run_until(bench_in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "plaintext HTTP/2"));
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "http://"));
    ck_assert_uint_eq(exporter_held(bench.exporter), 3);
    bench_end();
}
