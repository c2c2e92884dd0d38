/* SPDX-License-Identifier: MIT
 *
 * What became of committed spans. The figures are those of a ring's ledger (struct shmring_counts).
 */
#ifndef OUTCOME_H
#define OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "shmring_format.h"

/* Why the daemon did not export a committed span; index into shmring_counts.dropped. Append only. */
enum drop_reason {
    DROP_INVALID,       /* the record does not decode */
    DROP_REFUSED,       /* the endpoint answered with a status that must not be retried */
    DROP_OVERSIZE,      /* alone larger than max_batch_bytes */
    DROP_DISABLED,      /* tracing.enabled is false */
    DROP_SPOOL_CORRUPT, /* went to the spool, which does not have it any more */
    DROP_REASONS
};
static_assert((int)DROP_REASONS <= (int)SHMRING_LEDGER_REASONS, "every reason has its place in the ledger");
const char *drop_reason_name(enum drop_reason reason); /* "invalid", ... */

/* Why a producer did not commit a span: enum shmring_drop, and what was being written at its owner's death. */
enum { PRODUCER_INTERRUPTED = SHMRING_DROP_REASONS, PRODUCER_REASONS };
const char *producer_drop_name(unsigned reason); /* "ring_full", ... */
bool producer_drop_reserved(unsigned reason);    /* only a newer producer may count there */

void outcome_add(struct shmring_counts *to, const struct shmring_counts *from);
uint64_t outcome_sum(const struct shmring_counts *outcome);

#endif
