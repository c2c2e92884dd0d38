/* SPDX-License-Identifier: MIT
 *
 * export_batches HOST PORT BATCHES SPANS IN_FLIGHT TIMEOUT_MS VALUE_BYTES none|gzip
 *
 * Sends batches of spans through the daemon's exporter, without rings. Span ids count from 1. Ends when every batch is
 * finished, with what became of them on stdout, a figure a line. The exporter's log goes to stderr.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batch/batch.h"
#include "export/exporter.h"
#include "grpc/grpc.h"
#include "span_format.h"

struct run {
    uv_loop_t loop;
    uv_timer_t tick; /* fills the exporter as it has room */
    struct config config;
    struct stats stats;
    struct exporter *exporter;
    struct batch_pool *pool;
    struct buf record;
    struct buf resource;
    uint64_t batches, spans_per_batch;
    uint64_t submitted, finished;
    uint64_t span_id;
    uint64_t exported, rejected, refused;
};

static void must(int err, const char *what)
{
    if (!err)
        return;
    fprintf(stderr, "export_batches: %s: %s\n", what, strerror(-err));
    exit(2);
}

static void put_item(struct buf *out, uint8_t tag, uint8_t type, const char *key, const void *value, size_t bytes)
{
    const struct aistrace_item item = {tag, type, (uint16_t)strlen(key), (uint32_t)bytes};
    must(buf_append(out, &item, sizeof(item)), "memory");
    must(buf_append(out, key, strlen(key)), "memory");
    must(buf_append(out, value, bytes), "memory");
}

static void make_record(struct run *run, size_t value_bytes)
{
    static const struct resource_settings settings = {.service_prefix = "exporter"};
    const struct aistrace_span_record fixed = {.trace_id = {1},
                                               .span_id = {1},
                                               .start_unix_ns = UINT64_C(1700000000000000000),
                                               .duration_ns = 1000,
                                               .kind = 1};
    char *value = calloc(1, value_bytes + 1);
    must(value ? buf_append(&run->record, &fixed, sizeof(fixed)) : -1, "memory");
    memset(value, 'v', value_bytes);
    put_item(&run->record, AISTRACE_ITEM_NAME, AISTRACE_VALUE_NONE, "", "sent by the exporter", 20);
    put_item(&run->record, AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, "filler", value, value_bytes);
    free(value);
    struct buf items = {0};
    uint64_t invalid = 0;
    put_item(&items, AISTRACE_ITEM_ROLE, AISTRACE_VALUE_NONE, "", "test", 4);
    must(otlp_encode_resource(&run->resource, items.data, items.len, &settings, &invalid), "resource");
    buf_done(&items);
}

static struct batch *make_batch(struct run *run)
{
    const struct batch_limits limits = {run->spans_per_batch, 64 << 20};
    struct batch *batch;
    struct span_view span;
    const char *problem;
    uint64_t invalid = 0;
    must(batch_open(run->pool, &limits, 0, &batch), "batch_open");
    must(record_decode(run->record.data, run->record.len, AISTRACE_RECORD_SPAN, AISTRACE_SAMPLED, &span, &problem),
         "record_decode");
    for (uint64_t i = 0; i < run->spans_per_batch; i++) {
        run->span_id++;
        memcpy(span.fixed.span_id, &run->span_id, sizeof(span.fixed.span_id));
        if (batch_add(batch, run, &run->resource, &span, &invalid) != BATCH_ADDED)
            must(-1, "batch_add");
    }
    must(batch_seal(batch), "batch_seal");
    return batch;
}

static void on_closed(void *user)
{
    (void)user;
}

static void fill(struct run *run)
{
    while (run->submitted < run->batches && exporter_has_room(run->exporter)) {
        run->submitted++;
        exporter_submit(run->exporter, make_batch(run));
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct run *run = timer->data;
    fill(run);
    if (run->finished < run->batches)
        return;
    uv_close((uv_handle_t *)timer, NULL);
    exporter_close(run->exporter, on_closed, NULL);
}

static void on_finished(void *user, struct batch *batch, const struct batch_outcome *outcome)
{
    struct run *run = user;
    uint64_t spans = batch_span_count(batch);
    run->finished++;
    run->rejected += outcome->rejected;
    run->exported += outcome->exported ? spans - outcome->rejected : 0;
    run->refused += outcome->exported ? 0 : spans;
    batch_finish(batch, outcome);
    fill(run);
}

int main(int argc, char **argv)
{
    if (argc != 9) {
        fprintf(stderr, "usage: export_batches HOST PORT BATCHES SPANS IN_FLIGHT TIMEOUT_MS VALUE_BYTES none|gzip\n");
        return 64;
    }
    static struct run run;
    struct log *log;
    run.batches = strtoull(argv[3], NULL, 10);
    run.spans_per_batch = strtoull(argv[4], NULL, 10);
    run.config =
        (struct config){.enabled = true,
                        .host = argv[1],
                        .port = argv[2],
                        .max_in_flight = strtoull(argv[5], NULL, 10),
                        .timeout_ms = strtoull(argv[6], NULL, 10),
                        .compression = strcmp(argv[8], "gzip") == 0 ? CONFIG_COMPRESSION_GZIP : CONFIG_COMPRESSION_NONE,
                        .retry_initial_ms = 50,
                        .retry_max_ms = 1000};
    make_record(&run, strtoull(argv[7], NULL, 10));
    must(batch_pool_new(&run.pool), "batch_pool_new");
    must(log_new(STDERR_FILENO, &log), "log_new");
    must(uv_loop_init(&run.loop), "uv_loop_init");
    must(exporter_start(&run.loop, &run.config, &run.stats, log, on_finished, &run, &run.exporter), "exporter_start");
    uv_timer_init(&run.loop, &run.tick);
    run.tick.data = &run;
    uv_timer_start(&run.tick, on_tick, 0, 10);
    uv_run(&run.loop, UV_RUN_DEFAULT);
    must(uv_loop_close(&run.loop), "uv_loop_close");

    printf("exported %" PRIu64 "\nrejected %" PRIu64 "\nrefused %" PRIu64 "\n", run.exported, run.rejected,
           run.refused);
    for (unsigned code = 0; code < GRPC_CODES; code++)
        if (run.stats.export_requests[code])
            printf("%s %" PRIu64 "\n", grpc_code_name(code), run.stats.export_requests[code]);
    batch_pool_free(run.pool);
    buf_done(&run.record);
    buf_done(&run.resource);
    log_free(log);
    return 0;
}
