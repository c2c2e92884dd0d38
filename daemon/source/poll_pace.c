/* SPDX-License-Identifier: MIT */
#include "poll_pace.h"

enum { SHARE = 16, NS_PER_MS = 1000000 };

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

uint64_t poll_pace_next(uint64_t last_ms, const struct poll_look *look)
{
    if (look->bytes == 0)
        return clamp(last_ms * 2, POLL_PACE_MIN_MS, POLL_PACE_IDLE_MAX_MS);
    uint64_t most = clamp(look->flush_ms / 2, POLL_PACE_MIN_MS, POLL_PACE_BUSY_MAX_MS);
    uint64_t filled = clamp(look->filled, 1, POLL_PACE_RING);
    uint64_t elapsed_ns = clamp(look->elapsed_ns, 0, (uint64_t)POLL_PACE_IDLE_MAX_MS * NS_PER_MS);
    return clamp(elapsed_ns * (POLL_PACE_RING / SHARE) / filled / NS_PER_MS, POLL_PACE_MIN_MS, most);
}
