/* SPDX-License-Identifier: MIT */
#include "counter.h"

#include <check.h>
#include <stdio.h>

#include "clock.h"

#define DEADLINE_NS 10000000000ull

bool counter_await(void)
{
    struct aistrace__ticks *line = &aistrace__clock.ticks;
    uint64_t deadline_ns = aistrace__clock_read(CLOCK_MONOTONIC) + DEADLINE_NS;
    while (line->renew_at_ns != UINT64_MAX && line->window_ticks == 0) {
        aistrace__monotonic_ns();
        ck_assert_uint_lt(aistrace__clock_read(CLOCK_MONOTONIC), deadline_ns);
    }
    if (line->window_ticks == 0)
        printf("SKIP the counter of the CPU: none of this machine is sound, only clock_gettime is tested\n");
    return line->window_ticks != 0;
}

bool counter_hold(void)
{
    if (!counter_await())
        return false;
    aistrace__clock.ticks.window_ticks = UINT32_MAX;
    aistrace__clock_renew(aistrace__monotonic_ns());
    return true;
}
