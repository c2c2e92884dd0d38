/* SPDX-License-Identifier: MIT
 *
 *   threads RING_DIR BLOCKS
 *
 * Does one thread's span cost more while another thread traces too (P3)? Blocks of spans by one thread, then by two at
 * the same time on two cores, and the same with bare copies of 170 bytes, taking turns. No daemon; rings hold it all.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

enum { SPANS_PER_ROUND = 2 * BENCH_BLOCK, SPAN_BYTES_MAX = 512, COPIES_PER_SPAN = 8, FLOOR_RING_BYTES = 16 << 20 };

enum kind { SPANS, COPIES, KINDS };

struct worker {
    pthread_t thread;
    pthread_barrier_t *barrier;
    int cpu;
    long blocks;
    double (*ns)[KINDS][2]; /* per block: alone, together */
};

static double span_block(void)
{
    uint64_t begin = bench_now_ns();
    for (int i = 0; i < BENCH_BLOCK; i++)
        bench_span();
    return (double)(bench_now_ns() - begin) / BENCH_BLOCK;
}

static double copy_block(struct bench_floor *floor)
{
    uint64_t begin = bench_now_ns();
    for (int i = 0; i < BENCH_BLOCK * COPIES_PER_SPAN; i++)
        bench_floor_copy(floor);
    return (double)(bench_now_ns() - begin) / (BENCH_BLOCK * COPIES_PER_SPAN);
}

static void *work(void *user)
{
    struct worker *worker = user;
    struct bench_floor floor;
    bench_pin(worker->cpu);
    bench_floor_init(&floor, FLOOR_RING_BYTES);
    bench_attach();
    for (long i = 0; i < worker->blocks; i++)
        for (int kind = 0; kind < KINDS; kind++)
            for (int together = 0; together < 2; together++) {
                pthread_barrier_wait(worker->barrier);
                if (together || worker->cpu == 0)
                    worker->ns[i][kind][together] = kind == SPANS ? span_block() : copy_block(&floor);
            }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 64;
    long blocks = strtol(argv[2], NULL, 10);
    struct worker workers[2] = {{.cpu = 0}, {.cpu = 1}};
    pthread_barrier_t barrier;
    uint64_t ring_bytes = (uint64_t)(blocks + 1) * SPANS_PER_ROUND * SPAN_BYTES_MAX;

    bench_tracer_start(argv[1], ring_bytes);
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++) {
        workers[i].barrier = &barrier;
        workers[i].blocks = blocks;
        workers[i].ns = calloc((size_t)blocks, sizeof(*workers[i].ns));
        if (!workers[i].ns || pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            bench_die("thread", -ENOMEM);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(workers[i].thread, NULL);
    bench_check_committed();
    printf("span_one span_two copy_one copy_two\n");
    for (long i = 0; i < blocks; i++)
        printf("%.2f %.2f %.3f %.3f\n", workers[0].ns[i][SPANS][0], workers[0].ns[i][SPANS][1],
               workers[0].ns[i][COPIES][0], workers[0].ns[i][COPIES][1]);
    return 0;
}
