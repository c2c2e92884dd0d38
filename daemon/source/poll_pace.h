/* SPDX-License-Identifier: MIT
 *
 * How long the daemon sleeps between two looks at the rings. Producers do not wake the daemon, so the pace has to keep
 * room in the rings. Pure.
 */
#ifndef POLL_PACE_H
#define POLL_PACE_H

#include <stdint.h>

/* While records come, a burst has to find room until it is seen: at 200,000 spans/s it takes half a ring of 1 MiB in
 * 10 ms, and of the rest a quarter may still wait for its acknowledgement. */
enum {
    POLL_PACE_MIN_MS = 1,
    POLL_PACE_BUSY_MAX_MS = 10,
    POLL_PACE_IDLE_MAX_MS = 100,
    POLL_PACE_RING = 1 << 16, /* a whole ring, in the measure of `filled` */
};

/* What the look that has just been made has found. */
struct poll_look {
    uint64_t bytes;      /* read from all rings */
    uint64_t filled;     /* of the ring that was read most: how much of it, in parts of POLL_PACE_RING */
    uint64_t elapsed_ns; /* since the look before */
    uint64_t flush_ms;   /* aistraced.flush_interval */
};

/* Nothing found: twice the last sleep, up to POLL_PACE_IDLE_MAX_MS. Else: as long as the fastest ring takes, at the
 * rate seen, to fill by a sixteenth, and at most half the flush interval, so that no span waits longer than that. */
uint64_t poll_pace_next(uint64_t last_ms, const struct poll_look *look);

#endif
