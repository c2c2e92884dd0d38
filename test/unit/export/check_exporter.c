/* SPDX-License-Identifier: MIT
 *
 * The exporter against a scripted server over the loopback interface: what it does about each answer.
 */
#include <string.h>

#include "export/backoff.h"
#include "support/exporter_batch.h"
#include "support/exporter_bench.h"
#include "support/test.h"

TEST(batches_are_exported_and_counted)
{
    bench_begin(NULL, 0);
    bench_serve(NULL);
    bench_export();
    ck_assert_ptr_nonnull(exporter_trouble(bench.exporter));
    bench_submit(20);
    ck_assert_uint_eq(exporter_held(bench.exporter), 20);
    bench_run_until(bench_finished, 20);
    bench_check_all_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 20);
    ck_assert_uint_gt(bench.stats.last_success_ms, 0);
    ck_assert_ptr_null(exporter_trouble(bench.exporter));
    ck_assert_uint_eq(script_server_accepted(bench.server), 1);
    ck_assert_str_eq(bench_log(), "");
    bench_end();
}

TEST(retryable_answers_are_retried_until_acknowledged_once)
{
    static const struct script_step steps[] = {
        {.status = 14, .times = 3},
        {.status = 1},
        {.status = 4},
        {.status = 10, .trailers_only = true},
        {.status = 11},
        {.status = 15},
        {.kind = SCRIPT_RESET, .error = 8},
        {.kind = SCRIPT_RESET, .error = 7},
        {.status = SCRIPT_NO_STATUS, .http_status = 503},
        {.status = 14, .early = true},
    };
    bench_begin(steps, COUNT(steps));
    bench_serve(NULL);
    bench_export();
    bench_submit(6);
    bench_run_until(bench_finished, 6);
    bench_check_all_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 6);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 5);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_CANCELLED], 2);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_DATA_LOSS], 1);
    ck_assert(bench.stats.outage_began_ms > 0 && bench.stats.outage_ended_ms >= bench.stats.outage_began_ms);
    ck_assert_ptr_null(exporter_trouble(bench.exporter));
    bench_end();
}

/* The server asks for 0.3 s, and the backoff for less, or for more. */
LOOP_TEST(the_longer_of_retry_info_and_backoff_is_waited_for, 2)
{
    static const uint64_t backoffs_ms[] = {20, 700}, waits_ms[] = {300, 560};
    /* google.rpc.Status with RetryInfo{0.3 s} */
    static const struct script_step steps[] = {
        {.status = 8, .details = "CAgaNAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIICgYQgMaGjwE"}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench.config.retry_initial_ms = bench.config.retry_max_ms = backoffs_ms[_i];
    bench_export();
    bench_submit(1);
    bench_run_until(bench_tried, GRPC_RESOURCE_EXHAUSTED);
    uint64_t refused_ms = uv_now(&bench.loop);
    bench_run_until(bench_finished, 1);
    ck_assert_uint_ge(uv_now(&bench.loop) - refused_ms + 10, waits_ms[_i]);
    bench_check_all_exported();
    bench_end();
}

TEST(partial_success_counts_the_rejected)
{
    static const struct script_step steps[] = {{.rejected = 3, .rejected_message = "too old"},
                                               {.rejected = 1000, .rejected_message = "more than there are"},
                                               {.rejected_message = "only a warning"}};
    bench_begin(steps, 3);
    bench_serve(NULL);
    bench.config.max_in_flight = 1;
    bench_export();
    bench_submit(3);
    bench_run_until(bench_finished, 3);
    bench_check_all_exported();
    ck_assert_uint_eq(bench.batches[0].outcome.rejected, 3);
    ck_assert_uint_eq(bench.batches[1].outcome.rejected, BATCH_SPANS);
    ck_assert_uint_eq(bench.batches[2].outcome.rejected, 0);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 3);
    ck_assert_ptr_nonnull(strstr(bench_log(), "too old"));
    ck_assert_ptr_nonnull(strstr(bench_log(), "only a warning"));
    bench_end();
}

TEST(refused_batches_are_given_up_with_a_reason)
{
    static const struct script_step steps[] = {
        {.status = 12, .message = "no such service"},     {.status = 16}, {.status = 7}, {.status = 8}, {.status = 3},
        {.status = SCRIPT_NO_STATUS, .http_status = 404},
    };
    bench_begin(steps, 6);
    bench_serve(NULL);
    bench.config.max_in_flight = 1;
    bench_export();
    bench_submit(6);
    bench_run_until(bench_finished, 6);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert(!bench.batches[i].outcome.exported);
        ck_assert_int_eq(bench.batches[i].outcome.reason, DROP_REFUSED);
        ck_assert_uint_eq(bench.batches[i].sent, 1);
        ck_assert_uint_eq(bench.batches[i].finished, 1);
    }
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNIMPLEMENTED], 2);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAUTHENTICATED], 1);
    ck_assert_ptr_nonnull(strstr(bench_log(), "UNIMPLEMENTED: no such service"));
    ck_assert_ptr_nonnull(exporter_trouble(bench.exporter));
    bench_submit(1);
    bench_run_until(bench_finished, 7);
    ck_assert(bench.batches[6].outcome.exported);
    ck_assert_ptr_null(exporter_trouble(bench.exporter));
    bench_end();
}

TEST(a_silent_server_is_a_deadline_and_another_try)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = SCRIPT_FOR_EVER}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench.config.timeout_ms = 50;
    bench_export();
    bench_run_until(bench_connected, 1);
    bench_submit(3);
    bench_run_until(bench_timed_out, 2);
    bench_answer_from_now_on();
    bench_run_until(bench_finished, 3);
    bench_check_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 3);
    ck_assert_uint_eq(script_server_resets(bench.server), bench.stats.export_requests[GRPC_DEADLINE_EXCEEDED]);
    bench_end();
}

LOOP_TEST(calls_in_flight_stay_within_both_limits, 2)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = SCRIPT_FOR_EVER}};
    bench_begin(steps, 1);
    bench_serve(&(struct script_server_options){.limits = {.max_concurrent_streams = _i ? 100 : 2}});
    bench_export();
    bench_submit(10);
    ck_assert(!exporter_has_room(bench.exporter));
    unsigned expected = _i ? 4 : 2;
    bench_run_until(bench_sent, expected - 1);
    for (int turns = 0; turns < 20; turns++)
        uv_run(&bench.loop, UV_RUN_NOWAIT);
    unsigned on_wire = 0;
    for (unsigned i = 0; i < 10; i++)
        on_wire += bench.batches[i].sent;
    ck_assert_uint_eq(on_wire, expected);
    bench_end();
}

TEST(a_batch_in_backoff_holds_no_place)
{
    static const struct script_step steps[] = {{.status = 14}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench.config.max_in_flight = 1;
    bench.config.retry_initial_ms = bench.config.retry_max_ms = 300;
    bench_export();
    bench_submit(2);
    bench_run_until(bench_finished, 1);
    ck_assert_uint_eq(bench.batches[1].finished, 1);
    ck_assert_uint_eq(bench.batches[0].finished, 0);
    bench_run_until(bench_finished, 2);
    bench_check_all_exported();
    bench_end();
}

TEST(batches_in_backoff_keep_no_new_ones_out)
{
    static const struct script_step steps[] = {{.status = 14, .times = 40}};
    bench_begin(steps, 1);
    bench_serve(NULL);
    bench.config.retry_initial_ms = bench.config.retry_max_ms = 600000;
    bench_export();
    bench_submit(50);
    bench_run_until(bench_finished, 10);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 40);
    ck_assert_uint_eq(exporter_held(bench.exporter), 40);
    ck_assert(exporter_has_room(bench.exporter));
    bench_end();
}

TEST(a_batch_that_is_spooled_meanwhile_comes_back_instead_of_waiting)
{
    static const struct script_step steps[] = {
        {.status = 14, .delay_ms = 20}, {.kind = SCRIPT_RESET, .error = 7, .delay_ms = 20}, {.delay_ms = 20}};
    bench_begin(steps, 3);
    bench_serve(NULL);
    bench.config.max_in_flight = 1;
    bench_export();
    bench_submit(3);
    for (unsigned i = 0; i < 3; i++) {
        bench_run_until(bench_sent, i);
        ck_assert(!exporter_withdraw(bench.exporter, &bench.batches[i]));
        exporter_mark_spooled(&bench.batches[i]);
        bench_run_until(bench_finished, i + 1);
        ck_assert_int_eq(bench.batches[i].outcome.returned, i != 2);
        ck_assert_int_eq(bench.batches[i].outcome.exported, i == 2);
        ck_assert_uint_eq(bench.batches[i].finished, 1);
    }
    ck_assert_uint_eq(exporter_held(bench.exporter), 0);
    bench_end();
}

LOOP_TEST(closing_forgets_what_is_held, 3)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = 2},
                                               {.status = 14, .times = SCRIPT_FOR_EVER}};
    bench_begin(steps, 2);
    bench_serve(NULL);
    bench_export();
    bench_submit(10);
    if (_i == 1)
        bench_run_until(bench_tried, GRPC_UNAVAILABLE);
    else if (_i == 2)
        bench_run_until(bench_sent, 0);
    bench_end();
    ck_assert_uint_eq(bench.finished, 0);
}

TEST(backoff_grows_to_its_cap_within_its_jitter)
{
    const struct backoff exact = {1000, 30000, 1.5, 0};
    ck_assert_uint_eq(backoff_ms(&exact, 0, 0), 1000);
    ck_assert_uint_eq(backoff_ms(&exact, 1, 0), 1500);
    ck_assert_uint_eq(backoff_ms(&exact, 2, 0), 2250);
    ck_assert_uint_eq(backoff_ms(&exact, 9, 0), 30000);
    ck_assert_uint_eq(backoff_ms(&exact, UINT32_MAX, 0), 30000);
    const struct backoff jittered = {1000, 120000, 1.6, 0.2};
    ck_assert_uint_eq(backoff_ms(&jittered, 0, 0), 800);
    ck_assert_uint_ge(backoff_ms(&jittered, 0, UINT64_MAX), 1199);
    uint64_t state = 1, low = UINT64_MAX, high = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t ms = backoff_ms(&jittered, 0, backoff_random(&state));
        low = ms < low ? ms : low;
        high = ms > high ? ms : high;
    }
    ck_assert_uint_ge(low, 800);
    ck_assert_uint_le(low, 850);
    ck_assert_uint_ge(high, 1150);
    ck_assert_uint_le(high, 1200);
}
