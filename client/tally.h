/* SPDX-License-Identifier: MIT
 *
 * What threads drop that have no slot to count it in: without a segment, while tracing is disabled, without a ring.
 * Each thread counts in a tally of its own, so that a span while tracing is off writes no cache line that another
 * thread wants. A tally only grows, and the sum of all is what was dropped: a thread that ends leaves its tally, counts
 * and all, to the next one. So nothing has to be carried over, and a thread whose end nobody notices, in a child of a
 * fork every thread that did not fork, costs a tally and no count. The daemon reads of it what was told to the segment.
 */
#ifndef AISTRACE_TALLY_H
#define AISTRACE_TALLY_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "own.h"
#include "shmring.h"

/* Reasons: SHMRING_DROP_DISABLED and those after it in enum shmring_drop, and one that no segment can have. */
enum {
    AISTRACE__DROP_NO_SEGMENT = SHMRING_DROP_REASONS,
    AISTRACE__TALLY_FIRST = SHMRING_DROP_DISABLED,
    AISTRACE__TALLY_REASONS = SHMRING_DROP_REASONS + 1 - AISTRACE__TALLY_FIRST
};

struct aistrace__tally {
    alignas(128) uint64_t dropped[AISTRACE__TALLY_REASONS]; /* written by the owner alone; others load atomically */
    uint64_t told[AISTRACE__TALLY_REASONS];                 /* of `dropped`, to whom it concerns; under the mutex */
    struct aistrace__tally *next;                           /* of all that there are */
    _Atomic bool owned;
};

/* A tally for the calling thread until it is released; NULL: no memory. Takes no lock. Async-signal-safe. */
struct aistrace__tally *aistrace__tally_take(void);

/* Accepts NULL. */
void aistrace__tally_release(struct aistrace__tally *tally);

/* Counts one without a tally of one's own. Any thread. Async-signal-safe. */
void aistrace__tally_count_shared(unsigned reason);

/* -> what the tally had of that reason before. By its owner and the owner's signal handlers. */
static inline uint64_t aistrace__tally_add(struct aistrace__tally *tally, unsigned reason)
{
    return shmring__own_add(&tally->dropped[reason - AISTRACE__TALLY_FIRST], 1);
}

/* ---- under the mutex; exact of what threads have done by then ---- */

/* aistrace_start, and the first use in a forked child: what was dropped before concerns nobody any more. Tallies keep
 * their owners: of the threads of a child some may have one already. */
void aistrace__tallies_begin(void);

/* Adds to the segment's counters what this tally, or all, have dropped and not yet told. */
void aistrace__tally_tell(struct aistrace__tally *tally, struct shmring *ring);
void aistrace__tallies_tell(struct shmring *ring);

/* Dropped without a segment, since aistrace__tallies_begin. */
uint64_t aistrace__tallies_no_segment(void);

#endif
