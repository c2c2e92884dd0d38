/* SPDX-License-Identifier: MIT
 *
 * The daemon's figures and their rendering as Prometheus text. Tables in stats.c name every metric once.
 */
#ifndef STATS_H
#define STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "shmring_format.h"

struct buf;

/* Why the daemon did not export a committed span; index into shmring_ledger.dropped. Append only. */
enum drop_reason {
    DROP_INVALID,       /* the record does not decode */
    DROP_REFUSED,       /* the endpoint answered with a status that must not be retried */
    DROP_OVERSIZE,      /* alone larger than max_batch_bytes */
    DROP_DISABLED,      /* tracing.enabled is false */
    DROP_SPOOL_CORRUPT, /* went to the spool, which does not have it any more */
    DROP_REASONS
};
const char *drop_reason_name(enum drop_reason reason); /* "invalid", ... */
const char *producer_drop_name(unsigned reason);       /* enum shmring_drop, and PRODUCER_INTERRUPTED */
enum { PRODUCER_INTERRUPTED = SHMRING_DROP_REASONS, PRODUCER_REASONS }; /* being written at its owner's death */

/* What became of committed spans: a ledger without its position. */
struct outcome {
    uint64_t exported;
    uint64_t sampled_out;
    uint64_t rejected;
    uint64_t spooled;
    uint64_t dropped[DROP_REASONS];
};
void outcome_add(struct outcome *to, const struct outcome *from);
uint64_t outcome_sum(const struct outcome *outcome);

enum { STATS_GRPC_CODES = 17 };

/* Counted as things happen, by their owners. */
struct stats {
    uint64_t export_requests[STATS_GRPC_CODES]; /* finished attempts by gRPC status code */
    uint64_t invalid_text;                      /* strings whose bytes were not UTF-8 and were mended */
    uint64_t segments_skipped;                  /* of another version */
    uint64_t segments_quarantined;              /* as a whole, or with a slot */
    uint64_t segments_waiting;                  /* at the last scan of the ring directory; not a sum */
    uint64_t unreadable_bytes;                  /* given up with quarantined slots */
    uint64_t config_reloads_ok;
    uint64_t config_reloads_failed;
    uint64_t last_success_ms; /* monotonic; 0: none yet */
    uint64_t outage_began_ms; /* since then nothing is delivered; 0: no outage */
    uint64_t outage_ended_ms; /* until then, and not told yet; 0: it lasts */
};

/* A reading of everything at one instant, from which the metrics are rendered. The source fills the span figures from
 * the segments' ledgers, so that they agree with what a crash would leave. */
struct stats_snapshot {
    struct outcome outcome; /* released, of live and finished segments */
    uint64_t committed;
    uint64_t in_flight; /* read, not yet released */
    uint64_t unread;    /* committed, not yet read */
    uint64_t spooled_now;
    uint64_t spool_written; /* spans that have ever gone to the spool: spooled_now, and what `spool` adds up to */
    struct outcome spool;   /* part of outcome */
    uint64_t spool_bytes;
    uint64_t spool_file_bytes;
    uint64_t spool_limit_bytes;
    uint64_t spool_damaged;
    uint64_t segments;
    uint64_t producer_dropped[PRODUCER_REASONS];
    uint64_t now_ms;
    const struct stats *stats;
};
void stats_render(struct buf *out, const struct stats_snapshot *snapshot);

#endif
