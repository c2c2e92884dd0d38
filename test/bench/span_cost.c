/* SPDX-License-Identifier: MIT
 *
 *   span_cost RING_DIR ROUNDS CPU
 *
 * What a whole span costs the calling thread (P1), and what it adds to some 250 ns of other work that it surrounds
 * (P2), beside the floor. The thread runs on core 0; its ring of 1 MiB is emptied between the blocks by a consumer on
 * core CPU: 0 leaves its lines in reach, 1 takes them away each time, as a sidecar on another core does.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "support/span_set.h"

enum { RING_BYTES = 1 << 20, WORK_BYTES = 2048, WORK_NS = 250, WARM_UP = 3 };

struct consumer {
    sem_t turn;
    sem_t done;
    int cpu;
    struct shmring_reader *reader;
    struct shmring_window *window;
    bool ended;
};

static void release(struct shmring_reader *reader)
{
    const struct shmring_slot_status *status = shmring_reader_slot(reader, 0);
    struct shmring_ledger ledger = status->ledger;
    ledger.counts.exported = status->read_records;
    ledger.cpos = status->read;
    shmring_reader_commit(reader, 0, &ledger);
}

static void *consume(void *user)
{
    struct consumer *consumer = user;
    struct shmring_view view;
    bench_pin(consumer->cpu);
    for (;;) {
        sem_wait(&consumer->turn);
        if (consumer->ended)
            return NULL;
        while (shmring_reader_fill(consumer->reader, 0, consumer->window) > 0)
            while (shmring_reader_next(consumer->window, &view) == 1)
                ;
        release(consumer->reader);
        sem_post(&consumer->done);
    }
}

static void empty(struct consumer *consumer)
{
    sem_post(&consumer->turn);
    sem_wait(&consumer->done);
}

static uint8_t work_data[WORK_BYTES];
static uint64_t work_state = 1;
static unsigned work_steps = 1;

/* A chain of loads and multiplications: what follows each step waits for it, what does not may overlap. */
static __attribute__((noinline)) void work(void)
{
    uint64_t state = work_state;
    for (unsigned i = 0; i < work_steps; i++) {
        state = (state ^ work_data[state % WORK_BYTES]) * UINT64_C(0x9E3779B97F4A7C15);
        state ^= state >> 29;
    }
    work_state = state;
}

static __attribute__((noinline)) void traced_work(void)
{
    struct aistrace_span span;
    bench_span_begin(&span);
    work();
    bench_span_end(&span);
}

/* -> ns each */
static double time_block(void (*one)(void))
{
    uint64_t begin = bench_now_ns();
    for (int i = 0; i < BENCH_BLOCK; i++)
        one();
    return (double)(bench_now_ns() - begin) / BENCH_BLOCK;
}

static double time_floor(struct bench_floor *floor)
{
    uint64_t begin = bench_now_ns();
    for (int i = 0; i < BENCH_BLOCK; i++)
        bench_floor(floor);
    return (double)(bench_now_ns() - begin) / BENCH_BLOCK;
}

static void calibrate_work(void)
{
    double best;
    do {
        work_steps++;
        best = time_block(work);
        for (int i = 0; i < 4; i++) {
            double ns = time_block(work);
            best = ns < best ? ns : best;
        }
    } while (best < WORK_NS);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 64;
    long rounds = strtol(argv[2], NULL, 10);
    struct consumer consumer = {.cpu = atoi(argv[3])};
    struct bench_floor floor, floor_hot;
    pthread_t thread;

    bench_pin(0);
    bench_tracer_start(argv[1], RING_BYTES);
    bench_attach();
    bench_floor_init(&floor, RING_BYTES);
    bench_floor_init(&floor_hot, 4096);
    calibrate_work();
    consumer.reader = span_set_open(argv[1]);
    shmring_reader_publish(consumer.reader, SHMRING_CONTROL_PUBLISHED, UINT64_C(1) << 63);
    if (shmring_window_new(RING_BYTES, &consumer.window) || sem_init(&consumer.turn, 0, 0) ||
        sem_init(&consumer.done, 0, 0) || pthread_create(&thread, NULL, consume, &consumer))
        bench_die("consumer", -errno);
    printf("floor floor_hot span work traced_work\n");
    for (long i = -WARM_UP; i < rounds; i++) {
        double floor_ns = time_floor(&floor), floor_hot_ns = time_floor(&floor_hot), span_ns = time_block(bench_span);
        empty(&consumer);
        double work_ns = time_block(work), traced_ns = time_block(traced_work);
        empty(&consumer);
        if (i >= 0)
            printf("%.2f %.2f %.2f %.2f %.2f\n", floor_ns, floor_hot_ns, span_ns, work_ns, traced_ns);
    }
    consumer.ended = true;
    sem_post(&consumer.turn);
    pthread_join(thread, NULL);
    shmring_window_free(consumer.window);
    shmring_reader_close(consumer.reader);
    bench_check_committed();
    return 0;
}
