/* SPDX-License-Identifier: MIT
 *
 * What programs could not write to their rings, told in the log: a line per reason and interval.
 */
#ifndef SOURCE_DROPS_H
#define SOURCE_DROPS_H

#include "base/log.h"
#include "base/stats.h"

struct source_drops {
    uint64_t told[PRODUCER_REASONS]; /* as the counts stood at the last line */
    uint64_t told_ms[PRODUCER_REASONS];
};

/* Takes the counts as known: what was dropped before is no news. */
void source_drops_init(struct source_drops *drops, const uint64_t counts[PRODUCER_REASONS]);

/* Writes a line for each reason whose count has grown and whose last line is LOG_INTERVAL_MS old: the first at once.
 * Being disabled is no loss, and not told. */
void source_drops_tell(struct source_drops *drops, const uint64_t counts[PRODUCER_REASONS], uint64_t now_ms,
                       struct log *log);

#endif
