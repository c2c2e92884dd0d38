/* SPDX-License-Identifier: MIT
 *
 * CLOCK_MONOTONIC from the CPU's counter, which costs less than half of what clock_gettime does. Pure: counter and
 * clock are arguments; clock.c reads them.
 *
 * A reading of both is the base of a straight line, which is used for a window of 100 us and then renewed from a new
 * reading. Nothing is computed over a longer time, so the error is at most half a reading's width, plus by how much the
 * rate has changed since it was last measured, for the length of a window: under 0.4 us while the rate changes by no
 * more than NTP may change it, from 500 ppm slow to 500 ppm fast at once, and so under 0.8 us for a duration, which has
 * two ends. Where a line was ahead of the clock at its end, the next one begins there and is flatter, so that it meets
 * the clock at its own end: a lead never adds up, and in one thread no reading by the line is before another. One by
 * the clock may be, by the lead.
 *
 * A reading that lies further off the line is a discontinuity (time slewed by adjtimex's tick, the machine suspended):
 * from there on nothing is computed until two measurements of the rate agree again. The steepest slew, 10 %, so spoils
 * one window: its readings are off by up to 10 us, and then time may go back by as much. All threads share the line.
 *
 * Renewing costs what five readings save, so it is done only where readings are that close together: when one comes
 * soon after the window's end, or five within a window's length. A program that takes one now and then goes by the
 * clock.
 *
 * No thread waits for another, and a renewal may be left at any instruction (longjmp out of a signal handler, the
 * thread's end): the new line is written where nobody reads, and put in force by one store.
 */
#ifndef AISTRACE_TICKS_H
#define AISTRACE_TICKS_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    AISTRACE__TICKS_WINDOW_NS = 100000,
    AISTRACE__TICKS_LATE_NS = 25000,      /* after the window's end: somebody is still busy */
    AISTRACE__TICKS_BUSY = 5,             /* so many readings of the clock within a window's length: somebody is busy */
    AISTRACE__TICKS_MEASURE_NS = 2000000, /* shortest time between two readings that measure the rate: to 100 ppm */
    AISTRACE__TICKS_WIDTH_MAX = 500,      /* ticks that a reading may have taken */
    AISTRACE__TICKS_LINES = 16,
};

/* The clock as it stood somewhere within width_ticks around ticks. */
struct aistrace__reading {
    uint64_t ticks;
    uint64_t ns;
    uint64_t width_ticks;
};

struct aistrace__line {
    _Atomic uint64_t base_ticks;
    _Atomic uint64_t base_ns;
    _Atomic uint64_t slope;        /* ns per tick x 2^32: rate, or a little less */
    _Atomic uint32_t window_ticks; /* how far beyond base_ticks the line holds; 0: not at all */
    _Atomic uint32_t steady;       /* two measurements of the rate agreed */
    _Atomic uint64_t seen_ns;      /* the clock at base_ticks; base_ns may be ahead */
    _Atomic uint64_t rate;         /* as measured; 0: unknown */
    _Atomic uint64_t origin_ticks; /* from where on the rate is measured */
    _Atomic uint64_t origin_ns;
};
static_assert(sizeof(struct aistrace__line) == 64, "a cache line each");

struct aistrace__ticks {
    struct aistrace__line lines[AISTRACE__TICKS_LINES];
    _Atomic uint64_t current;       /* renewals x sizeof(lines), plus the offset in lines of the one in force */
    _Atomic uint64_t renew_at_ns;   /* not before this time; UINT64_MAX: never */
    _Atomic uint64_t busy_since_ns; /* readings of the clock are counted from here */
    _Atomic uint32_t busy_readings;
    _Atomic uintptr_t owners[AISTRACE__TICKS_LINES]; /* of each line: see ticks.c */
};

static inline const struct aistrace__line *aistrace__ticks_line(const struct aistrace__ticks *ticks, uint64_t current)
{
    return (const struct aistrace__line *)((const char *)ticks->lines + current % sizeof(ticks->lines));
}

/* How far beyond its base the line holds; 0: not at all, so the counter need not be read. */
static inline uint64_t aistrace__ticks_window(const struct aistrace__ticks *ticks, uint64_t current)
{
    return atomic_load_explicit(&aistrace__ticks_line(ticks, current)->window_ticks, memory_order_acquire);
}

/* current: read with acquire; window: read before the counter. False: the line does not hold, or another is in force by
 * now. */
static inline bool aistrace__ticks_to_ns(const struct aistrace__ticks *ticks, uint64_t current, uint64_t window,
                                         uint64_t counter, uint64_t *ns)
{
    const struct aistrace__line *line = aistrace__ticks_line(ticks, current);
    /* Acquire: current is looked at again after them. */
    uint64_t elapsed = counter - atomic_load_explicit(&line->base_ticks, memory_order_acquire);
    uint64_t base_ns = atomic_load_explicit(&line->base_ns, memory_order_acquire);
    uint64_t slope = atomic_load_explicit(&line->slope, memory_order_acquire);
    *ns = base_ns + (elapsed * slope >> 32);
    return elapsed < window && atomic_load_explicit(&ticks->current, memory_order_relaxed) == current;
}

/* The line holds no longer, until it is renewed. */
static inline void aistrace__ticks_close(struct aistrace__ticks *ticks)
{
    uint64_t current = atomic_load_explicit(&ticks->current, memory_order_relaxed);
    struct aistrace__line *line = &ticks->lines[current % sizeof(ticks->lines) / sizeof(ticks->lines[0])];
    atomic_store_explicit(&line->window_ticks, 0, memory_order_release);
}

/* After a reading of the clock, because the line did not hold: whether to renew it now. If not, it is closed, so that
 * the next reading does not try it for nothing. Any thread. */
bool aistrace__ticks_is_due(struct aistrace__ticks *ticks, uint64_t ns);

/* Renews the line that current says, if it is still in force. Any thread, also in a signal handler within another
 * renewal: of several the first holds. -> the time of the reading, or if that is later what the line gave for it
 * before: no thread has then read a time that is still to come. */
uint64_t aistrace__ticks_renew(struct aistrace__ticks *ticks, uint64_t current,
                               const struct aistrace__reading *reading);

#endif
