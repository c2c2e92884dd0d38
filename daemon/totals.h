/* SPDX-License-Identifier: MIT
 *
 * What became of the spans of segments that are gone, kept in a state file beside the rings so that it outlives the
 * daemon. A segment's final figures are noted before the segment is unlinked; one that is found again although it was
 * noted is only unlinked. Thus a crash between the two neither loses nor doubles a count.
 */
#ifndef TOTALS_H
#define TOTALS_H

#include <stdbool.h>
#include <stdint.h>

#include "stats.h"

#define TOTALS_FILE "aistraced.state"
enum { TOTALS_INSTANCE_HEX = 32 };

struct totals {
    struct outcome outcome;
    uint64_t producer_dropped[PRODUCER_REASONS];
    char (*noted)[TOTALS_INSTANCE_HEX + 1]; /* instances whose unlinking is not yet known to have happened */
    size_t noted_count;
};

/* Reads the state file of the ring directory. No file: all zero. -> -EBADMSG when it is damaged or another user's (out
 * is then all zero), -errno. */
int totals_load(int dir_fd, struct totals *out);
void totals_done(struct totals *totals);

bool totals_noted(const struct totals *totals, const char *instance);

/* Writes the file anew (rename) with instance among the noted; the caller has added the figures to totals before.
 * -> 0 or -errno: then the segment must not be unlinked yet. */
int totals_note(struct totals *totals, int dir_fd, const char *instance);

/* The noted segment is unlinked; the file forgets it when it is next written. */
void totals_unlinked(struct totals *totals, const char *instance);

#endif
