/* SPDX-License-Identifier: MIT
 *
 * What the rings hold, read into batches. For fairness users take turns, and share what is read in a pass; so do a
 * user's segments, and within a segment the slot after the last one read comes first in the next pass. When a pass runs
 * out of its budget, or of the exporter's room, the next one begins where it stopped. On the loop's thread.
 */
#ifndef SOURCE_READ_H
#define SOURCE_READ_H

#include "keeper.h"
#include "poll_pace.h"
#include "pressure.h"
#include "restore.h"
#include "ring/segments.h"
#include "source_env.h"

/* What stands above the empty line is set by the owner before source_read_start, and borrowed; the rest is zero. */
struct source_read {
    const struct source_env *env;
    struct segments *segments;
    const struct restore *restore;
    struct keeper *keeper;
    struct pressure *pressure;

    struct shmring_window *window;
    struct batch *open;    /* being filled; NULL: none */
    uint64_t last_pass_ns; /* when it began */
    uint64_t filled;       /* in the pass under way: see struct poll_look */
    bool sends;            /* in the pass under way: sending is enabled, and there is an exporter */
    bool stalled;          /* the last pass left data behind because the exporter had no room, or there was no memory */
};

int source_read_start(struct source_read *reading); /* -> 0 or -ENOMEM */
void source_read_done(struct source_read *reading); /* the open batch goes with its pool */

/* Reads what the rings hold, within a budget, and says in *look what it has found. -> true: data was left for the next
 * pass */
bool source_read_pass(struct source_read *reading, struct poll_look *look);

/* Closes the open batch, if there is one, and gives it to the keeper. Without memory it stays open. */
void source_read_seal(struct source_read *reading);

#endif
