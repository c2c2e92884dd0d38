/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void bench_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

void bench_die(const char *what, int err)
{
    fprintf(stderr, "%s%s%s\n", what, err ? ": " : "", err ? strerror(-err) : "");
    exit(1);
}

void bench_tracer_start(const char *dir, uint64_t ring_bytes)
{
    int err =
        aistrace_start(&(struct aistrace_options){.service_name = "bench", .ring_dir = dir, .ring_bytes = ring_bytes});
    if (err)
        bench_die(dir, err);
}

void bench_attach(void)
{
    int err = aistrace_thread_attach();
    if (err)
        bench_die("aistrace_thread_attach", err);
}

void bench_check_committed(void)
{
    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
    if (counters.committed != counters.attempted)
        bench_die("spans were dropped: the figure is not that of a whole span", 0);
}

__attribute__((noinline)) void bench_span(void)
{
    struct aistrace_span span;
    bench_span_begin(&span);
    bench_span_end(&span);
}

void bench_floor_init(struct bench_floor *floor, uint64_t bytes)
{
    *floor = (struct bench_floor){.bytes = bytes};
    floor->kept = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (floor->kept == MAP_FAILED)
        bench_die("mmap", -errno);
}

__attribute__((noinline)) void bench_floor_copy(struct bench_floor *floor)
{
    static const uint8_t record[BENCH_FLOOR_BYTES] = {1};
    if (floor->at + sizeof(record) > floor->bytes)
        floor->at = 0;
    memcpy(floor->kept + floor->at, record, sizeof(record));
    floor->at += sizeof(record);
    __asm__ volatile("" ::"r"(floor->kept) : "memory");
}

__attribute__((noinline)) void bench_floor(struct bench_floor *floor)
{
    floor->mark = bench_now_ns();
    bench_floor_copy(floor);
    floor->mark ^= bench_now_ns();
}
