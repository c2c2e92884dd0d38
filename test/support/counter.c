/* SPDX-License-Identifier: MIT */
#include "counter.h"

#include <check.h>
#include <stdio.h>

#include "clock.h"

#define DEADLINE_NS 10000000000ull

static struct aistrace__line *line(void)
{
    struct aistrace__ticks *ticks = &aistrace__clock.ticks;

    return (struct aistrace__line *)(uintptr_t)aistrace__ticks_line(ticks, ticks->current);
}

bool counter_is_used(void)
{
    return line()->window_ticks != 0;
}

void counter_set_window(uint32_t ticks)
{
    line()->window_ticks = ticks;
}

bool counter_await(void)
{
    uint64_t deadline_ns = aistrace__clock_read(CLOCK_MONOTONIC) + DEADLINE_NS;
    while (aistrace__clock.ticks.renew_at_ns != UINT64_MAX && !counter_is_used()) {
        aistrace__monotonic_ns();
        ck_assert_uint_lt(aistrace__clock_read(CLOCK_MONOTONIC), deadline_ns);
    }
    if (!counter_is_used())
        printf("SKIP the counter of the CPU: none of this machine is sound, only clock_gettime is tested\n");
    return counter_is_used();
}

bool counter_hold(void)
{
    if (!counter_await())
        return false;
    counter_set_window(UINT32_MAX);
    aistrace__clock_renew(aistrace__monotonic_ns());
    return true;
}
