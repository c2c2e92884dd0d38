/* SPDX-License-Identifier: MIT
 *
 * aistrace gen: generates spans through the public client library, and prints what became of them.
 */
#include <aistrace.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "options.h"
#include "span_log.h"

enum { MAX_THREADS = 128, MAX_ATTRIBUTES = 1000, KEY_BYTES = 40, ATTRIBUTE_BYTES = 80, INLINE_ATTRIBUTES = 8 };
#define TICK_NS   UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

struct gen {
    uint64_t threads, rate, count, duration_ns, attributes, children, ring_bytes, linger_s;
    const char *service, *name, *ring_dir, *log_path;
    char (*keys)[KEY_BYTES];
    struct span_log log;
};

struct worker {
    const struct gen *gen;
    struct span_log *log;
    pthread_t thread;
    uint64_t budget; /* spans */
    double rate;     /* spans a second; 0: unpaced */
    uint64_t attempted;
    struct span_log_writer writer;
    void *buffers[2]; /* of root and child, where the inline body is too small */
    size_t buffer_bytes;
    int err;
};

static atomic_bool stop;

static void on_signal(int number)
{
    (void)number;
    atomic_store_explicit(&stop, true, memory_order_relaxed);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* ---- one span ---- */

static void set_attributes(const struct worker *worker, struct aistrace_span *span)
{
    static const char *const strings[] = {"alpha", "beta", "gamma"};
    uint64_t number = worker->attempted;
    for (uint64_t i = 0; i < worker->gen->attributes; i++) {
        const char *key = worker->gen->keys[i];
        switch (i % 6) {
        case 0:
            aistrace_span_set_string(span, key, "/v1/objects/bucket/object");
            break;
        case 1:
            aistrace_span_set_int(span, key, (int64_t)(number + i));
            break;
        case 2:
            aistrace_span_set_bool(span, key, number & 1);
            break;
        case 3:
            aistrace_span_set_double(span, key, (double)number / 8);
            break;
        case 4:
            aistrace_span_set_bytes(span, key, &number, sizeof(number));
            break;
        default:
            aistrace_span_set_strings(span, key, strings, sizeof(strings) / sizeof(*strings));
        }
    }
}

static void start(struct worker *worker, struct aistrace_span *span, const char *name,
                  const struct aistrace_context *parent)
{
    struct aistrace_span_options options = {
        .kind = parent ? AISTRACE_KIND_INTERNAL : AISTRACE_KIND_SERVER,
        .parent = parent,
        .root = !parent,
        .buffer = worker->buffers[parent != NULL],
        .buffer_bytes = worker->buffer_bytes,
    };
    aistrace_span_start(span, name, &options);
    set_attributes(worker, span);
}

static void end(struct worker *worker, struct aistrace_span *span, const struct aistrace_context *parent)
{
    static const uint8_t none[8] = {0};
    if (worker->log && !worker->err)
        worker->err =
            span_log_write(worker->log, &worker->writer, aistrace_span_context(span), parent ? parent->span_id : none);
    aistrace_span_end(span);
    worker->attempted++;
}

static void make_trace(struct worker *worker)
{
    const struct gen *gen = worker->gen;
    uint64_t left = worker->budget - worker->attempted - 1;
    struct aistrace_span root, child;
    start(worker, &root, gen->name, NULL);
    const struct aistrace_context *context = aistrace_span_context(&root);
    for (uint64_t i = 0; i < gen->children && i < left; i++) {
        start(worker, &child, "step", context);
        end(worker, &child, context);
    }
    end(worker, &root, NULL);
}

/* ---- a thread of them ---- */

/* Sleeps to the next whole tick after due, so that what is due goes out in bursts of a tick. -> the time */
static uint64_t sleep_until(uint64_t due)
{
    uint64_t tick = (due + TICK_NS - 1) / TICK_NS * TICK_NS;
    struct timespec at = {(time_t)(tick / SECOND_NS), (long)(tick % SECOND_NS)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    return now_ns();
}

static void *work(void *user)
{
    struct worker *worker = user;
    const struct gen *gen = worker->gen;
    uint64_t begun = now_ns(), now = begun;
    worker->err = 0;
    while (worker->attempted < worker->budget && !worker->err && !atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint64_t due = worker->rate > 0 ? begun + (uint64_t)((double)worker->attempted / worker->rate * 1e9) : 0;
        if (due > now)
            now = sleep_until(due);
        else if (worker->rate == 0 && gen->duration_ns)
            now = now_ns();
        if (gen->duration_ns && now - begun >= gen->duration_ns)
            break;
        if (due <= now)
            make_trace(worker);
    }
    span_log_writer_done(&worker->writer);
    return NULL;
}

static int prepare(struct gen *gen, struct worker *worker, uint64_t index)
{
    *worker = (struct worker){
        .gen = gen,
        .log = gen->log_path ? &gen->log : NULL,
        .budget = gen->count ? gen->count / gen->threads + (index < gen->count % gen->threads) : UINT64_MAX,
        .rate = (double)gen->rate / (double)gen->threads,
    };
    if (gen->attributes <= INLINE_ATTRIBUTES)
        return 0;
    worker->buffer_bytes = 512 + strlen(gen->name) + gen->attributes * ATTRIBUTE_BYTES;
    for (size_t i = 0; i < sizeof(worker->buffers) / sizeof(*worker->buffers); i++) {
        worker->buffers[i] = malloc(worker->buffer_bytes);
        if (!worker->buffers[i])
            return -ENOMEM;
    }
    return 0;
}

static void say_no_segment(const struct gen *gen, int err)
{
    const char *environment = getenv("AIS_TRACING_RING_DIR");
    const char *elsewhere = environment && *environment ? environment : "/dev/shm/aistrace";
    fprintf(stderr, "aistrace gen: no segment in %s (%s): spans are recorded nowhere%s\n",
            gen->ring_dir ? gen->ring_dir : elsewhere, strerror(-err),
            err == -EPERM ? "; AIS_TRACING_RING_UID names who else may own the directory" : "");
}

static int run_threads(struct gen *gen, struct worker *workers, uint64_t *attempted)
{
    uint64_t started = 0;
    int err = 0;
    for (uint64_t i = 0; i < gen->threads && !err; i++)
        err = prepare(gen, &workers[i], i);
    while (started < gen->threads && !err) {
        err = -pthread_create(&workers[started].thread, NULL, work, &workers[started]);
        started += !err;
    }
    if (err)
        atomic_store(&stop, true);
    for (uint64_t i = 0; i < gen->threads; i++) {
        if (i < started)
            pthread_join(workers[i].thread, NULL);
        if (!err)
            err = workers[i].err;
        *attempted += workers[i].attempted;
        free(workers[i].buffers[0]);
        free(workers[i].buffers[1]);
    }
    return err;
}

/* ---- the result ---- */

static int print_result(uint64_t attempted, uint64_t begun_ns)
{
    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    const struct {
        const char *reason;
        uint64_t count;
    } dropped[] = {
        {"ring_full", counters.ring_full}, {"oversize", counters.oversize},     {"nested", counters.nested},
        {"disabled", counters.disabled},   {"no_slot", counters.no_slot},       {"no_memory", counters.no_memory},
        {"no_file", counters.no_file},     {"no_segment", counters.no_segment},
    };
    uint64_t accounted = counters.committed;
    printf("{\"attempted\":%" PRIu64 ",\"committed\":%" PRIu64 ",\"dropped\":{", attempted, counters.committed);
    for (size_t i = 0; i < sizeof(dropped) / sizeof(*dropped); i++) {
        printf("%s\"%s\":%" PRIu64, i ? "," : "", dropped[i].reason, dropped[i].count);
        accounted += dropped[i].count;
    }
    printf("},\"seconds\":%.3f}\n", (double)(now_ns() - begun_ns) / 1e9);
    fflush(stdout);
    if (accounted == attempted && counters.attempted == attempted)
        return 0;
    fprintf(stderr, "aistrace gen: the library accounts for %" PRIu64 " spans, not for %" PRIu64 "\n", accounted,
            attempted);
    return EXIT_INTERNAL;
}

static int run(struct gen *gen, int *exit_code)
{
    struct aistrace_options options = {
        .service_name = gen->service,
        .ring_dir = gen->ring_dir,
        .ring_bytes = gen->ring_bytes,
        .thread_slots = (uint32_t)gen->threads,
    };
    uint64_t attempted = 0, begun_ns = now_ns();
    struct worker *workers = calloc(gen->threads, sizeof(*workers));
    gen->keys = calloc(gen->attributes + 1, sizeof(*gen->keys));
    if (!workers || !gen->keys) {
        free(workers);
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < gen->attributes; i++)
        snprintf(gen->keys[i], KEY_BYTES, "gen.attribute.%" PRIu64, i);
    int err = aistrace_start(&options);
    if (err)
        say_no_segment(gen, err);
    err = run_threads(gen, workers, &attempted);
    free(workers);
    if (gen->log_path) {
        int log_err = span_log_close(&gen->log);
        err = err ? err : log_err;
    }
    *exit_code = print_result(attempted, begun_ns);
    for (uint64_t i = 0; i < gen->linger_s && !atomic_load(&stop); i++)
        sleep_until(now_ns() + SECOND_NS);
    aistrace_stop();
    return err;
}

static const struct option_row rows[] = {
    {.name = "count",
     .type = OPTION_COUNT,
     .member = offsetof(struct gen, count),
     .argument = "N",
     .help = "spans in all; default 1000, unless there is a duration"},
    {.name = "duration",
     .type = OPTION_DURATION,
     .member = offsetof(struct gen, duration_ns),
     .argument = "TIME",
     .help = "how long to generate, such as 10s"},
    {.name = "rate",
     .type = OPTION_COUNT,
     .member = offsetof(struct gen, rate),
     .argument = "R",
     .max = 1000000000,
     .help = "spans a second, of all threads (0: as fast as possible)"},
    {.name = "threads",
     .type = OPTION_COUNT,
     .member = offsetof(struct gen, threads),
     .argument = "N",
     .min = 1,
     .max = MAX_THREADS,
     .help = "threads (1)"},
    {.name = "children",
     .type = OPTION_COUNT,
     .member = offsetof(struct gen, children),
     .argument = "N",
     .max = 1000000,
     .help = "children of each root span (3)"},
    {.name = "attributes",
     .type = OPTION_COUNT,
     .member = offsetof(struct gen, attributes),
     .argument = "N",
     .max = MAX_ATTRIBUTES,
     .help = "attributes of each span, of all types in turn (6)"},
    {.name = "service",
     .type = OPTION_TEXT,
     .member = offsetof(struct gen, service),
     .argument = "NAME",
     .help = "the service.name (aistrace-gen)"},
    {.name = "name",
     .type = OPTION_TEXT,
     .member = offsetof(struct gen, name),
     .argument = "NAME",
     .help = "name of the root spans (work)"},
    {.name = "ring-dir",
     .type = OPTION_TEXT,
     .member = offsetof(struct gen, ring_dir),
     .argument = "DIR",
     .help = "ring directory (AIS_TRACING_RING_DIR, else /dev/shm/aistrace)"},
    {.name = "ring-size",
     .type = OPTION_BYTES,
     .member = offsetof(struct gen, ring_bytes),
     .argument = "SIZE",
     .help = "size of each thread's ring (AIS_TRACING_RING_SIZE, else 64KiB to 1MiB)"},
    {.name = "log",
     .type = OPTION_TEXT,
     .member = offsetof(struct gen, log_path),
     .argument = "FILE",
     .help = "write every span's ids before it is attempted"},
    {.name = "linger",
     .type = OPTION_COUNT,
     .member = offsetof(struct gen, linger_s),
     .argument = "S",
     .max = 86400,
     .help = "seconds to stay after the last span (0)"},
};

static const struct option_table table = {
    .command = "aistrace gen",
    .summary = "Generates spans through libaistrace, as any traced program does; TERM or INT ends it early.\n"
               "Its last line is JSON: attempted, committed, dropped by reason.",
    .epilogue =
        "--log FILE: a line per span, `trace_id span_id parent_span_id sampled`; a root's parent is zeros, sampled\n"
        "is 0 or 1. When gen is killed by SIGKILL the file still has every attempted span, but gaps of NUL bytes:\n"
        "read it in records of 69 bytes and skip those that do not end in a newline.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
};

int cli_gen(int argc, char **argv)
{
    struct gen gen = {.threads = 1, .children = 3, .attributes = 6, .service = "aistrace-gen", .name = "work"};
    int exit_code;
    if (!options_parse(&table, argc, argv, &gen, &exit_code))
        return exit_code;
    if (!gen.count && !gen.duration_ns)
        gen.count = 1000;
    if (gen.count && gen.threads > gen.count)
        gen.threads = gen.count;
    int err = gen.log_path ? span_log_open(&gen.log, gen.log_path) : 0;
    if (err) {
        fprintf(stderr, "aistrace gen: --log %s: %s\n", gen.log_path, strerror(-err));
        return EXIT_INTERNAL;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    err = run(&gen, &exit_code);
    free(gen.keys);
    if (err)
        fprintf(stderr, "aistrace gen: %s%s\n", gen.log_path ? "(threads or --log) " : "", strerror(-err));
    return err ? EXIT_INTERNAL : exit_code;
}
