/* SPDX-License-Identifier: MIT
 *
 * The spool's records on their way to the endpoint, oldest first, beside what is read from the rings. One at a time
 * until the endpoint has taken one, then twice as many with each batch it takes; at most half of max_in_flight while
 * batches from the rings are there as well. While nothing answers, batches from the rings probe the endpoint; a record
 * does so only when there are none. Where answers fail now and then, a record in backoff makes place for the next: else
 * an endpoint that refuses most attempts would get one record per backoff, and the spool would fill.
 * On the loop's thread.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include "base/buf.h"
#include "source_env.h"
#include "spool/spool.h"

struct replay {
    const struct source_env *env;
    struct spool *spool; /* NULL: none, nothing is sent */
    size_t held;         /* records with the exporter */
    size_t window;       /* how many may be */
    uint64_t retry_ms;   /* no read before that time */
    unsigned failures;   /* of reads, in a row */
};

void replay_init(struct replay *replay, const struct source_env *env, struct spool *spool);

/* Has the oldest record read, to be sent, if one more may be. Makes no callback. */
void replay_send(struct replay *replay);

/* spool's read_cb: gives the record to the exporter as a batch whose batch_stay says replay. */
void replay_read(struct replay *replay, struct spool_record *record, struct buf *request, int err);

/* The exporter is through with a batch of any kind. */
void replay_note_end(struct replay *replay, bool was_replay, const struct batch_outcome *outcome);

#endif
