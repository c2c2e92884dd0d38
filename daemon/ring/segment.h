/* SPDX-License-Identifier: MIT
 *
 * One attached segment as the daemon sees it: its reader, the claims on its slots, its encoded resource, its figures.
 */
#ifndef SEGMENT_H
#define SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/stats.h"
#include "batch/batch.h"
#include "shmring.h"
#include "span/otlp_resource.h"
#include "totals.h"

/* Interval of a slot's ring that a former daemon has put into the spool and not released. */
struct segment_skip {
    struct segment_skip *next;
    uint64_t begin;
    uint64_t end;
    uint64_t spans;                /* that are in the spool */
    struct shmring_counts outcome; /* of the other records of the interval */
    struct spool_record *record;
};

struct segment_slot {
    struct claim_queue claims;
    struct segment *segment;
    struct segment_skip *skips; /* in ring order; reading has not come to them yet */
    uint64_t drain_target;      /* while draining: read no further than this */
    bool quarantine_seen;       /* its claims are abandoned, its unreadable bytes counted */
};

struct segment {
    struct segment *next;
    struct tenant *tenant;     /* whose it is; NULL until it has a place */
    struct segment *turn_next; /* the tenant's */
    struct shmring_reader *reader;
    struct segment_slot *slots; /* one per slot of the segment */
    struct segment_skip *all_skips;
    uint32_t next_slot;      /* the slot that the next pass begins with, for fairness */
    struct buf resource;     /* encoded ResourceSpans.resource */
    int watch;               /* discovery's, or negative */
    bool owner_dead;         /* final: nothing more will be written */
    bool quarantine_counted; /* of the segment or of one of its slots */
    unsigned probes_left;    /* a close was seen: look at the lock again soon */
    uint64_t probe_at_ms;
    char instance[SHMRING_INSTANCE_HEX + 1];
    char name[]; /* in the ring directory */
};

/* Attaches and checks the resource. -> 0, or as shmring_reader_open; or -EBADMSG with *problem a static text: what is
 * wrong with the resource. Otherwise *problem is NULL. */
int segment_open(int dir_fd, const char *name, struct segment **out, const char **problem);
void segment_close(struct segment *segment); /* accepts NULL; its claims must be taken or abandoned, its skips gone */

/* Composes the resource block anew, for spans read from now on. -> 0 or -ENOMEM: the old one stays. */
int segment_encode_resource(struct segment *segment, const struct resource_settings *settings, uint64_t *invalid_text);

/* Puts one of all_skips in its place. */
void segment_add_skip(struct segment *segment, uint32_t slot, struct segment_skip *skip);

/* The queue is that of a segment's slot: commits its settled claims up to the first that is not settled. */
void segment_release(struct claim_queue *queue);

/* True when all that was written when last looked at is read and released. */
bool segment_quiet(const struct segment *segment);

/* From now on each slot is read no further than it was written when last looked at. Drained: it is read so far, and
 * released. */
void segment_set_drain_targets(struct segment *segment);
bool segment_drained(const struct segment *segment);

/* The slot is quarantined: counts what cannot be read, and forgets its claims, which count into `orphaned` when they
 * are settled. -> false: that has been done before. */
bool segment_note_quarantine(struct segment *segment, uint32_t slot, struct stats *stats,
                             struct shmring_counts *orphaned);

/* Quarantines slots whose figures cannot be true. -> why the whole segment is quarantined: counted, and returned once;
 * else NULL */
const char *segment_audit(struct segment *segment, struct stats *stats);

/* Adds the segment's figures. Spans that the spool has while the ring is not yet released are added to spool_written
 * alone. */
void segment_snapshot(const struct segment *segment, struct stats_snapshot *out);

/* Adds the final figures of a quiet segment whose owner is dead. */
void segment_add_to_totals(const struct segment *segment, struct totals *totals);

#endif
