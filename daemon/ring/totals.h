/* SPDX-License-Identifier: MIT
 *
 * What became of the spans of segments that are gone, kept in a state file beside the rings so that it outlives the
 * daemon. A segment's final figures are noted before the segment is unlinked; one that is found again although it was
 * noted is only unlinked. Thus a crash between the two neither loses nor doubles a count. The same holds for files of
 * the spool ("retired") and what became of their spans. One thread.
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
    char (*noted)[SHMRING_INSTANCE_HEX + 1]; /* instances whose files may still be there */
    size_t noted_count;
    struct shmring_counts spool; /* of spans in files of the spool that are retired */
    uint64_t *retired;           /* ids of such files, which may still be there as they were */
    size_t retired_count;
    size_t retired_asked; /* the first so many ids are known to be there: see totals_keep_retired */
};

/* Reads the state file of the ring directory. No file: all zero. -> -EBADMSG when it is damaged or another user's (out
 * is then all zero), -errno. */
int totals_load(int dir_fd, struct totals *out);
void totals_done(struct totals *totals);

/* The state file's text. Pure. */
int totals_parse(struct buf *text, struct totals *out);    /* uses the text up; -> 0, -EBADMSG or -ENOMEM: all zero */
int totals_render(struct totals *totals, struct buf *out); /* appends; -> 0 or -ENOMEM */

/* Is the segment with this instance id, in hexadecimal, noted as finished? */
bool totals_noted(const struct totals *totals, const char *instance);

/* Writes the state file anew (rename) with the instance noted; the caller has added the figures to totals before.
 * -> 0 or -errno: then the segment must not be unlinked yet. */
int totals_note(struct totals *totals, int dir_fd, const char *instance);

/* The same for a file of the spool, with what became of its spans: id and outcome get into the state file together, or
 * neither does. */
int totals_retire(struct totals *totals, int dir_fd, uint64_t id, const struct shmring_counts *outcome);
void totals_forget_retired(struct totals *totals, uint64_t id); /* there is no such file any more */

/* For the start, when totals_retired is asked about every file that is there: true for a file that is noted, which is
 * then known to be there. totals_keep_retired forgets the ids not asked about; the state file does so when it is next
 * written. */
bool totals_retired(struct totals *totals, uint64_t id);
void totals_keep_retired(struct totals *totals);

/* The noted segment is unlinked; the file forgets it when it is next written. */
void totals_unlinked(struct totals *totals, const char *instance);

#endif
