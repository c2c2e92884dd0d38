/* SPDX-License-Identifier: MIT
 *
 * What the measuring programs share. Each prints a table: a line of column names, then a line of numbers per round;
 * test/bench/measure.py reads it and does the statistics.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

#include "aistrace.h"

enum {
    BENCH_BLOCK = 1000,      /* spans, or floors, measured at a time */
    BENCH_FLOOR_BYTES = 170, /* of the floor's memcpy */
};

uint64_t bench_now_ns(void); /* monotonic */

/* Keeps the calling thread on one core; a core that is not there is ignored. */
void bench_pin(int cpu);

/* Prints what, and err in words when it is negative; exits with 1. */
_Noreturn void bench_die(const char *what, int err);

/* Starts the tracer in dir; attaches the calling thread. Both die of errors. */
void bench_tracer_start(const char *dir, uint64_t ring_bytes);
void bench_attach(void);

/* Dies when a span was dropped: then the figure would not be that of a whole span. */
void bench_check_committed(void);

/* The span that every figure speaks of: four string and two int attributes. Inlined, as in a program that traces. */
static inline __attribute__((always_inline)) void bench_span_begin(struct aistrace_span *span)
{
    aistrace_span_start(span, "GET /v1/objects/{bucket}/{object}", NULL);
    aistrace_span_set_string(span, "http.request.method", "GET");
    aistrace_span_set_string(span, "url.scheme", "http");
    aistrace_span_set_string(span, "ais.bucket.name", "bucket");
    aistrace_span_set_string(span, "ais.object.name", "object/0001");
}

static inline __attribute__((always_inline)) void bench_span_end(struct aistrace_span *span)
{
    aistrace_span_set_int(span, "http.response.status_code", 200);
    aistrace_span_set_int(span, "http.response.body.size", 1048576);
    aistrace_span_end(span);
}

/* One whole span; never inlined, so that instruction counts have a name to go by. */
void bench_span(void);

/* The least that a recorder of spans does: two clock readings and one copy to where they are kept. */
struct bench_floor {
    uint8_t *kept;
    uint64_t bytes; /* of kept: a power of two */
    uint64_t at;
    uint64_t mark; /* so that no reading is left out */
};
void bench_floor_init(struct bench_floor *floor, uint64_t bytes);
void bench_floor(struct bench_floor *floor);
void bench_floor_copy(struct bench_floor *floor); /* without the clock */

#endif
