/* SPDX-License-Identifier: MIT
 *
 * What was lost, told in the log: what programs could not write to their rings, a line per reason and interval; and at
 * the end of an outage, how long nothing was delivered and what was lost meanwhile. Being disabled is no loss. A count
 * of programs may fall: what a producer claims does not count any more when its slot is quarantined. Pure.
 */
#ifndef LOSSES_H
#define LOSSES_H

#include "base/log.h"
#include "base/stats.h"

/* Of programs, by reason. */
struct losses_drops {
    uint64_t told[PRODUCER_REASONS]; /* as the counts stood at the last line */
    uint64_t told_ms[PRODUCER_REASONS];
};

struct losses_outage {
    bool known; /* the counts below are set */
    uint64_t by_programs[PRODUCER_REASONS];
    uint64_t by_daemon[DROP_REASONS]; /* both as they stood before the outage */
    uint64_t told_ms;
};

struct losses {
    struct losses_drops drops;
    struct losses_outage outage;
};

/* What programs have dropped before is not told. */
void losses_init(struct losses *losses, const uint64_t producer_dropped[PRODUCER_REASONS]);

/* Both are called every second or so. Writes a line for each reason whose count has grown and whose last line is
 * LOG_INTERVAL_MS old: the first at once. */
void losses_tell_drops(struct losses *losses, const struct stats_snapshot *now, struct log *log);

/* Writes a line when an outage has ended, which stats says and which is then taken from there; the next line comes
 * LOG_INTERVAL_MS later at the earliest, about all since. */
void losses_tell_outage(struct losses *losses, const struct stats_snapshot *now, const char *endpoint,
                        struct stats *stats, struct log *log);

#endif
