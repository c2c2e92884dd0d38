/* SPDX-License-Identifier: MIT
 *
 *   instructions RING_DIR SPANS counter|system|off
 *
 * Writes spans, by that clock (off: while the tracer is not started), then drains and encodes them as the sidecar does, each in a function that callgrind can
 * be told to watch: bench_span and bench_drain. test/unit/client/check_instructions.py runs it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "batch/batch.h"
#include "bench.h"
#include "clock.h"
#include "support/span_set.h"

enum { FORCE_EVERY = 64 }; /* spans: under callgrind some milliseconds */
enum { RING_BYTES = 8 << 20, WINDOW_BYTES = 256 << 10, BATCH_SPANS = 2048, BATCH_BYTES = 1 << 20 };

struct drain {
    struct shmring_reader *reader;
    struct shmring_window *window;
    struct batch_pool *pool;
    struct batch *batch;
    struct claim_queue claims;
    struct buf resource;
    uint64_t invalid_text;
    long spans;
};

/* Seals and settles the open batch and releases what it answers for. */
static void finish_batch(struct drain *drain)
{
    struct shmring_ledger ledger = shmring_reader_slot(drain->reader, 0)->ledger;
    if (batch_seal(drain->batch) != 0)
        bench_die("seal", -ENOMEM);
    batch_finish(drain->batch, &(struct batch_outcome){.exported = true});
    drain->batch = NULL;
    while (claim_take(&drain->claims, &ledger.cpos, &ledger.counts))
        ;
    shmring_reader_commit(drain->reader, 0, &ledger);
}

static void take(struct drain *drain, const struct shmring_view *view)
{
    static const struct batch_limits limits = {BATCH_SPANS, BATCH_BYTES};
    struct span_view span;
    const char *problem;
    if (record_decode(view->payload, view->payload_bytes, view->type, view->flags, &span, &problem) != 0)
        bench_die(problem, 0);
    for (;;) {
        if (!drain->batch && batch_open(drain->pool, &limits, 0, &drain->batch) != 0)
            bench_die("batch", -ENOMEM);
        struct claim *claim = batch_claim(drain->batch, &drain->claims, view->begin);
        if (!claim)
            bench_die("claim", -ENOMEM);
        if (batch_add(drain->batch, drain, &drain->resource, &span, &drain->invalid_text) == BATCH_ADDED) {
            claim->spans++;
            claim->end = view->end;
            drain->spans++;
            return;
        }
        finish_batch(drain);
    }
}

static __attribute__((noinline)) void bench_drain(struct drain *drain)
{
    struct shmring_view view;
    while (shmring_reader_fill(drain->reader, 0, drain->window) > 0)
        while (shmring_reader_next(drain->window, &view) == 1)
            take(drain, &view);
    finish_batch(drain);
}

/* Under callgrind no reading is quick enough to be believed, and the CPU's counter runs on as fast as ever. The times
 * that follow are wrong; the instructions are those of a steady clock. */
static void force_counter(void)
{
    struct aistrace__line *line = &aistrace__clock.ticks.lines[0];
    aistrace__clock.ticks.current = 0;
    line->base_ticks = aistrace__counter();
    line->slope = UINT64_C(1) << 30;
    line->window_ticks = UINT32_MAX;
    aistrace__clock.renew_at_ns = UINT64_MAX;
}

static int write_nothing(long spans)
{
    struct aistrace_counters counters;
    for (long i = 0; i < spans; i++)
        bench_span();
    aistrace_counters_read(&counters);
    printf("%ld\n", (long)counters.no_segment);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 64;
    long spans = strtol(argv[2], NULL, 10);
    bool by_counter = strcmp(argv[3], "counter") == 0;
    if (strcmp(argv[3], "off") == 0)
        return write_nothing(spans);
    if (!by_counter)
        setenv("AIS_TRACING_CLOCK", "system", 1);
    bench_tracer_start(argv[1], RING_BYTES);
    bench_attach();
    for (long i = 0; i < spans; i++) {
        if (by_counter && i % FORCE_EVERY == 0)
            force_counter();
        bench_span();
    }
    bench_check_committed();
    struct drain drain = {.reader = span_set_open(argv[1])};
    if (shmring_window_new(WINDOW_BYTES, &drain.window) != 0 || batch_pool_new(&drain.pool) != 0)
        bench_die("window", -ENOMEM);
    bench_drain(&drain);
    printf("%ld\n", drain.spans);
    batch_pool_free(drain.pool);
    shmring_window_free(drain.window);
    shmring_reader_close(drain.reader);
    return drain.spans == spans ? 0 : 1;
}
