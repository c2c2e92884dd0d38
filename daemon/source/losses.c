/* SPDX-License-Identifier: MIT */
#include "losses.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"

/* ---- what programs dropped ---- */

static const char *const causes[PRODUCER_REASONS] = {
    [SHMRING_DROP_RING_FULL] = "their rings are full: the endpoint is away or slow, or AIS_TRACING_RING_SIZE too small",
    [SHMRING_DROP_OVERSIZE] = "larger than a quarter of their ring; AIS_TRACING_RING_SIZE makes rings larger",
    [SHMRING_DROP_NESTED] = "a signal handler's span interrupted another's end, or a jump had left that",
    [SHMRING_DROP_NO_SLOT] = "more threads than AIS_TRACING_THREAD_SLOTS",
    [SHMRING_DROP_NO_MEMORY] = "no memory for a ring: rings have their quarter of the file system of "
                               "aistraced.ring_dir, or a memory limit is near",
    [SHMRING_DROP_NO_FILE] =
        "they cannot open their ring's file any more: its name, their rights or descriptors are gone",
    [PRODUCER_INTERRUPTED] = "killed, or stopped, while writing",
};

void losses_init(struct losses *losses, const uint64_t producer_dropped[PRODUCER_REASONS])
{
    *losses = (struct losses){0};
    memcpy(losses->drops.told, producer_dropped, sizeof(losses->drops.told));
}

void losses_tell_drops(struct losses *losses, const struct stats_snapshot *now, struct log *log)
{
    struct losses_drops *drops = &losses->drops;
    const uint64_t *counts = now->producer_dropped;
    for (unsigned reason = 0; reason < PRODUCER_REASONS; reason++) {
        if (counts[reason] < drops->told[reason])
            drops->told[reason] = counts[reason];
        if (reason == SHMRING_DROP_DISABLED || counts[reason] == drops->told[reason])
            continue;
        if (drops->told_ms[reason] && now->now_ms - drops->told_ms[reason] < LOG_INTERVAL_MS)
            continue;
        log_line(log, LOG_WARN, "programs dropped %" PRIu64 " spans (%s)%s%s", counts[reason] - drops->told[reason],
                 producer_drop_name(reason), causes[reason] ? ": " : "", causes[reason] ? causes[reason] : "");
        drops->told[reason] = counts[reason];
        drops->told_ms[reason] = now->now_ms;
    }
}

/* ---- what an outage cost ---- */

static void list(struct buf *out, const char *who, const char *reason, uint64_t before, uint64_t now)
{
    if (now > before)
        buf_printf(out, "%s%" PRIu64 " by %s (%s)", out->len ? ", " : "", now - before, who, reason);
}

static void list_losses(const struct losses_outage *outage, const struct stats_snapshot *now, struct buf *out)
{
    for (unsigned i = 0; i < PRODUCER_REASONS; i++)
        if (i != SHMRING_DROP_DISABLED)
            list(out, "programs", producer_drop_name(i), outage->by_programs[i], now->producer_dropped[i]);
    for (unsigned i = 0; i < DROP_REASONS; i++)
        if (i != DROP_DISABLED)
            list(out, "aistraced", drop_reason_name((enum drop_reason)i), outage->by_daemon[i],
                 now->outcome.dropped[i]);
}

static void tell_recovery(const struct losses_outage *outage, const struct stats_snapshot *now, const char *endpoint,
                          const struct stats *stats, struct log *log)
{
    struct buf losses = {0};
    list_losses(outage, now, &losses);
    log_line(log, LOG_INFO, "recovered after %.1f s: %s can be reached; %s%.*s",
             (double)(stats->outage_ended_ms - stats->outage_began_ms) / 1000, endpoint,
             losses.len ? "spans lost meanwhile: " : "nothing was lost", (int)losses.len,
             losses.len ? (const char *)losses.data : "");
    buf_done(&losses);
}

void losses_tell_outage(struct losses *losses, const struct stats_snapshot *now, const char *endpoint,
                        struct stats *stats, struct log *log)
{
    struct losses_outage *outage = &losses->outage;
    if (stats->outage_began_ms > 0 && outage->known) {
        bool soon = outage->told_ms > 0 && now->now_ms - outage->told_ms < LOG_INTERVAL_MS;
        if (stats->outage_ended_ms == 0 || soon)
            return; /* the counts of before are still needed */
        tell_recovery(outage, now, endpoint, stats, log);
        outage->told_ms = now->now_ms;
        stats->outage_began_ms = stats->outage_ended_ms = 0;
    }
    outage->known = true;
    memcpy(outage->by_programs, now->producer_dropped, sizeof(outage->by_programs));
    memcpy(outage->by_daemon, now->outcome.dropped, sizeof(outage->by_daemon));
}
