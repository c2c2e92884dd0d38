/* SPDX-License-Identifier: MIT
 *
 * CLOCK_MONOTONIC from the CPU's counter, which costs less than half of what clock_gettime does. Pure: counter and
 * clock are arguments; clock.c reads them.
 *
 * A reading of both is the base of a straight line, which is used for a window of 100 us and then renewed from a new
 * reading. Nothing is computed over a longer time, so the error is at most half a reading's width, plus by how much the
 * rate has changed since it was last measured, for the length of a window: under 0.4 us while the rate changes by no
 * more than the 500 ppm that the kernel allows NTP, and so under 0.8 us for a duration, which has two ends. A reading
 * that lies further off the line is a discontinuity (time slewed by adjtimex's tick, the machine suspended): from there
 * on nothing is computed until two measurements of the rate agree again. The steepest slew, 10 %, so spoils one window,
 * by 10 us. All threads share the line.
 *
 * Renewing costs what five readings save, so it is done only where readings are that close together: when one comes
 * soon after the window's end, or five within a window's length. A program that takes one now and then goes by the
 * clock.
 */
#ifndef AISTRACE_TICKS_H
#define AISTRACE_TICKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    AISTRACE__TICKS_WINDOW_NS = 100000,
    AISTRACE__TICKS_LATE_NS = 25000,      /* after the window's end: somebody is still busy */
    AISTRACE__TICKS_BUSY = 5,             /* so many readings of the clock within a window's length: somebody is busy */
    AISTRACE__TICKS_MEASURE_NS = 2000000, /* shortest time between two readings that measure the rate: to 100 ppm */
    AISTRACE__TICKS_WIDTH_MAX = 500,      /* ticks that a reading may have taken */
};

/* The clock as it stood somewhere within width_ticks around ticks. */
struct aistrace__reading {
    uint64_t ticks;
    uint64_t ns;
    uint64_t width_ticks;
};

struct aistrace__ticks {
    _Atomic uint32_t sequence;     /* odd while somebody renews */
    _Atomic uint32_t window_ticks; /* how far beyond base_ticks the line holds; 0: not at all */
    _Atomic uint64_t base_ticks;
    _Atomic uint64_t base_ns;
    _Atomic uint64_t rate;          /* ns per tick x 2^32; 0: unknown */
    _Atomic uint64_t renew_at_ns;   /* not before this time; UINT64_MAX: never */
    _Atomic uint64_t busy_since_ns; /* readings of the clock are counted from here */
    _Atomic uint32_t busy_readings;
    bool steady;           /* two measurements of the rate agreed; this and what follows is of whoever renews */
    uint64_t origin_ticks; /* from where on the rate is measured */
    uint64_t origin_ns;
};

/* False: the line does not hold for ticks, or is being renewed. */
static inline bool aistrace__ticks_to_ns(const struct aistrace__ticks *line, uint32_t sequence, uint64_t ticks,
                                         uint64_t *ns)
{
    /* Acquire: the sequence is looked at again after them. */
    uint64_t elapsed = ticks - atomic_load_explicit(&line->base_ticks, memory_order_acquire);
    uint64_t window = atomic_load_explicit(&line->window_ticks, memory_order_acquire);
    uint64_t base_ns = atomic_load_explicit(&line->base_ns, memory_order_acquire);
    uint64_t rate = atomic_load_explicit(&line->rate, memory_order_acquire);
    *ns = base_ns + (elapsed * rate >> 32);
    return elapsed < window && atomic_load_explicit(&line->sequence, memory_order_relaxed) == sequence;
}

/* After a reading of the clock, because the line did not hold: whether to renew it now. If not, it is closed, so that
 * the next reading does not try it for nothing. Any thread. */
bool aistrace__ticks_is_due(struct aistrace__ticks *line, uint64_t ns);

/* Renews the line; only while the sequence is odd. -> the time of the reading, or if that is later what the line gave
 * for it before: no thread has then read a time that is still to come. */
uint64_t aistrace__ticks_renew(struct aistrace__ticks *line, const struct aistrace__reading *reading);

#endif
