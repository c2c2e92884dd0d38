/* SPDX-License-Identifier: MIT
 *
 *   sleep_loop PERIOD_US MS CPU
 *
 * The least that anything that polls or waits for a timer can do: sleeps PERIOD_US at a time, for MS. Prints its CPU
 * time in nanoseconds, then by how many microseconds it woke too late each time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"

int main(int argc, char **argv)
{
    if (argc != 4)
        return 64;
    uint64_t period_ns = strtoull(argv[1], NULL, 10) * 1000, total_ns = strtoull(argv[2], NULL, 10) * 1000000;
    if (period_ns == 0)
        return 64;
    struct timespec sleep = {.tv_sec = (time_t)(period_ns / 1000000000), .tv_nsec = (long)(period_ns % 1000000000)};
    size_t rounds = (size_t)(total_ns / period_ns);
    uint64_t *late_ns = calloc(rounds + 1, sizeof(*late_ns));
    struct timespec before, after;
    bench_pin(atoi(argv[3]));
    if (!late_ns)
        bench_die("memory", -ENOMEM);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    for (size_t i = 0; i < rounds; i++) {
        uint64_t begin = bench_now_ns();
        nanosleep(&sleep, NULL);
        late_ns[i] = bench_now_ns() - begin - period_ns;
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    printf("%" PRId64 "\n", (int64_t)(after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec);
    for (size_t i = 0; i < rounds; i++)
        printf("%" PRIu64 " ", late_ns[i] / 1000);
    puts("");
    free(late_ns);
    return 0;
}
