/* SPDX-License-Identifier: MIT */
#include "exporter_bench.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "support/directory.h"
#include "support/loop.h"

enum { PATIENT_TIMEOUT_MS = 10000 };

struct exporter_bench bench;

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
    stream.avail_out = sizeof(message);
    ck_assert_int_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    ck_assert_int_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    ck_assert_uint_eq(stream.total_out, BATCH_BYTES);
    inflateEnd(&stream);
    memcpy(&id, message, sizeof(id));
    bench.gzipped++;
    return id;
}

static void on_act(void *user, const struct script_request *request)
{
    (void)user;
    uint32_t id;
    snprintf(bench.last_headers, sizeof(bench.last_headers), "%s", (const char *)request->headers.data);
    if (request->body.len < 5 + sizeof(id))
        return;
    if (request->body.data[0] == 1)
        id = unpack_id(&request->body);
    else
        memcpy(&id, request->body.data + 5, sizeof(id));
    ck_assert_uint_lt(id, BATCHES_MAX);
    bench.batches[id].sent++;
    if (request->step.kind == SCRIPT_ANSWER && request->step.status == 0)
        bench.batches[id].acknowledged++;
}

void bench_serve(const struct script_server_options *given)
{
    struct script_server_options options = given ? *given : (struct script_server_options){0};
    options.script = &bench.script;
    options.on_act_cb = on_act;
    options.port = atoi(bench.port);
    ck_assert_int_eq(script_server_start(&bench.loop, &options, &bench.server), 0);
    snprintf(bench.port, sizeof(bench.port), "%d", script_server_port(bench.server));
}

void bench_export(void)
{
    ck_assert_int_eq(
        exporter_start(&bench.loop, &bench.config, &bench.stats, bench.log, on_finished, &bench, &bench.exporter), 0);
}

void bench_begin(const struct script_step *steps, size_t count)
{
    ck_assert_int_eq(uv_loop_init(&bench.loop), 0);
    bench.log_fd = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_eq(log_new(bench.log_fd, &bench.log), 0);
    bench.config = (struct config){.enabled = true,
                                   .host = "127.0.0.1",
                                   .port = bench.port,
                                   .max_in_flight = 4,
                                   .timeout_ms = PATIENT_TIMEOUT_MS,
                                   .retry_initial_ms = 20,
                                   .retry_max_ms = 100};
    bench.script = (struct script){.steps = steps, .count = count};
}

static void on_closed(void *user)
{
    ck_assert_ptr_eq(user, &bench);
    bench.closed = true;
}

void bench_end(void)
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

void bench_submit(unsigned count)
{
    static uint8_t filler[FILLER_BYTES];
    while (count--) {
        struct batch *batch = &bench.batches[bench.submitted];
        batch->id = bench.submitted++;
        batch->parts[0] = (struct iovec){&batch->id, sizeof(batch->id)};
        batch->parts[1] = (struct iovec){filler, sizeof(filler)};
        exporter_submit(bench.exporter, batch);
    }
}

void bench_run_until(bool (*holds)(unsigned), unsigned argument)
{
    LOOP_UNTIL_OR(&bench.loop, holds(argument), "%u of %u finished, trouble: %s", bench.finished, bench.submitted,
                  exporter_trouble(bench.exporter));
}

bool bench_finished(unsigned count)
{
    return bench.finished >= count;
}

bool bench_connected(unsigned count)
{
    return script_server_accepted(bench.server) >= count && !exporter_trouble(bench.exporter);
}

bool bench_in_trouble(unsigned ignored)
{
    (void)ignored;
    return exporter_trouble(bench.exporter) && !strstr(exporter_trouble(bench.exporter), "connecting");
}

bool bench_tried(unsigned code)
{
    return bench.stats.export_requests[code] > 0;
}

bool bench_sent(unsigned id)
{
    return bench.batches[id].sent > 0;
}

bool bench_timed_out(unsigned count)
{
    return bench.stats.export_requests[GRPC_DEADLINE_EXCEEDED] >= count;
}

void bench_answer_from_now_on(void)
{
    bench.config.timeout_ms = PATIENT_TIMEOUT_MS;
    bench.script = (struct script){0};
}

const char *bench_log(void)
{
    ssize_t bytes = pread(bench.log_fd, bench.log_text, sizeof(bench.log_text) - 1, 0);
    bench.log_text[bytes > 0 ? bytes : 0] = '\0';
    return bench.log_text;
}

void bench_check_exported(void)
{
    ck_assert_uint_eq(bench.finished, bench.submitted);
    ck_assert_uint_eq(exporter_held(bench.exporter), 0);
    for (unsigned i = 0; i < bench.submitted; i++) {
        ck_assert_uint_eq(bench.batches[i].finished, 1);
        ck_assert(bench.batches[i].outcome.exported);
    }
}

void bench_check_all_exported(void)
{
    bench_check_exported();
    for (unsigned i = 0; i < bench.submitted; i++)
        ck_assert_uint_eq(bench.batches[i].acknowledged, 1);
}

char *bench_write_token(const char *text, size_t bytes)
{
    static char directory[TEST_DIRECTORY_BYTES], path[sizeof(directory) + 8];
    test_directory(directory, "token");
    snprintf(path, sizeof(path), "%s/token", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, bytes), (ssize_t)bytes);
    close(fd);
    return path;
}
