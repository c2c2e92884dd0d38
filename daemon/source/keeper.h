/* SPDX-License-Identifier: MIT
 *
 * Sealed batches between the rings, the exporter and the spool; part of the source, see source_state.h.
 *
 *     sealed ──► with the exporter ──────────────────────► finished: claims settled
 *                     │ pressure: pressure.c          ▲
 *                     ▼                                      │ (write failed)
 *                 being written ── safe: claims settled as spooled ── with the exporter still? its word settles the
 * record └─ else the record waits: replay.c
 *
 * A batch on the wire is written while its attempt runs. Once a write has begun its end decides: what the exporter says
 * meanwhile is kept until then, so that ring, spool and counts agree whenever the daemon dies.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include "ring/segment.h"
#include "source.h"
#include "spool/spool.h"

/* ---- keeper.c ---- */

/* -> 0, also with no spool; -errno: the configured directory cannot be used. Before segments are looked for. */
int source_spool_start(struct source *source);

void source_spool_send(struct source *source, struct batch *batch); /* a batch just sealed */

/* Has a sealed, unfinished batch written to the spool. -> false: not now; it stays where it is. */
bool source_spool_put(struct source *source, struct batch *batch);

void source_spool_settle(struct source *source, struct batch *batch, const struct batch_outcome *outcome);
void source_stop_replay(struct source *source);
void source_spool_figures(const struct source *source, struct stats_snapshot *out); /* after all segments' */
void source_spool_tidy(struct source *source);                                      /* after the ledgers */

/* ---- pressure.c ---- */

void source_pressure_relieve(struct source *source); /* after a pass */
void source_pressure_overtaken(struct source *source, const struct batch *by);

#endif
