/* SPDX-License-Identifier: MIT
 *
 * The daemon's figures: counted by their owners, and read all at once.
 */
#ifndef STATS_H
#define STATS_H

#include <stdint.h>

#include "outcome.h"

enum { STATS_GRPC_CODES = 17 };

/* Counted as things happen, by their owners. */
struct stats {
    uint64_t export_requests[STATS_GRPC_CODES]; /* finished attempts by gRPC status code */
    uint64_t invalid_text;                      /* strings that were not UTF-8: bad bytes were replaced */
    uint64_t segments_skipped;                  /* of another version, or files that are no sound segments */
    uint64_t segments_quarantined;              /* as a whole, or with a slot */
    uint64_t segments_waiting;                  /* at the last scan of the ring directory: a level, not a sum */
    uint64_t unreadable_bytes;                  /* given up with quarantined slots */
    uint64_t config_reloads_ok;
    uint64_t config_reloads_failed;
    uint64_t last_success_ms; /* monotonic; 0: none yet */
    uint64_t outage_began_ms; /* nothing has been delivered since; 0: no outage */
    uint64_t outage_ended_ms; /* not yet told in the log; 0: the outage lasts */
};

/* A reading of everything at one instant, from which the metrics are rendered. The source fills the span figures from
 * the segments' ledgers, so that they agree with what a crash would leave. */
struct stats_snapshot {
    struct shmring_counts outcome; /* released, of live and finished segments */
    uint64_t committed;
    uint64_t in_flight; /* read, not yet released */
    uint64_t unread;    /* committed, not yet read */
    uint64_t spooled_now;
    uint64_t spool_written;      /* spans that have ever gone to the spool: spooled_now, and what `spool` adds up to */
    struct shmring_counts spool; /* part of outcome */
    uint64_t spool_bytes;
    uint64_t spool_file_bytes;
    uint64_t spool_limit_bytes;
    uint64_t spool_damaged;
    uint64_t segments;
    uint64_t producer_dropped[PRODUCER_REASONS];
    uint64_t now_ms;
    const struct stats *stats;
};

#endif
