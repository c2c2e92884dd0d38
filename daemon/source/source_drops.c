/* SPDX-License-Identifier: MIT */
#include "source_drops.h"

#include <inttypes.h>
#include <string.h>

static const char *const causes[PRODUCER_REASONS] = {
    [SHMRING_DROP_RING_FULL] = "their rings are full: the endpoint is away or slow, or AIS_TRACING_RING_SIZE too small",
    [SHMRING_DROP_OVERSIZE] = "larger than a quarter of AIS_TRACING_RING_SIZE",
    [SHMRING_DROP_NESTED] = "a signal handler's span interrupted another's end",
    [SHMRING_DROP_NO_SLOT] = "more threads than aistrace_options.thread_slots",
    [SHMRING_DROP_NO_MEMORY] = "no room for a ring in the file system of aistraced.ring_dir",
    [PRODUCER_INTERRUPTED] = "killed while writing",
};

void source_drops_init(struct source_drops *drops, const uint64_t counts[PRODUCER_REASONS])
{
    memset(drops, 0, sizeof(*drops));
    memcpy(drops->told, counts, sizeof(drops->told));
}

void source_drops_tell(struct source_drops *drops, const uint64_t counts[PRODUCER_REASONS], uint64_t now_ms,
                       struct log *log)
{
    for (unsigned reason = 0; reason < PRODUCER_REASONS; reason++) {
        if (reason == SHMRING_DROP_DISABLED || counts[reason] <= drops->told[reason])
            continue;
        if (drops->told_ms[reason] && now_ms - drops->told_ms[reason] < LOG_INTERVAL_MS)
            continue;
        log_line(log, LOG_WARN, "programs dropped %" PRIu64 " spans (%s)%s%s", counts[reason] - drops->told[reason],
                 producer_drop_name(reason), causes[reason] ? ": " : "", causes[reason] ? causes[reason] : "");
        drops->told[reason] = counts[reason];
        drops->told_ms[reason] = now_ms;
    }
}
