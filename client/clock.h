/* SPDX-License-Identifier: MIT
 *
 * Durations come from the monotonic clock alone. Wall time is the monotonic time plus an offset, shared by all threads
 * so that a child on one thread never seems older than its parent on another, and renewed at most once a second: so a
 * step of the wall clock is absorbed within a second and never stretches a span.
 */
#ifndef AISTRACE_CLOCK_H
#define AISTRACE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

struct aistrace__clock {
    _Atomic uint64_t offset_ns;   /* wall - monotonic */
    _Atomic uint64_t renew_at_ns; /* monotonic; 0: never taken */
};

extern struct aistrace__clock aistrace__clock;

void aistrace__clock_renew(uint64_t monotonic_ns);

static inline uint64_t aistrace__clock_read(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t aistrace__monotonic_ns(void)
{
    return aistrace__clock_read(CLOCK_MONOTONIC);
}

static inline uint64_t aistrace__unix_ns(uint64_t monotonic_ns)
{
    if (__builtin_expect(monotonic_ns >= atomic_load_explicit(&aistrace__clock.renew_at_ns, memory_order_acquire), 0))
        aistrace__clock_renew(monotonic_ns);
    return monotonic_ns + atomic_load_explicit(&aistrace__clock.offset_ns, memory_order_relaxed);
}

#endif
