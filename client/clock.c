/* SPDX-License-Identifier: MIT */
#include "clock.h"

enum { TRIES = 4, CLOSE_ENOUGH_NS = 1000, RENEW_NS = 1000000000 };

struct aistrace__clock aistrace__clock;

/* Several threads may renew at the same time: any of their answers is as good. */
void aistrace__clock_renew(uint64_t monotonic_ns)
{
    uint64_t best_ns = UINT64_MAX, offset_ns = 0;

    for (int i = 0; i < TRIES && best_ns > CLOSE_ENOUGH_NS; i++) {
        uint64_t before_ns = aistrace__monotonic_ns();
        uint64_t wall_ns = aistrace__clock_read(CLOCK_REALTIME);
        uint64_t took_ns = aistrace__monotonic_ns() - before_ns;
        if (took_ns < best_ns) {
            best_ns = took_ns;
            offset_ns = wall_ns - before_ns - took_ns / 2;
        }
    }
    atomic_store_explicit(&aistrace__clock.offset_ns, offset_ns, memory_order_relaxed);
    /* Release: who sees the new deadline sees an offset, also the very first time. */
    atomic_store_explicit(&aistrace__clock.renew_at_ns, monotonic_ns + RENEW_NS, memory_order_release);
}
