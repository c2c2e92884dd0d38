/* SPDX-License-Identifier: MIT
 *
 * Answers for a batch from its seal until it is settled: by the exporter, by the spool, or both. README.md has the
 * states and who answers in each. On the loop's thread.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include "base/ending.h"
#include "replay.h"
#include "restore.h"
#include "ring/ring_dir.h"
#include "ring/totals.h"
#include "source_env.h"
#include "spool/spool.h"

/* What stands above the empty line is set by the owner before keeper_start, and borrowed; the rest is zero. */
struct keeper {
    const struct source_env *env;
    const struct ring_dir *dir;
    struct totals *totals; /* of files of the spool */
    struct restore *restore;
    struct replay *replay;
    void (*released_cb)(void *user); /* claims are settled, or the exporter has room: commit, and go on reading */
    void *user;

    struct spool *spool;             /* NULL: none */
    struct batch *oldest, *youngest; /* sealed, and their spans nowhere else yet; linked by batch_stay */
    size_t count;                    /* their number */
    bool spool_takes;                /* takes more batches; else it is only emptied */
    bool spool_refuses;              /* refuses any batch, until keeper_ask_again */
    bool spooling;                   /* there are spans in the spool, and the log says so */
    struct ending ending;
};

/* Opens the spool, if there is to be one. Before segments are looked for. -> 0, also when there is none; -errno: the
 * configured directory cannot be used. */
int keeper_start(struct keeper *keeper);

/* Closes the spool; what is not written then stays in its ring. */
void keeper_close(struct keeper *keeper, void (*closed_cb)(void *user), void *user);

/* Takes a batch just sealed, with spans: to the exporter, or at the end to the spool. */
void keeper_send(struct keeper *keeper, struct batch *batch);

/* Has a sealed, unfinished batch written to the spool. -> false: not now; it stays where it is. */
bool keeper_put(struct keeper *keeper, struct batch *batch);
void keeper_ask_again(struct keeper *keeper); /* a spool that has refused may have room now */

/* The exporter has ended with the batch: see exporter_finished_cb. */
void keeper_settle(struct keeper *keeper, struct batch *batch, const struct batch_outcome *outcome);

/* Takes back what is sent from the spool. What is on the wire stays there until its attempt ends. */
void keeper_stop_replay(struct keeper *keeper);

void keeper_tidy(struct keeper *keeper);                                       /* once a pass, after the ledgers */
void keeper_snapshot(const struct keeper *keeper, struct stats_snapshot *out); /* after all segments' figures */

#endif
