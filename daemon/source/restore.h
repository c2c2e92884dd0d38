/* SPDX-License-Identifier: MIT
 *
 * What a former daemon has written to the spool and not released. A daemon that dies between the two leaves spans that
 * are in the spool and in their ring. The spool answers for them: its claims beyond a ring's released position are
 * passed over when reading comes to them, and released as spooled. On the loop's thread.
 */
#ifndef RESTORE_H
#define RESTORE_H

#include "base/buf.h"
#include "ring/segments.h"
#include "source_env.h"
#include "spool/spool.h"

/* What stands above the empty line is set by the owner, and borrowed; the rest is zero. */
struct restore {
    const struct source_env *env;
    const struct segments *segments;

    struct spool *spool; /* once it is open */
    struct buf claims;   /* struct restored_claim[]: of segments not yet attached */
    void *positions;     /* tsearch(3) tree of struct released_positions, while the spool is opened */
};

/* spool's claim_cb */
int restore_claim(struct restore *restore, struct spool_record *record, const struct spool_claim *claim);

/* No more claims will be told. NULL: the spool could not be opened, and those told count for nothing. */
void restore_opened(struct restore *restore, struct spool *spool);

/* For a segment just opened: gives its slots what is to be passed over. -> 0 or -ENOMEM: nothing has changed. */
int restore_attach(struct restore *restore, struct segment *segment);

/* Passes over what the spool has, if reading has come to it. -> false: no memory, nothing may be read now */
bool restore_skip(const struct restore *restore, struct segment *segment, uint32_t slot);

/* Forgets what was to be passed over: the slot is quarantined, or its segment goes. */
void restore_drop(const struct restore *restore, struct segment_slot *slot);

/* Forgets the claims of segments that have gone since. Every second or so. */
void restore_forget_gone(struct restore *restore);

void restore_done(struct restore *restore);

#endif
