/* SPDX-License-Identifier: MIT */
#include "environment.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "debug.h"
#include "shmring.h"

#define DEFAULT_RING_DIR "/dev/shm/aistrace"

/* NULL: not given, empty, or not to be trusted: whoever runs a set-user-id program chooses its environment. */
static const char *value_of(const char *name)
{
    const char *value = secure_getenv(name);
    return value && *value ? value : NULL;
}

bool aistrace__environment_debug(void)
{
    const char *value = value_of("AIS_TRACING_DEBUG");
    return value && strcmp(value, "1") == 0;
}

bool aistrace__environment_system_clock(void)
{
    const char *value = value_of("AIS_TRACING_CLOCK");
    return value && strcmp(value, "system") == 0;
}

const char *aistrace__environment_ring_dir(void)
{
    const char *dir = value_of("AIS_TRACING_RING_DIR");
    return dir ? dir : DEFAULT_RING_DIR;
}

const char *aistrace__environment_pod(void)
{
    return value_of("MY_POD");
}

/* The number that text begins with, and what follows. -> false: there is none, or it is too large */
static bool leading_number(const char *text, unsigned long long *value, char **rest)
{
    errno = 0;
    *value = strtoull(text, rest, 10);
    return *text >= '0' && *text <= '9' && !errno;
}

uint64_t aistrace__environment_ring_bytes(void)
{
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    const char *text = value_of("AIS_TRACING_RING_SIZE");
    if (!text)
        return 0;
    unsigned long long value;
    char *rest;
    bool is_number = leading_number(text, &value, &rest);
    for (size_t i = 0; i < sizeof(units) / sizeof(*units) && is_number; i++) {
        if (strcmp(rest, units[i].suffix) == 0 && value <= SHMRING_RING_MAX >> units[i].shift &&
            value << units[i].shift >= SHMRING_RING_MIN)
            return value << units[i].shift;
    }
    aistrace__debug(AISTRACE__CAUSE_RING_SIZE, "AIS_TRACING_RING_SIZE ignored: not a size from 4KiB to 1GiB", 0);
    return 0;
}

/* A whole number from least to most; 0: not given, or ignored, of which debug output tells. */
static uint32_t number(const char *name, uint32_t least, uint32_t most, enum aistrace__cause cause, const char *ignored)
{
    const char *text = value_of(name);
    if (!text)
        return 0;
    unsigned long long value;
    char *rest;
    if (leading_number(text, &value, &rest) && !*rest && value >= least && value <= most)
        return (uint32_t)value;
    aistrace__debug(cause, ignored, 0);
    return 0;
}

uint32_t aistrace__environment_thread_slots(void)
{
    return number("AIS_TRACING_THREAD_SLOTS", 1, SHMRING_SLOTS_MAX, AISTRACE__CAUSE_THREAD_SLOTS,
                  "AIS_TRACING_THREAD_SLOTS ignored: not a number from 1 to 1024");
}

uid_t aistrace__environment_ring_uid(void)
{
    return number("AIS_TRACING_RING_UID", 0, (uid_t)-1 - 1, AISTRACE__CAUSE_RING_UID,
                  "AIS_TRACING_RING_UID ignored: not the number of a user");
}
