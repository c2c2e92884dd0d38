/* SPDX-License-Identifier: MIT
 *
 * What a whole span through the public API costs the calling thread: with room in the ring, and with the ring full and
 * no sidecar, beside the floor of one memcpy of 170 bytes and two clock readings. Blocks of each kind take turns;
 * medians.
 *
 *     build/test/bench_span
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "aistrace.h"

enum { BLOCKS = 300, SPANS_PER_BLOCK = 1000, FLOOR_BYTES = 170 };

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void one_span(void)
{
    struct aistrace_span span;
    aistrace_span_start(&span, "GET /v1/objects/{bucket}/{object}", NULL);
    aistrace_span_set_string(&span, "http.request.method", "GET");
    aistrace_span_set_string(&span, "url.scheme", "http");
    aistrace_span_set_string(&span, "ais.bucket.name", "bucket");
    aistrace_span_set_string(&span, "ais.object.name", "object/0001");
    aistrace_span_set_int(&span, "http.response.status_code", 200);
    aistrace_span_set_int(&span, "http.response.body.size", 1048576);
    aistrace_span_end(&span);
}

static void one_floor(void)
{
    static uint8_t from[FLOOR_BYTES], to[FLOOR_BYTES];
    uint64_t begin = now_ns();
    memcpy(to, from, sizeof(to));
    __asm__ volatile("" ::"r"(to), "r"(begin) : "memory");
    begin = now_ns();
    __asm__ volatile("" ::"r"(begin));
}

static double block_ns(void (*one)(void))
{
    uint64_t begin = now_ns();
    for (int i = 0; i < SPANS_PER_BLOCK; i++)
        one();
    return (double)(now_ns() - begin) / SPANS_PER_BLOCK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, BLOCKS, sizeof(*values), by_value);
    return values[BLOCKS / 2];
}

/* In a process of its own: a process has one tracer. */
static int measure(const char *dir, const char *what, uint64_t ring_bytes, bool full)
{
    static double floor_ns[BLOCKS], span_ns[BLOCKS];
    struct aistrace_options options = {.service_name = "bench_span", .ring_dir = dir, .ring_bytes = ring_bytes};
    struct aistrace_counters counters;
    int err = aistrace_start(&options);
    if (!err)
        err = aistrace_thread_attach();
    if (err) {
        fprintf(stderr, "bench_span: %s: %s\n", dir, strerror(-err));
        return 1;
    }
    for (int i = 0; full && i < 2; i++)
        block_ns(one_span);
    for (int i = 0; i < BLOCKS; i++) {
        floor_ns[i] = block_ns(one_floor);
        span_ns[i] = block_ns(one_span);
    }
    aistrace_counters_read(&counters);
    aistrace_stop();
    double span = median(span_ns), bare = median(floor_ns);
    printf("%-22s %6.1f ns a span, %.2f x the floor of %.1f ns (committed %llu, ring_full %llu)\n", what, span,
           span / bare, bare, (unsigned long long)counters.committed, (unsigned long long)counters.ring_full);
    return 0;
}

int main(void)
{
    static const struct {
        const char *what;
        uint64_t ring_bytes;
        bool full;
    } rows[] = {{"room in the ring", 256 << 20, false}, {"ring full, no sidecar", 64 << 10, true}};
    char dir[] = "/dev/shm/bench_span.XXXXXX", command[64];
    int failed = 0;
    if (!mkdtemp(dir)) {
        perror("bench_span: /dev/shm");
        return 1;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int status;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            int result = measure(dir, rows[i].what, rows[i].ring_bytes, rows[i].full);
            fflush(stdout);
            _exit(result);
        }
        failed |= child < 0 || waitpid(child, &status, 0) != child || status != 0;
    }
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command) != 0 || failed;
}
