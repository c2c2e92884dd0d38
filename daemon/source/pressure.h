/* SPDX-License-Identifier: MIT
 *
 * When a batch goes to the spool. A ring is released in order, so one batch that is late holds up all that was written
 * behind it: 1 % of answers UNAVAILABLE, with 5 s of backoff, would cost 37 % of the spans (simulated). On the loop's
 * thread.
 */
#ifndef PRESSURE_H
#define PRESSURE_H

#include "keeper.h"
#include "ring/segments.h"
#include "source_env.h"

/* What a ring may hold that is read and not released: one part of the ring in so many. */
enum {
    PRESSURE_HELD_UP = 4, /* above: its batches that are held up go to the spool, and the open batch is sealed early */
    PRESSURE_ALL = 2,     /* above: all its batches go */
    PRESSURE_SEAL = 8,    /* in the open batch: the batch is not sealed early for less */
};

/* What stands above the empty line is set by the owner, and borrowed; the rest is zero. */
struct pressure {
    const struct source_env *env;
    const struct segments *segments;
    struct keeper *keeper;

    bool pressed; /* some ring may be under pressure */
};

/* Says that so many bytes of a ring are read and not released. -> true: it is under pressure. Only reading brings a
 * ring under pressure: it has to say so. */
static inline bool pressure_note(struct pressure *pressure, uint64_t unreleased, uint64_t ring_bytes)
{
    bool pressed = unreleased > ring_bytes / PRESSURE_HELD_UP;
    pressure->pressed |= pressed;
    return pressed;
}

/* After a pass: has batches written to the spool that are late, or whose rings are under pressure, and at the end all.
 * `open` is the batch being filled, or NULL; `stalled`: the pass left data behind because the exporter had no room.
 * -> true: there is something to read, and soon room for it. */
bool pressure_relieve(struct pressure *pressure, const struct batch *open, bool stalled);

#endif
