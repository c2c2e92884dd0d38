/* SPDX-License-Identifier: MIT
 *
 * Durations come from the monotonic clock alone, read through the CPU's counter where that is sound (ticks.h). Wall
 * time is the monotonic time plus an offset, shared by all threads so that a child on one thread never seems older than
 * its parent on another, and renewed at most once a second: so a step of the wall clock is absorbed within a second and
 * never stretches a span.
 */
#ifndef AISTRACE_CLOCK_H
#define AISTRACE_CLOCK_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "ticks.h"

struct aistrace__clock {
    alignas(64) struct aistrace__ticks ticks;
    _Atomic uint64_t offset_ns;   /* wall - monotonic */
    _Atomic uint64_t renew_at_ns; /* monotonic; 0: never taken */
};

extern struct aistrace__clock aistrace__clock;

/* Chooses between the counter and clock_gettime; under the tracer's mutex. AIS_TRACING_CLOCK=system forbids the
 * counter. So do a kernel that does not keep its own time by it, a CPU whose counter changes its pace or stops, and
 * prctl, which is asked for the calling thread only: where another gives up the right, clock_gettime faults as well. */
void aistrace__clock_start(void);

/* In the child of a fork: another thread may have been renewing, and the child's time namespace may be another. */
void aistrace__clock_forget(void);

void aistrace__clock_renew(uint64_t monotonic_ns);

/* aistrace__monotonic_ns where the counter will not do; renews the line if that is due. */
uint64_t aistrace__monotonic_renew_ns(void);

static inline uint64_t aistrace__clock_read(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t aistrace__counter(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

/* The CPU may read its counter before earlier instructions are done. What must not seem to precede another thread's
 * reading that it has heard of calls this first. */
static inline void aistrace__counter_fence(void)
{
#if defined(__x86_64__)
    __builtin_ia32_lfence();
#endif
}

/* False: aistrace__monotonic_renew_ns is due. */
static inline bool aistrace__monotonic_try(uint64_t *ns)
{
    const struct aistrace__ticks *ticks = &aistrace__clock.ticks;
    uint64_t current = atomic_load_explicit(&ticks->current, memory_order_acquire);
    uint64_t window = aistrace__ticks_window(ticks, current);
    return window != 0 && aistrace__ticks_to_ns(ticks, current, window, aistrace__counter(), ns);
}

static inline uint64_t aistrace__monotonic_ns(void)
{
    if (atomic_load_explicit(&aistrace__clock.ticks.renew_at_ns, memory_order_relaxed) == UINT64_MAX)
        return aistrace__clock_read(CLOCK_MONOTONIC);
    uint64_t ns;
    return aistrace__monotonic_try(&ns) ? ns : aistrace__monotonic_renew_ns();
}

/* Never less than nothing: two readings by different ways may be a little apart. */
static inline uint64_t aistrace__since_ns(uint64_t start_ns, uint64_t end_ns)
{
    return end_ns > start_ns ? end_ns - start_ns : 0;
}

static inline bool aistrace__wall_is_due(uint64_t monotonic_ns)
{
    return monotonic_ns >= atomic_load_explicit(&aistrace__clock.renew_at_ns, memory_order_acquire);
}

/* Only where aistrace__wall_is_due was false, or has been renewed. */
static inline uint64_t aistrace__unix_ns(uint64_t monotonic_ns)
{
    return monotonic_ns + atomic_load_explicit(&aistrace__clock.offset_ns, memory_order_relaxed);
}

#endif
