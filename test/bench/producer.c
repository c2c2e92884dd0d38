/* SPDX-License-Identifier: MIT
 *
 *   producer RING_DIR RING_BYTES CPU
 *
 * One tracing thread that does as it is told, on core CPU. Prints "ready". Commands on standard input, each with one
 * line of answer:
 *
 *   blocks N       N blocks of 1,000 spans, a millisecond apart: ns a span of each
 *   singles N      N spans timed one by one: ns of each, the clock reading included
 *   floors N       as blocks, but the floor: a copy and two clock readings
 *   fill           writes until the ring is full
 *   count N        N spans between two calls of getppid, which a tracer of system calls finds
 *   pace RATE MS   RATE spans/s, evenly
 *   counters       attempted, committed, ring_full
 *
 * Ends when standard input does.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

enum { PAUSE_US = 1000, FULL_AFTER = 1000, FLOOR_BYTES = 1 << 20, LINE_BYTES = 64 };

static struct bench_floor floor_state;

static void one_floor(void)
{
    bench_floor(&floor_state);
}

static void blocks(long count, void (*one)(void))
{
    for (long n = 0; n < count; n++) {
        usleep(PAUSE_US);
        uint64_t begin = bench_now_ns();
        for (int i = 0; i < BENCH_BLOCK; i++)
            one();
        printf("%.2f ", (double)(bench_now_ns() - begin) / BENCH_BLOCK);
    }
}

static void singles(long count)
{
    for (long n = 0; n < count; n++) {
        uint64_t begin = bench_now_ns();
        bench_span();
        printf("%" PRIu64 " ", bench_now_ns() - begin);
    }
}

static struct aistrace_counters read_counters(void)
{
    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    return counters;
}

static void fill(void)
{
    uint64_t enough = read_counters().ring_full + FULL_AFTER;
    while (read_counters().ring_full < enough)
        bench_span();
}

static void count(long spans)
{
    getppid();
    for (long n = 0; n < spans; n++)
        bench_span();
    getppid();
}

static void pace(long rate, long ms)
{
    uint64_t begin = bench_now_ns(), total = (uint64_t)rate * (uint64_t)ms / 1000;
    for (uint64_t n = 0; n < total; n++) {
        uint64_t due = begin + n * 1000000000 / (uint64_t)rate;
        struct timespec at = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        bench_span();
    }
}

int main(int argc, char **argv)
{
    char line[LINE_BYTES], what[LINE_BYTES];
    if (argc != 4)
        return 64;
    bench_pin(atoi(argv[3]));
    prctl(PR_SET_TIMERSLACK, 1);
    bench_floor_init(&floor_state, FLOOR_BYTES);
    bench_tracer_start(argv[1], strtoull(argv[2], NULL, 10));
    bench_attach();
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        long n = 0, m = 0;
        if (sscanf(line, "%63s %ld %ld", what, &n, &m) < 1)
            continue;
        if (strcmp(what, "blocks") == 0)
            blocks(n, bench_span);
        else if (strcmp(what, "floors") == 0)
            blocks(n, one_floor);
        else if (strcmp(what, "singles") == 0)
            singles(n);
        else if (strcmp(what, "fill") == 0)
            fill();
        else if (strcmp(what, "count") == 0)
            count(n);
        else if (strcmp(what, "pace") == 0)
            pace(n, m);
        struct aistrace_counters now = read_counters();
        if (strcmp(what, "counters") == 0)
            printf("%" PRIu64 " %" PRIu64 " %" PRIu64, now.attempted, now.committed, now.ring_full);
        puts("");
        fflush(stdout);
    }
    return 0;
}
