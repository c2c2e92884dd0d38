/* SPDX-License-Identifier: MIT
 *
 * What became of the spans of segments that are gone, kept in a state file beside the rings so that it outlives the
 * daemon. A segment's final figures are noted before the segment is unlinked; one that is found again although it was
 * noted is only unlinked. Thus a crash between the two neither loses nor doubles a count. So it goes with the files of
 * the spool and what became of their spans.
 */
#ifndef TOTALS_H
#define TOTALS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/outcome.h"

#define TOTALS_FILE "aistraced.state"

struct totals {
    struct shmring_counts outcome;
    uint64_t producer_dropped[PRODUCER_REASONS];
    char (*noted)[SHMRING_INSTANCE_HEX + 1]; /* instances whose unlinking is not yet known to have happened */
    size_t noted_count;
    struct shmring_counts spool; /* of spans that went through files of the spool since emptied */
    uint64_t *retired;           /* ids of such files that may still be there as they were */
    size_t retired_count;
    size_t retired_asked; /* the first so many are known to be there: see totals_keep_retired */
};

/* Reads the state file of the ring directory. No file: all zero. -> -EBADMSG when it is damaged or another user's (out
 * is then all zero), -errno. */
int totals_load(int dir_fd, struct totals *out);
void totals_done(struct totals *totals);

/* The state file's text. Pure. */
int totals_parse(struct buf *text, struct totals *out);    /* uses the text up; -> 0, -EBADMSG or -ENOMEM: all zero */
int totals_render(struct totals *totals, struct buf *out); /* appends; -> 0 or -ENOMEM */

bool totals_noted(const struct totals *totals, const char *instance);

/* Writes the file anew (rename) with instance among the noted; the caller has added the figures to totals before.
 * -> 0 or -errno: then the segment must not be unlinked yet. */
int totals_note(struct totals *totals, int dir_fd, const char *instance);

/* The same for a file of the spool, with what became of its spans: id and outcome get into the file together, or not at
 * all. */
int totals_retire(struct totals *totals, int dir_fd, uint64_t id, const struct shmring_counts *outcome);
void totals_forget_retired(struct totals *totals, uint64_t id); /* there is no such file any more */

/* For the start, when every file that is there is asked about: true for one that is noted, which is then known to be
 * there. Keeping forgets those that nobody has asked about; the state file does when it is next written. */
bool totals_retired(struct totals *totals, uint64_t id);
void totals_keep_retired(struct totals *totals);

/* The noted segment is unlinked; the file forgets it when it is next written. */
void totals_unlinked(struct totals *totals, const char *instance);

#endif
