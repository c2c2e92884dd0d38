/* SPDX-License-Identifier: MIT */
#include "outcome.h"

static const char *const drop_names[DROP_REASONS] = {
    [DROP_INVALID] = "invalid",
    [DROP_REFUSED] = "refused",
    [DROP_OVERSIZE] = "oversize",
    [DROP_DISABLED] = "disabled",
    [DROP_SPOOL_CORRUPT] = "spool_corrupt",
};

static const char *const producer_drop_names[PRODUCER_REASONS] = {
    [SHMRING_DROP_RING_FULL] = "ring_full", [SHMRING_DROP_OVERSIZE] = "oversize",
    [SHMRING_DROP_NESTED] = "nested",       [SHMRING_DROP_DISABLED] = "disabled",
    [SHMRING_DROP_NO_SLOT] = "no_slot",     [SHMRING_DROP_NO_MEMORY] = "no_memory",
    [SHMRING_DROP_NO_FILE] = "no_file",     [SHMRING_DROP_RESERVED] = "reserved_7",
    [PRODUCER_INTERRUPTED] = "interrupted",
};
static_assert(SHMRING_DROP_RESERVED + 1 == SHMRING_DROP_REASONS, "every reason has its name");

const char *drop_reason_name(enum drop_reason reason)
{
    return (unsigned)reason < DROP_REASONS ? drop_names[reason] : "unknown";
}

const char *producer_drop_name(unsigned reason)
{
    return reason < PRODUCER_REASONS ? producer_drop_names[reason] : "unknown";
}

bool producer_drop_reserved(unsigned reason)
{
    return reason >= SHMRING_DROP_RESERVED && reason < SHMRING_DROP_REASONS;
}

void outcome_add(struct shmring_counts *to, const struct shmring_counts *from)
{
    to->exported += from->exported;
    to->sampled_out += from->sampled_out;
    to->rejected += from->rejected;
    to->spooled += from->spooled;
    for (unsigned i = 0; i < SHMRING_LEDGER_REASONS; i++)
        to->dropped[i] += from->dropped[i];
}

uint64_t outcome_sum(const struct shmring_counts *outcome)
{
    uint64_t sum = outcome->exported + outcome->sampled_out + outcome->rejected + outcome->spooled;
    for (unsigned i = 0; i < SHMRING_LEDGER_REASONS; i++)
        sum += outcome->dropped[i];
    return sum;
}
