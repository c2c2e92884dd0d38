/* SPDX-License-Identifier: MIT */
#include "clock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "environment.h"

#define CLOCK_SOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"
enum { TRIES = 4, CLOSE_ENOUGH_NS = 1000, RENEW_NS = 1000000000 };

struct aistrace__clock aistrace__clock = {.ticks = {.renew_at_ns = UINT64_MAX}};

/* ---- wall clock ---- */

/* Several threads may renew at the same time: any of their answers is as good. */
void aistrace__clock_renew(uint64_t monotonic_ns)
{
    uint64_t best_ns = UINT64_MAX, offset_ns = 0;
    for (int i = 0; i < TRIES && best_ns > CLOSE_ENOUGH_NS; i++) {
        uint64_t before_ns = aistrace__clock_read(CLOCK_MONOTONIC);
        uint64_t wall_ns = aistrace__clock_read(CLOCK_REALTIME);
        uint64_t took_ns = aistrace__clock_read(CLOCK_MONOTONIC) - before_ns;
        if (took_ns < best_ns) {
            best_ns = took_ns;
            offset_ns = wall_ns - before_ns - took_ns / 2;
        }
    }
    atomic_store_explicit(&aistrace__clock.offset_ns, offset_ns, memory_order_relaxed);
    /* Release: a thread that sees the new deadline sees an offset, also the first time. */
    atomic_store_explicit(&aistrace__clock.renew_at_ns, monotonic_ns + RENEW_NS, memory_order_release);
}

/* ---- the CPU's counter ---- */

static struct aistrace__reading take_reading(void)
{
    uint64_t before = aistrace__counter(), ns = aistrace__clock_read(CLOCK_MONOTONIC);
    aistrace__counter_fence();
    uint64_t width = aistrace__counter() - before;
    return (struct aistrace__reading){before + width / 2, ns, width};
}

uint64_t aistrace__monotonic_renew_ns(void)
{
    struct aistrace__ticks *ticks = &aistrace__clock.ticks;
    uint64_t current = atomic_load_explicit(&ticks->current, memory_order_acquire);
    uint64_t ns = aistrace__clock_read(CLOCK_MONOTONIC);
    if (!aistrace__ticks_is_due(ticks, ns))
        return ns;
    struct aistrace__reading reading = take_reading();
    return aistrace__ticks_renew(ticks, current, &reading);
}

#if defined(__x86_64__)
static bool kernel_keeps_time_by_it(void)
{
    char name[8] = "";
    int fd = open(CLOCK_SOURCE, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
    if (fd >= 0)
        close(fd);
    return bytes > 0 && strcmp(name, "tsc\n") == 0;
}

static bool is_steady(void)
{
    enum { POWER_LEAF = 0x80000007, INVARIANT_TSC = 1 << 8 }; /* one pace, also in deep sleep */
    unsigned a, b, c, d;

    return __get_cpuid(POWER_LEAF, &a, &b, &c, &d) && (d & INVARIANT_TSC);
}

static bool is_allowed(void)
{
    int mode = 0;
    return prctl(PR_GET_TSC, &mode) == 0 && mode == PR_TSC_ENABLE;
}
#endif

static bool counter_is_sound(void)
{
#if defined(__x86_64__)
    return is_allowed() && is_steady() && kernel_keeps_time_by_it();
#else
    return false;
#endif
}

void aistrace__clock_start(void)
{
    bool use = !aistrace__environment_system_clock() && counter_is_sound();
    if (!use)
        aistrace__ticks_close(&aistrace__clock.ticks);
    atomic_store(&aistrace__clock.ticks.renew_at_ns, use ? 0 : UINT64_MAX);
}

void aistrace__clock_forget(void)
{
    struct aistrace__ticks *ticks = &aistrace__clock.ticks;
    bool use = atomic_load(&ticks->renew_at_ns) != UINT64_MAX;
    memset(ticks, 0, sizeof(*ticks));
    atomic_store(&ticks->renew_at_ns, use ? 0 : UINT64_MAX);
    atomic_store(&aistrace__clock.renew_at_ns, 0);
}
