/* SPDX-License-Identifier: MIT
 *
 * Load for the playground: clients that put and get objects for a while. Each operation is a trace of its own.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

#include "api.h"
#include "latency.h"

enum { BENCH_MAX_CLIENTS = 64, BENCH_MAX_OBJECTS = 1000000, BENCH_OPERATIONS = 2 };

enum bench_operation { BENCH_PUT, BENCH_GET };

struct bench_options {
    char bucket[65];
    unsigned objects;
    uint64_t size_bytes;
    unsigned clients;
    unsigned put_percent;
    unsigned duration_s;
};

struct bench_result {
    uint64_t operations; /* that succeeded */
    uint64_t errors;
    uint64_t bytes;
    struct latency latency; /* of those that succeeded */
};

struct bench_report {
    struct bench_result results[BENCH_OPERATIONS];
    double seconds;
    uint64_t filled; /* objects put before the clock started, in no other number */
    char error[512]; /* the first one, or "" */
};

/* Puts all objects once, then runs until the time is up or SIGINT comes, which the caller has blocked. A line of
 * progress goes to the stream; NULL: none. -> 0; -1: it could not begin, report->error says why. */
int bench_run(const struct bench_options *options, FILE *progress, struct bench_report *report);

#endif
