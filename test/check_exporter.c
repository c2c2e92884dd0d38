/* SPDX-License-Identifier: MIT
 *
 * The exporter against a scripted server over the loopback interface. Batches are played: what the exporter asks of
 * one is defined here, in place of the real ones.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "backoff.h"
#include "delivery.h"
#include "exporter.h"
#include "exporter_token.h"
#include "grpc.h"
#include "secret.h"
#include "support/script_server.h"

enum { BATCHES_MAX = 64, BATCH_SPANS = 10, FILLER_BYTES = 100000, BATCH_BYTES = 4 + FILLER_BYTES, PATIENCE_MS = 20000 };

struct batch {
    struct delivery delivery;
    struct iovec parts[2];
    uint32_t id;
    unsigned finished;
    unsigned sent, acknowledged; /* by the server's account */
    struct batch_outcome outcome;
};

struct delivery *batch_delivery(struct batch *batch)
{
    return &batch->delivery;
}

const struct iovec *batch_parts(const struct batch *batch, size_t *count)
{
    *count = 2;
    return batch->parts;
}

size_t batch_bytes(const struct batch *batch)
{
    return batch->parts[0].iov_len + batch->parts[1].iov_len;
}

size_t batch_span_count(const struct batch *batch)
{
    (void)batch;
    return BATCH_SPANS;
}

static struct bench {
    uv_loop_t loop;
    struct config config;
    struct stats stats;
    struct log *log;
    int log_fd;
    struct exporter *exporter;
    struct script_server *server;
    struct script script;
    char port[16];
    struct batch batches[BATCHES_MAX];
    unsigned submitted, finished, gzipped;
    bool closed;
    char last_headers[4096];
    char log_text[16384];
} bench;

static void on_finished(void *user, struct batch *batch, const struct batch_outcome *outcome)
{
    ck_assert_ptr_eq(user, &bench);
    batch->finished++;
    batch->outcome = *outcome;
    bench.finished++;
}

/* The batch's id, when all of its message comes out of what was sent gzipped. */
static uint32_t unpack_id(const struct buf *body)
{
    static uint8_t message[BATCH_BYTES + 1];
    uint32_t id;
    z_stream stream = {.next_in = body->data + 5, .avail_in = (uInt)(body->len - 5), .next_out = message};
    stream.avail_out = sizeof message;
    ck_assert_int_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    ck_assert_int_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    ck_assert_uint_eq(stream.total_out, BATCH_BYTES);
    inflateEnd(&stream);
    memcpy(&id, message, sizeof id);
    bench.gzipped++;
    return id;
}

static void on_act(void *user, const struct script_request *request)
{
    (void)user;
    uint32_t id;
    snprintf(bench.last_headers, sizeof bench.last_headers, "%s", (const char *)request->headers.data);
    if (request->body.len < 5 + sizeof id)
        return;
    if (request->body.data[0] == 1)
        id = unpack_id(&request->body);
    else
        memcpy(&id, request->body.data + 5, sizeof id);
    ck_assert_uint_lt(id, BATCHES_MAX);
    bench.batches[id].sent++;
    if (request->step.kind == SCRIPT_ANSWER && request->step.status == 0)
        bench.batches[id].acknowledged++;
}

static void server_start(const struct script_server_options *given)
{
    struct script_server_options options = given ? *given : (struct script_server_options){0};
    options.script = &bench.script;
    options.on_act_cb = on_act;
    options.port = atoi(bench.port);
    ck_assert_int_eq(script_server_start(&bench.loop, &options, &bench.server), 0);
    snprintf(bench.port, sizeof bench.port, "%d", script_server_port(bench.server));
}

static void exporter_begin(void)
{
    ck_assert_int_eq(
        exporter_start(&bench.loop, &bench.config, &bench.stats, bench.log, on_finished, &bench, &bench.exporter), 0);
}

static void begin(const struct script_step *steps, size_t count)
{
    ck_assert_int_eq(uv_loop_init(&bench.loop), 0);
    bench.log_fd = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_eq(log_new(bench.log_fd, &bench.log), 0);
    bench.config = (struct config){.enabled = true,
                                   .host = "127.0.0.1",
                                   .port = bench.port,
                                   .max_in_flight = 4,
                                   .timeout_ms = 10000,
                                   .retry_initial_ms = 20,
                                   .retry_max_ms = 100};
    bench.script = (struct script){.steps = steps, .count = count};
}

static void on_closed(void *user)
{
    ck_assert_ptr_eq(user, &bench);
    bench.closed = true;
}

static void end(void)
{
    unsigned finished = bench.finished;
    if (bench.exporter)
        exporter_close(bench.exporter, on_closed, &bench);
    if (bench.server)
        script_server_stop(bench.server);
    ck_assert_int_eq(uv_run(&bench.loop, UV_RUN_DEFAULT), 0);
    ck_assert(bench.closed || !bench.exporter);
    ck_assert_int_eq(uv_loop_close(&bench.loop), 0);
    ck_assert_uint_eq(bench.finished, finished);
    log_free(bench.log);
    close(bench.log_fd);
}

static void submit(unsigned count)
{
    static uint8_t filler[FILLER_BYTES];
    while (count--) {
        struct batch *batch = &bench.batches[bench.submitted];
        batch->id = bench.submitted++;
        batch->parts[0] = (struct iovec){&batch->id, sizeof batch->id};
        batch->parts[1] = (struct iovec){filler, sizeof filler};
        exporter_submit(bench.exporter, batch);
    }
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Turns the loop until the condition holds; a test that waits too long fails. */
static void run_until(bool (*holds)(unsigned), unsigned argument)
{
    uv_timer_t tick;
    uv_update_time(&bench.loop);
    uint64_t until_ms = uv_now(&bench.loop) + PATIENCE_MS;
    uv_timer_init(&bench.loop, &tick);
    uv_timer_start(&tick, on_tick, 5, 5);
    while (!holds(argument)) {
        ck_assert_msg(uv_now(&bench.loop) < until_ms, "waited too long: %u of %u finished, trouble: %s", bench.finished,
                      bench.submitted, exporter_trouble(bench.exporter));
        uv_run(&bench.loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&bench.loop, UV_RUN_NOWAIT);
}

static bool finished(unsigned count)
{
    return bench.finished >= count;
}

static bool connected(unsigned count)
{
    return script_server_accepted(bench.server) >= count && !exporter_trouble(bench.exporter);
}

static bool in_trouble(unsigned ignored)
{
    (void)ignored;
    return exporter_trouble(bench.exporter) && !strstr(exporter_trouble(bench.exporter), "connecting");
}

static bool tried(unsigned code)
{
    return bench.stats.export_requests[code] > 0;
}

static bool sent(unsigned id)
{
    return bench.batches[id].sent > 0;
}

static const char *log_text(void)
{
    ssize_t bytes = pread(bench.log_fd, bench.log_text, sizeof bench.log_text - 1, 0);
    bench.log_text[bytes > 0 ? bytes : 0] = '\0';
    return bench.log_text;
}

/* All submitted batches were exported, each acknowledged exactly once. */
static void check_all_exported(void)
{
    ck_assert_uint_eq(bench.finished, bench.submitted);
    ck_assert_uint_eq(exporter_held(bench.exporter), 0);
    for (unsigned i = 0; i < bench.submitted; i++) {
        ck_assert_uint_eq(bench.batches[i].finished, 1);
        ck_assert(bench.batches[i].outcome.exported);
        ck_assert_uint_eq(bench.batches[i].acknowledged, 1);
    }
}

START_TEST(batches_are_exported_and_counted)
{
    begin(NULL, 0);
    server_start(NULL);
    exporter_begin();
    ck_assert_ptr_nonnull(exporter_trouble(bench.exporter));
    submit(20);
    ck_assert_uint_eq(exporter_held(bench.exporter), 20);
    run_until(finished, 20);
    check_all_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 20);
    ck_assert_uint_gt(bench.stats.last_success_ms, 0);
    ck_assert_ptr_null(exporter_trouble(bench.exporter));
    ck_assert_uint_eq(script_server_accepted(bench.server), 1);
    ck_assert_str_eq(log_text(), "");
    end();
}
END_TEST

START_TEST(retryable_answers_are_retried_until_acknowledged_once)
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
    begin(steps, sizeof steps / sizeof steps[0]);
    server_start(NULL);
    exporter_begin();
    submit(6);
    run_until(finished, 6);
    check_all_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 6);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 5);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_CANCELLED], 2);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_DATA_LOSS], 1);
    ck_assert(bench.stats.outage_began_ms > 0 && bench.stats.outage_ended_ms >= bench.stats.outage_began_ms);
    ck_assert_ptr_null(exporter_trouble(bench.exporter));
    end();
}
END_TEST

/* The server asks for 0.3 s, and the backoff for less, or for more. */
START_TEST(the_longer_of_retry_info_and_backoff_is_waited_for)
{
    static const uint64_t backoffs_ms[] = {20, 700}, waits_ms[] = {300, 560};
    /* google.rpc.Status with RetryInfo{0.3 s} */
    static const struct script_step steps[] = {
        {.status = 8, .details = "CAgaNAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIICgYQgMaGjwE"}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.retry_initial_ms = bench.config.retry_max_ms = backoffs_ms[_i];
    exporter_begin();
    submit(1);
    run_until(tried, GRPC_RESOURCE_EXHAUSTED);
    uint64_t refused_ms = uv_now(&bench.loop);
    run_until(finished, 1);
    ck_assert_uint_ge(uv_now(&bench.loop) - refused_ms + 10, waits_ms[_i]);
    check_all_exported();
    end();
}
END_TEST

START_TEST(partial_success_counts_the_rejected)
{
    static const struct script_step steps[] = {{.rejected = 3, .rejected_message = "too old"},
                                               {.rejected = 1000, .rejected_message = "more than there are"},
                                               {.rejected_message = "only a warning"}};
    begin(steps, 3);
    server_start(NULL);
    bench.config.max_in_flight = 1;
    exporter_begin();
    submit(3);
    run_until(finished, 3);
    check_all_exported();
    ck_assert_uint_eq(bench.batches[0].outcome.rejected, 3);
    ck_assert_uint_eq(bench.batches[1].outcome.rejected, BATCH_SPANS);
    ck_assert_uint_eq(bench.batches[2].outcome.rejected, 0);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 3);
    ck_assert_ptr_nonnull(strstr(log_text(), "too old"));
    ck_assert_ptr_nonnull(strstr(log_text(), "only a warning"));
    end();
}
END_TEST

START_TEST(refused_batches_are_given_up_with_a_reason)
{
    static const struct script_step steps[] = {
        {.status = 12, .message = "no such service"},     {.status = 16}, {.status = 7}, {.status = 8}, {.status = 3},
        {.status = SCRIPT_NO_STATUS, .http_status = 404},
    };
    begin(steps, 6);
    server_start(NULL);
    bench.config.max_in_flight = 1;
    exporter_begin();
    submit(6);
    run_until(finished, 6);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert(!bench.batches[i].outcome.exported);
        ck_assert_int_eq(bench.batches[i].outcome.reason, DROP_REFUSED);
        ck_assert_uint_eq(bench.batches[i].sent, 1);
        ck_assert_uint_eq(bench.batches[i].finished, 1);
    }
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNIMPLEMENTED], 2);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAUTHENTICATED], 1);
    ck_assert_ptr_nonnull(strstr(log_text(), "UNIMPLEMENTED: no such service"));
    ck_assert_ptr_nonnull(exporter_trouble(bench.exporter));
    submit(1);
    run_until(finished, 7);
    ck_assert(bench.batches[6].outcome.exported);
    ck_assert_ptr_null(exporter_trouble(bench.exporter));
    end();
}
END_TEST

START_TEST(a_silent_server_is_a_deadline_and_another_try)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = 2}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.timeout_ms = 50;
    exporter_begin();
    run_until(connected, 1);
    submit(3);
    run_until(finished, 3);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_DEADLINE_EXCEEDED], 2);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 3);
    ck_assert_uint_eq(script_server_resets(bench.server), 2);
    check_all_exported();
    end();
}
END_TEST

START_TEST(a_connection_that_only_keeps_silent_is_left_for_another)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = 8}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.timeout_ms = 50;
    exporter_begin();
    run_until(connected, 1);
    submit(4);
    run_until(finished, 4);
    check_all_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_DEADLINE_EXCEEDED], 8);
    ck_assert_uint_eq(script_server_accepted(bench.server), 2);
    end();
}
END_TEST

START_TEST(a_server_that_dies_and_returns_gets_what_it_missed)
{
    static const struct script_step steps[] = {{.times = 2}, {.kind = SCRIPT_HOLD, .times = 2}};
    begin(steps, 2);
    server_start(NULL);
    exporter_begin();
    submit(2);
    run_until(finished, 2);
    submit(2);
    run_until(sent, 2);
    run_until(sent, 3);
    script_server_stop(bench.server);
    run_until(in_trouble, 0);
    submit(3);
    server_start(NULL);
    run_until(finished, 7);
    check_all_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 2);
    ck_assert(bench.stats.outage_began_ms > 0 && bench.stats.outage_ended_ms >= bench.stats.outage_began_ms);
    end();
}
END_TEST

START_TEST(an_endpoint_that_is_not_there_yet_is_found_later)
{
    begin(NULL, 0);
    server_start(NULL); /* for a port that is free */
    script_server_stop(bench.server);
    uv_run(&bench.loop, UV_RUN_NOWAIT);
    exporter_begin();
    submit(2);
    run_until(in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "connection refused"));
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), bench.port));
    server_start(NULL);
    run_until(finished, 2);
    check_all_exported();
    end();
}
END_TEST

START_TEST(goaway_moves_the_rest_to_a_new_connection_and_lets_the_old_one_finish)
{
    static const struct script_step steps[] = {
        {.delay_ms = 200}, {.kind = SCRIPT_GOAWAY_BEFORE}, {.times = 3}, {.kind = SCRIPT_GOAWAY_AFTER}};
    begin(steps, 4);
    server_start(NULL);
    bench.config.max_in_flight = 2;
    exporter_begin();
    run_until(connected, 1);
    submit(6);
    run_until(finished, 6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert(bench.batches[i].outcome.exported);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_OK], 6);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 0);
    ck_assert_uint_eq(bench.batches[1].sent, 2);
    ck_assert_uint_ge(script_server_accepted(bench.server), 2);
    end();
}
END_TEST

START_TEST(a_server_that_closes_on_every_request_is_not_stormed)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_CLOSE, .times = SCRIPT_FOR_EVER}};
    begin(steps, 1);
    server_start(NULL);
    exporter_begin();
    submit(8);
    run_until(in_trouble, 0);
    uint64_t until_ms = uv_now(&bench.loop) + 500;
    while (uv_now(&bench.loop) < until_ms)
        uv_run(&bench.loop, UV_RUN_ONCE);
    ck_assert_uint_le(script_server_accepted(bench.server), 3);
    ck_assert_uint_eq(exporter_held(bench.exporter), 8);
    end();
}
END_TEST

START_TEST(a_server_that_refuses_every_stream_is_not_stormed)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_RESET, .error = 7, .times = 10}};
    begin(steps, 1);
    server_start(NULL);
    exporter_begin();
    submit(1);
    run_until(finished, 1);
    ck_assert_uint_eq(bench.batches[0].sent, 11);
    /* Every other one was free of charge, so that five waited. */
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 5);
    end();
}
END_TEST

START_TEST(calls_in_flight_stay_within_both_limits)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = SCRIPT_FOR_EVER}};
    begin(steps, 1);
    server_start(&(struct script_server_options){.limits = {.max_concurrent_streams = _i ? 100 : 2}});
    exporter_begin();
    submit(10);
    ck_assert(!exporter_has_room(bench.exporter));
    unsigned expected = _i ? 4 : 2;
    run_until(sent, expected - 1);
    for (int turns = 0; turns < 20; turns++)
        uv_run(&bench.loop, UV_RUN_NOWAIT);
    unsigned on_wire = 0;
    for (unsigned i = 0; i < 10; i++)
        on_wire += bench.batches[i].sent;
    ck_assert_uint_eq(on_wire, expected);
    end();
}
END_TEST

START_TEST(a_batch_in_backoff_holds_no_place)
{
    static const struct script_step steps[] = {{.status = 14}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.max_in_flight = 1;
    bench.config.retry_initial_ms = bench.config.retry_max_ms = 300;
    exporter_begin();
    submit(2);
    run_until(finished, 1);
    ck_assert_uint_eq(bench.batches[1].finished, 1);
    ck_assert_uint_eq(bench.batches[0].finished, 0);
    run_until(finished, 2);
    check_all_exported();
    end();
}
END_TEST

START_TEST(batches_in_backoff_keep_no_new_ones_out)
{
    static const struct script_step steps[] = {{.status = 14, .times = 40}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.retry_initial_ms = bench.config.retry_max_ms = 600000;
    exporter_begin();
    submit(50);
    run_until(finished, 10);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAVAILABLE], 40);
    ck_assert_uint_eq(exporter_held(bench.exporter), 40);
    ck_assert(exporter_has_room(bench.exporter));
    end();
}
END_TEST

START_TEST(a_batch_that_is_spooled_meanwhile_comes_back_instead_of_waiting)
{
    static const struct script_step steps[] = {
        {.status = 14, .delay_ms = 20}, {.kind = SCRIPT_RESET, .error = 7, .delay_ms = 20}, {.delay_ms = 20}};
    begin(steps, 3);
    server_start(NULL);
    bench.config.max_in_flight = 1;
    exporter_begin();
    submit(3);
    for (unsigned i = 0; i < 3; i++) {
        run_until(sent, i);
        ck_assert(!exporter_withdraw(bench.exporter, &bench.batches[i]));
        exporter_mark_spooled(bench.exporter, &bench.batches[i]);
        run_until(finished, i + 1);
        ck_assert_int_eq(bench.batches[i].outcome.returned, i != 2);
        ck_assert_int_eq(bench.batches[i].outcome.exported, i == 2);
        ck_assert_uint_eq(bench.batches[i].finished, 1);
    }
    ck_assert_uint_eq(exporter_held(bench.exporter), 0);
    end();
}
END_TEST

START_TEST(a_batch_goes_gzipped_also_when_it_is_repeated)
{
    static const struct script_step steps[] = {{.status = 14, .times = 2}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.compression = CONFIG_COMPRESSION_GZIP;
    exporter_begin();
    submit(6);
    run_until(finished, 6);
    check_all_exported();
    ck_assert_uint_eq(bench.gzipped, 8);
    ck_assert_ptr_nonnull(strstr(bench.last_headers, "\ngrpc-encoding: gzip\n"));
    end();
}
END_TEST

START_TEST(a_server_that_does_not_know_gzip_gets_it_plain_and_is_named)
{
    static const struct script_step steps[] = {{.status = 12, .message = "unknown encoding"}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.compression = CONFIG_COMPRESSION_GZIP;
    bench.config.max_in_flight = 1;
    exporter_begin();
    submit(5);
    run_until(finished, 5);
    check_all_exported();
    /* The first, whose second attempt had its turn before the others. */
    ck_assert_uint_eq(bench.gzipped, 1);
    ck_assert_ptr_nonnull(strstr(bench.last_headers, "\ngrpc-encoding: identity\n"));
    ck_assert_ptr_nonnull(strstr(log_text(), "set aistraced.compression to \"none\""));
    end();
}
END_TEST

START_TEST(a_service_that_is_not_there_refuses_gzipped_and_plain)
{
    static const struct script_step steps[] = {{.status = 12, .times = 2}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.compression = CONFIG_COMPRESSION_GZIP;
    bench.config.max_in_flight = 1;
    exporter_begin();
    submit(1);
    run_until(finished, 1);
    ck_assert(!bench.batches[0].outcome.exported);
    ck_assert_uint_eq(bench.batches[0].sent, 2);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNIMPLEMENTED], 2);
    submit(1);
    run_until(finished, 2);
    ck_assert_uint_eq(bench.gzipped, 2);
    end();
}
END_TEST

START_TEST(who_is_not_grpc_is_named_with_the_setting_that_mends_it)
{
    static const struct {
        const char *bytes;
        size_t count;
        const char *word;
    } table[] = {{"\x15\x03\x01\0\2\2\x46", 7, "https://"}, {"HTTP/1.1 400 Bad Request\r\n\r\n", 28, "4317"}};
    begin(NULL, 0);
    server_start(&(struct script_server_options){.greeting = table[_i].bytes, .greeting_bytes = table[_i].count});
    exporter_begin();
    submit(1);
    run_until(in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "exporter_endpoint"));
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), table[_i].word));
    ck_assert_ptr_nonnull(strstr(log_text(), "exporter_endpoint"));
    end();
}
END_TEST

START_TEST(a_host_that_does_not_resolve_is_named)
{
    begin(NULL, 0);
    snprintf(bench.port, sizeof bench.port, "4317");
    bench.config.host = "no-such-host.invalid";
    exporter_begin();
    run_until(in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "no-such-host.invalid:4317: cannot resolve"));
    end();
}
END_TEST

START_TEST(closing_forgets_what_is_held)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_HOLD, .times = 2},
                                               {.status = 14, .times = SCRIPT_FOR_EVER}};
    begin(steps, 2);
    server_start(NULL);
    exporter_begin();
    submit(10);
    if (_i == 1)
        run_until(tried, GRPC_UNAVAILABLE);
    else if (_i == 2)
        run_until(sent, 0);
    end();
    ck_assert_uint_eq(bench.finished, 0);
}
END_TEST

static char *write_token(const char *text, size_t bytes)
{
    static char path[] = "/tmp/check_exporter.XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, bytes), (ssize_t)bytes);
    close(fd);
    return path;
}

START_TEST(the_token_goes_with_each_request_unindexed)
{
    begin(NULL, 0);
    server_start(NULL);
    bench.config.token_header = "x-auth";
    bench.config.token_file = write_token("\n Bearer abc \n", 14);
    exporter_begin();
    submit(1);
    run_until(finished, 1);
    unlink(bench.config.token_file);
    ck_assert_ptr_nonnull(strstr(bench.last_headers, "\nx-auth: Bearer abc (never indexed)\n"));
    end();
}
END_TEST

START_TEST(without_its_token_nothing_is_sent)
{
    begin(NULL, 0);
    server_start(NULL);
    bench.config.token_header = "x-auth";
    bench.config.token_file = "/nonexistent/token";
    exporter_begin();
    submit(1);
    run_until(in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "/nonexistent/token: No such file"));
    ck_assert_uint_eq(script_server_accepted(bench.server), 0);
    end();
}
END_TEST

START_TEST(a_denied_token_that_was_replaced_meanwhile_loses_nothing)
{
    static const struct script_step steps[] = {{.status = 16}, {.status = 7}, {.status = 16}};
    begin(steps, 3);
    server_start(NULL);
    bench.config.max_in_flight = 3;
    bench.config.token_header = "x-auth";
    bench.config.token_file = write_token("old", 3);
    exporter_begin();
    run_until(connected, 1);
    int fd = open(bench.config.token_file, O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, "new", 3), 3);
    close(fd);
    submit(5);
    run_until(finished, 5);
    unlink(bench.config.token_file);
    check_all_exported();
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_UNAUTHENTICATED], 2);
    ck_assert_uint_eq(bench.stats.export_requests[GRPC_PERMISSION_DENIED], 1);
    ck_assert_ptr_nonnull(strstr(bench.last_headers, "\nx-auth: new "));
    ck_assert_uint_eq(script_server_accepted(bench.server), 2);
    end();
}
END_TEST

START_TEST(a_new_token_that_is_denied_too_is_tried_once)
{
    static const struct script_step steps[] = {{.status = 16, .times = 2}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.token_header = "x-auth";
    bench.config.token_file = write_token("old", 3);
    exporter_begin();
    run_until(connected, 1);
    int fd = open(bench.config.token_file, O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, "new", 3), 3);
    close(fd);
    submit(1);
    run_until(finished, 1);
    unlink(bench.config.token_file);
    ck_assert_int_eq(bench.batches[0].outcome.reason, DROP_REFUSED);
    ck_assert_uint_eq(bench.batches[0].sent, 2);
    end();
}
END_TEST

START_TEST(a_new_token_ends_the_wait_of_a_denied_one)
{
    static const struct script_step steps[] = {{.status = 16}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.retry_initial_ms = bench.config.retry_max_ms = 600000;
    bench.config.token_header = "x-auth";
    bench.config.token_file = write_token("old", 3);
    exporter_begin();
    submit(1);
    run_until(finished, 1);
    ck_assert_int_eq(bench.batches[0].outcome.reason, DROP_REFUSED);
    submit(1);
    int fd = open(bench.config.token_file, O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, "new", 3), 3);
    close(fd);
    run_until(finished, 2);
    unlink(bench.config.token_file);
    ck_assert(bench.batches[1].outcome.exported);
    end();
}
END_TEST

START_TEST(a_denied_token_makes_no_storm_and_costs_few_batches)
{
    enum { WAIT_MS = 100, OBSERVED_MS = 600 };
    static const struct script_step steps[] = {{.status = 16, .times = SCRIPT_FOR_EVER}};
    begin(steps, 1);
    server_start(NULL);
    bench.config.retry_initial_ms = bench.config.retry_max_ms = WAIT_MS;
    exporter_begin();
    submit(40);
    run_until(finished, (unsigned)bench.config.max_in_flight);
    uint64_t from_ms = uv_now(&bench.loop);
    while (uv_now(&bench.loop) < from_ms + OBSERVED_MS)
        uv_run(&bench.loop, UV_RUN_ONCE);
    unsigned denied = bench.finished - (unsigned)bench.config.max_in_flight;
    ck_assert_uint_ge(denied, 1);
    ck_assert_uint_le(denied, (uv_now(&bench.loop) - from_ms) / (WAIT_MS * 8 / 10) + 1);
    end();
}
END_TEST

START_TEST(a_token_that_no_header_can_carry_is_an_error)
{
    static char large[EXPORTER_TOKEN_MAX_BYTES + 1];
    memset(large, 'x', sizeof large);
    static const struct {
        const char *text;
        size_t bytes;
        int err;
    } table[] = {
        {"", 0, -ENODATA},    {" \n", 2, -ENODATA},          {"a\nb", 3, -EILSEQ},         {"a\0b", 3, -EILSEQ},
        {"\xff", 1, -EILSEQ}, {large, sizeof large, -EFBIG}, {large, sizeof large - 1, 0}, {"a b", 3, 0}};
    char *token = NULL;
    char *path = write_token(table[_i].text, table[_i].bytes);
    ck_assert_int_eq(exporter_token_read(path, &token), table[_i].err);
    unlink(path);
    ck_assert_int_eq(token != NULL, table[_i].err == 0);
    secret_free(token);
    ck_assert_int_eq(exporter_token_read("/tmp", &token), -EINVAL);
}
END_TEST

static bool acted_on(unsigned count)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < bench.submitted; i++)
        sum += bench.batches[i].sent;
    return sum >= count;
}

START_TEST(another_endpoint_gets_what_comes_next_and_the_first_finishes_what_it_has)
{
    static const struct script_step steps[] = {{.kind = SCRIPT_ANSWER, .delay_ms = 300}};
    begin(steps, 1);
    server_start(NULL);
    exporter_begin();
    run_until(connected, 1);
    submit(2);
    run_until(acted_on, 1); /* and the other waits for its answer */
    struct script_server *first = bench.server;
    bench.port[0] = '\0';
    server_start(NULL);
    struct config fresh = bench.config;
    char host[] = "localhost", port[16];
    snprintf(port, sizeof port, "%d", script_server_port(bench.server));
    fresh.host = host;
    fresh.port = port;
    ck_assert_int_eq(exporter_reconfigure(bench.exporter, &fresh), 0);
    memset(&bench.config, 0xff, sizeof bench.config); /* nobody reads it any more */
    submit(2);
    run_until(finished, 4);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(bench.batches[i].sent, 1);
    ck_assert_uint_eq(script_server_accepted(first), 1);
    ck_assert_uint_eq(script_server_accepted(bench.server), 1);
    script_server_stop(first);
    end();
}
END_TEST

START_TEST(a_reload_that_moves_nothing_keeps_the_connection)
{
    begin(NULL, 0);
    server_start(NULL);
    exporter_begin();
    run_until(connected, 1);
    struct config fresh = bench.config;
    fresh.timeout_ms = 5000;
    fresh.max_in_flight = 256;
    ck_assert_int_eq(exporter_reconfigure(bench.exporter, &fresh), 0);
    submit(20);
    run_until(finished, 20);
    ck_assert_uint_eq(script_server_accepted(bench.server), 1);
    end();
}
END_TEST

START_TEST(a_new_endpoint_ends_the_wait_for_the_old_one)
{
    begin(NULL, 0);
    bench.config.host = "127.0.0.1";
    snprintf(bench.port, sizeof bench.port, "1");
    bench.config.retry_initial_ms = bench.config.retry_max_ms = 600000;
    exporter_begin();
    submit(3);
    run_until(in_trouble, 0);
    char *port = bench.port;
    struct config fresh = bench.config;
    char old_port[] = "1";
    bench.config.port = old_port;
    port[0] = '\0';
    server_start(NULL);
    ck_assert_int_eq(exporter_reconfigure(bench.exporter, &fresh), 0);
    run_until(finished, 3);
    end();
}
END_TEST

START_TEST(tls_is_not_silently_left_out)
{
    begin(NULL, 0);
    bench.config.transport = CONFIG_TLS;
    server_start(NULL);
    exporter_begin();
    submit(3);
    run_until(in_trouble, 0);
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "plaintext HTTP/2"));
    ck_assert_ptr_nonnull(strstr(exporter_trouble(bench.exporter), "http://"));
    ck_assert_uint_eq(exporter_held(bench.exporter), 3);
    end();
}
END_TEST

START_TEST(backoff_grows_to_its_cap_within_its_jitter)
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
END_TEST

int main(void)
{
    Suite *suite = suite_create("exporter");
    TCase *tcase = tcase_create("outcomes");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, batches_are_exported_and_counted);
    tcase_add_test(tcase, retryable_answers_are_retried_until_acknowledged_once);
    tcase_add_loop_test(tcase, the_longer_of_retry_info_and_backoff_is_waited_for, 0, 2);
    tcase_add_test(tcase, partial_success_counts_the_rejected);
    tcase_add_test(tcase, refused_batches_are_given_up_with_a_reason);
    tcase_add_test(tcase, a_silent_server_is_a_deadline_and_another_try);
    tcase_add_test(tcase, a_batch_in_backoff_holds_no_place);
    tcase_add_test(tcase, batches_in_backoff_keep_no_new_ones_out);
    tcase_add_test(tcase, a_batch_that_is_spooled_meanwhile_comes_back_instead_of_waiting);
    tcase_add_loop_test(tcase, calls_in_flight_stay_within_both_limits, 0, 2);
    tcase_add_test(tcase, a_batch_goes_gzipped_also_when_it_is_repeated);
    tcase_add_test(tcase, a_server_that_does_not_know_gzip_gets_it_plain_and_is_named);
    tcase_add_test(tcase, a_service_that_is_not_there_refuses_gzipped_and_plain);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("connection");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_connection_that_only_keeps_silent_is_left_for_another);
    tcase_add_test(tcase, a_server_that_dies_and_returns_gets_what_it_missed);
    tcase_add_test(tcase, an_endpoint_that_is_not_there_yet_is_found_later);
    tcase_add_test(tcase, goaway_moves_the_rest_to_a_new_connection_and_lets_the_old_one_finish);
    tcase_add_test(tcase, a_server_that_closes_on_every_request_is_not_stormed);
    tcase_add_test(tcase, a_server_that_refuses_every_stream_is_not_stormed);
    tcase_add_loop_test(tcase, who_is_not_grpc_is_named_with_the_setting_that_mends_it, 0, 2);
    tcase_add_test(tcase, a_host_that_does_not_resolve_is_named);
    tcase_add_loop_test(tcase, closing_forgets_what_is_held, 0, 3);
    tcase_add_test(tcase, another_endpoint_gets_what_comes_next_and_the_first_finishes_what_it_has);
    tcase_add_test(tcase, a_reload_that_moves_nothing_keeps_the_connection);
    tcase_add_test(tcase, a_new_endpoint_ends_the_wait_for_the_old_one);
    tcase_add_test(tcase, tls_is_not_silently_left_out);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("parts");
    tcase_add_test(tcase, the_token_goes_with_each_request_unindexed);
    tcase_add_test(tcase, without_its_token_nothing_is_sent);
    tcase_add_test(tcase, a_denied_token_that_was_replaced_meanwhile_loses_nothing);
    tcase_add_test(tcase, a_new_token_that_is_denied_too_is_tried_once);
    tcase_add_test(tcase, a_new_token_ends_the_wait_of_a_denied_one);
    tcase_add_test(tcase, a_denied_token_makes_no_storm_and_costs_few_batches);
    tcase_add_loop_test(tcase, a_token_that_no_header_can_carry_is_an_error, 0, 8);
    tcase_add_test(tcase, backoff_grows_to_its_cap_within_its_jitter);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
