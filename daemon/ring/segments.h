/* SPDX-License-Identifier: MIT
 *
 * All attached segments: found, attached, probed for dead owners, audited, and dismissed when the owner is dead and
 * every span is settled. Knows neither the configuration nor who reads the rings. On the loop's thread.
 */
#ifndef SEGMENTS_H
#define SEGMENTS_H

#include <uv.h>

#include "base/log.h"
#include "base/stats.h"
#include "discovery.h"
#include "ring_dir.h"
#include "segment.h"
#include "span/otlp_resource.h"
#include "tenant.h"
#include "totals.h"

struct segments_callbacks {
    /* The segment is about to be read. -> 0, or -ENOMEM: it is not attached, and found again later. */
    int (*attach_cb)(void *user, struct segment *segment);

    /* Nothing more is read from the slot: it is quarantined, or its segment goes. */
    void (*slot_lost_cb)(void *user, struct segment_slot *slot);

    /* There is something to read, to probe or to dismiss: a pass is wanted within that time. */
    void (*wake_cb)(void *user, uint64_t within_ms);

    /* Once every DISCOVERY_RESCAN_MS, when all have been looked at. */
    void (*tick_cb)(void *user);
};

/* What producers are told, and what their resources become. */
struct segments_settings {
    struct resource_settings resource; /* its texts are borrowed until the next segments_publish */
    bool enabled;
    uint64_t sampling_threshold;
};

struct skipped;

/* What stands above the empty line is set by the owner before segments_start, and borrowed; the rest is zero. */
struct segments {
    uv_loop_t *loop;
    struct stats *stats;
    struct log *log;
    struct ring_dir *dir;
    struct totals *totals;
    const struct segments_callbacks *callbacks;
    void *user;
    struct segments_settings settings; /* in force */

    struct discovery *discovery;
    struct segment *first;
    struct tenants tenants; /* the same segments by their users, in order of turns; each costs a descriptor */
    void *names;            /* tsearch(3) tree of the names of segments and skipped files */
    struct skipped *skipped;
    uint64_t waiting;               /* found by the scan under way, and not attached */
    struct shmring_counts orphaned; /* of batches in flight when their slot was quarantined */
    unsigned ticks;
    bool events_lost; /* of closes, possibly */
    bool suspects;    /* some segment has probes left: segments_probe_suspects is to be called every millisecond */
    bool owners_died; /* some segment's owner is dead */
    uint64_t state_retry_ms;
};

/* Begins to watch the directory; reports nothing yet. -> 0 or -errno */
int segments_start(struct segments *segments);
void segments_scan(struct segments *segments); /* finds what is there already */

/* No callback comes once closed_cb has been called; what is attached stays so until segments_done. */
void segments_close(struct segments *segments, void (*closed_cb)(void *user), void *user);
void segments_done(struct segments *segments); /* detaches all, also when segments_start failed */

/* Tells all producers what is in force from now on, and composes the resources anew. */
void segments_publish(struct segments *segments, const struct segments_settings *settings);

/* True when the segment's ledger is still to come: its file is there, neither attached nor known as finished. */
bool segments_awaited(const struct segments *segments, const uint8_t instance[SHMRING_INSTANCE_BYTES]);

/* The slot is quarantined: says so in the log, and forgets its claims, which count into `orphaned` when they are
 * settled. Does nothing the second time. */
void segments_note_quarantine(struct segments *segments, struct segment *segment, uint32_t slot);

/* Commits to the ledgers what has been settled of the pool's batches. */
void segments_release(struct batch_pool *pool);

void segments_probe_suspects(struct segments *segments); /* those whose time has come */

/* Notes, unlinks and forgets the segments whose owner is dead and whose every span is settled. */
void segments_dismiss(struct segments *segments);

/* From now on each slot is read no further than it is written now. Drained: all slots are read so far and released,
 * and no segment is to be dismissed. */
void segments_set_drain_targets(struct segments *segments);
bool segments_drained(const struct segments *segments);

/* Adds the figures of all segments, those that are gone as well. *out has no figures of spans before. */
void segments_snapshot(const struct segments *segments, struct stats_snapshot *out);

#endif
