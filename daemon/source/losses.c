/* SPDX-License-Identifier: MIT */
#include "losses.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"

static void list(struct buf *out, const char *who, const char *reason, uint64_t count)
{
    if (count > 0)
        buf_printf(out, "%s%" PRIu64 " by %s (%s)", out->len ? ", " : "", count, who, reason);
}

static void list_losses(const struct source_outage *outage, const struct stats_snapshot *now, struct buf *out)
{
    for (unsigned i = 0; i < PRODUCER_REASONS; i++)
        if (i != SHMRING_DROP_DISABLED)
            list(out, "programs", producer_drop_name(i), now->producer_dropped[i] - outage->by_programs[i]);
    for (unsigned i = 0; i < DROP_REASONS; i++)
        if (i != DROP_DISABLED)
            list(out, "aistraced", drop_reason_name((enum drop_reason)i),
                 now->outcome.dropped[i] - outage->by_daemon[i]);
}

static void tell(const struct source_outage *outage, const struct stats_snapshot *now, const char *endpoint,
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

void source_outage_tell(struct source_outage *outage, const struct stats_snapshot *now, const char *endpoint,
                        struct stats *stats, struct log *log)
{
    if (stats->outage_began_ms > 0 && outage->known) {
        bool soon = outage->told_ms > 0 && now->now_ms - outage->told_ms < LOG_INTERVAL_MS;
        if (stats->outage_ended_ms == 0 || soon)
            return; /* the counts of before are still needed */
        tell(outage, now, endpoint, stats, log);
        outage->told_ms = now->now_ms;
        stats->outage_began_ms = stats->outage_ended_ms = 0;
    }
    outage->known = true;
    memcpy(outage->by_programs, now->producer_dropped, sizeof(outage->by_programs));
    memcpy(outage->by_daemon, now->outcome.dropped, sizeof(outage->by_daemon));
}
