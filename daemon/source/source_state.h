/* SPDX-License-Identifier: MIT
 *
 * The state that source.c (start, clockwork, end), source_read.c (rings to batches) and source_segments.c (which rings
 * there are) share, and what they want of each other. Not for others.
 */
#ifndef SOURCE_STATE_H
#define SOURCE_STATE_H

#include "keeper.h"
#include "losses.h"
#include "poll_pace.h"
#include "pressure.h"
#include "replay.h"
#include "restore.h"
#include "ring/ring_dir.h"
#include "ring/segments.h"
#include "ring/totals.h"
#include "source.h"
#include "source_env.h"
#include "spool/spool.h"

struct source {
    struct source_env env;
    struct ring_dir dir;
    uv_timer_t timer; /* the next pass, when there is time until then */
    uv_idle_t again;  /* the next pass at once */
    uint64_t poll_ms;
    uint64_t last_pass_ns;
    uint64_t filled; /* in the pass under way: see struct poll_look */
    bool stalled;    /* the last pass left data behind because the exporter had no room */
    struct segments segments;
    struct restore restore;
    struct replay replay;
    struct keeper keeper;
    struct pressure pressure;
    struct shmring_window *window;
    struct batch *open;
    struct totals totals;
    struct losses losses;

    void (*closed_cb)(void *user);
    void *closed_user;
};

/* ---- source.c ---- */

/* Makes the next pass come within ms. */
void source_schedule(struct source *source, uint64_t ms);

/* ---- source_read.c ---- */

enum { SOURCE_WINDOW_BYTES = 256 << 10 }; /* copied from one slot at a time */

/* Reads what the rings hold, within a budget. -> bytes read; *more when data was left for the next pass. */
uint64_t source_read_pass(struct source *source, bool *more);

/* Closes the open batch, if there is one, and gives it to the exporter. */
void source_read_seal(struct source *source);

#endif
