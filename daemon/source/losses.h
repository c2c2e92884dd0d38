/* SPDX-License-Identifier: MIT
 *
 * The end of an outage, told in the log: how long nothing was delivered, and what was lost meanwhile.
 */
#ifndef LOSSES_H
#define LOSSES_H

#include "base/log.h"
#include "base/stats.h"

struct source_outage {
    bool known; /* the counts below are set */
    uint64_t by_programs[PRODUCER_REASONS];
    uint64_t by_daemon[DROP_REASONS]; /* both as they stood before the outage */
    uint64_t told_ms;
};

/* To be called every second or so. Writes a line when an outage has ended, which stats says and which is then taken
 * from there; the next one LOG_INTERVAL_MS later at the earliest, about all since. Being disabled is no loss. */
void source_outage_tell(struct source_outage *outage, const struct stats_snapshot *now, const char *endpoint,
                        struct stats *stats, struct log *log);

#endif
