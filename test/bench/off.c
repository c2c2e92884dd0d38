/* SPDX-License-Identifier: MIT
 *
 *   off RING_DIR BLOCKS
 *
 * What a span costs while nothing is traced (P14), beside the same calls of functions that return at once: before
 * aistrace_start; switched off before the thread has a ring; switched off while it has one. By one thread, then by two
 * at the same time on two cores, taking turns with the empty calls.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "support/span_set.h"

enum { RING_BYTES = 1 << 20, SPANS_PER_BLOCK = 10 * BENCH_BLOCK };
enum phase { NOT_STARTED, NEVER_ATTACHED, ATTACHED, PHASES };

static const char *const columns[PHASES] = {"not_started", "never_attached", "attached"};

struct worker {
    pthread_t thread;
    pthread_barrier_t *barrier;
    int cpu;
    long blocks;
    double (*ns)[2][2]; /* per block: alone, together; empty calls, spans */
};

/* ---- the same calls, empty ---- */

#define EMPTY static __attribute__((noinline))

EMPTY void empty_begin(struct aistrace_span *span, const struct aistrace_span_options *options)
{
    __asm__ volatile("" ::"r"(span), "r"(options) : "memory");
}

EMPTY void empty_put_name(struct aistrace_span *span, const char *name, size_t bytes)
{
    __asm__ volatile("" ::"r"(span), "r"(name), "r"(bytes) : "memory");
}

EMPTY void empty_put(struct aistrace_span *span, enum aistrace_type type, const char *key, size_t key_bytes,
                     const void *value, size_t value_bytes)
{
    __asm__ volatile("" ::"r"(span), "r"(type), "r"(key), "r"(key_bytes), "r"(value), "r"(value_bytes) : "memory");
}

EMPTY void empty_end(struct aistrace_span *span)
{
    __asm__ volatile("" ::"r"(span) : "memory");
}

static void put_text(struct aistrace_span *span, const char *key, const char *value)
{
    empty_put(span, AISTRACE_STRING, key, strlen(key), value, strlen(value));
}

static void put_int(struct aistrace_span *span, const char *key, int64_t value)
{
    empty_put(span, AISTRACE_INT, key, strlen(key), &value, sizeof(value));
}

/* bench_span, call for call */
EMPTY void empty_span(void)
{
    struct aistrace_span span;
    empty_begin(&span, NULL);
    empty_put_name(&span, "GET /v1/objects/{bucket}/{object}", 33);
    put_text(&span, "http.request.method", "GET");
    put_text(&span, "url.scheme", "http");
    put_text(&span, "ais.bucket.name", "bucket");
    put_text(&span, "ais.object.name", "object/0001");
    put_int(&span, "http.response.status_code", 200);
    put_int(&span, "http.response.body.size", 1048576);
    empty_end(&span);
}

/* ---- time ---- */

/* -> ns each */
static double time_block(void (*one)(void))
{
    uint64_t begin = bench_now_ns();
    for (int i = 0; i < SPANS_PER_BLOCK; i++)
        one();
    return (double)(bench_now_ns() - begin) / SPANS_PER_BLOCK;
}

static void *work(void *user)
{
    struct worker *worker = user;
    bench_pin(worker->cpu);
    for (long i = 0; i < worker->blocks; i++)
        for (int together = 0; together < 2; together++)
            for (int spans = 0; spans < 2; spans++) {
                pthread_barrier_wait(worker->barrier);
                if (together || worker->cpu == 0)
                    worker->ns[i][together][spans] = time_block(spans ? bench_span : empty_span);
            }
    return NULL;
}

static void *attach_and_work(void *user)
{
    bench_attach();
    return work(user);
}

static void measure(struct worker workers[2], void *(*run)(void *))
{
    for (int i = 0; i < 2; i++)
        if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
            bench_die("thread", -ENOMEM);
    for (int i = 0; i < 2; i++)
        pthread_join(workers[i].thread, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    long blocks = strtol(argv[2], NULL, 10);
    struct worker workers[PHASES][2];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    for (int phase = 0; phase < PHASES; phase++)
        for (int i = 0; i < 2; i++) {
            struct worker *worker = &workers[phase][i];
            *worker = (struct worker){.cpu = i, .blocks = blocks, .barrier = &barrier};
            worker->ns = calloc((size_t)blocks, sizeof(*worker->ns));
            if (!worker->ns)
                bench_die("blocks", -ENOMEM);
        }
    measure(workers[NOT_STARTED], work);
    bench_tracer_start(argv[1], RING_BYTES);
    struct shmring_reader *reader = span_set_open(argv[1]);
    shmring_reader_publish(reader, SHMRING_CONTROL_PUBLISHED | SHMRING_CONTROL_DISABLED, 0);
    measure(workers[NEVER_ATTACHED], work);
    measure(workers[ATTACHED], attach_and_work);

    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    if (counters.disabled != 2 * 3 * (uint64_t)blocks * SPANS_PER_BLOCK || counters.disabled != counters.attempted)
        bench_die("not every span was counted", 0);
    for (int phase = 0; phase < PHASES; phase++)
        printf("%s%s_empty_one %s_span_one %s_empty_two %s_span_two", phase ? " " : "", columns[phase], columns[phase],
               columns[phase], columns[phase]);
    printf("\n");
    for (long i = 0; i < blocks; i++) {
        for (int phase = 0; phase < PHASES; phase++) {
            double(*ns)[2] = workers[phase][0].ns[i];
            printf("%s%.3f %.3f %.3f %.3f", phase ? " " : "", ns[0][0], ns[0][1], ns[1][0], ns[1][1]);
        }
        printf("\n");
    }
    shmring_reader_close(reader);
    return 0;
}
