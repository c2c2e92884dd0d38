/* SPDX-License-Identifier: MIT
 *
 * What a segment came to in the end, told by its file alone: threads may have been in the middle of a write.
 */
#include "producer.h"

/* The copy that the selector names. A consumer commits at its own pace: never twice within these few loads, or the last
 * try is as good. */
static struct shmring_ledger committed_ledger(const struct shmring_consumer *consumer)
{
    struct shmring_ledger ledger;
    uint32_t selector;
    int tries = 3;
    do {
        selector = atomic_load_explicit(&consumer->selector, memory_order_acquire);
        ledger = consumer->ledger[selector & 1];
        atomic_thread_fence(memory_order_acquire);
    } while (selector != atomic_load_explicit(&consumer->selector, memory_order_relaxed) && --tries > 0);
    return ledger;
}

static uint64_t sum(const struct shmring_counts *counts)
{
    uint64_t records = counts->exported + counts->sampled_out + counts->rejected + counts->spooled;
    for (uint32_t reason = 0; reason < SHMRING_LEDGER_REASONS; reason++)
        records += counts->dropped[reason];
    return records;
}

/* Of the pages outside [begin, end) the file may have none: they are not asked for. */
static bool can_be_read(const struct shmring *ring, uint8_t *memory, uint32_t slot, uint64_t begin, uint64_t end)
{
    uint64_t offset = shmring__ring_offset(ring, slot);
    uint64_t from = begin & (ring->ring_bytes - 1), to = from + (end - begin), lap = ring->ring_bytes;
    return shmring__can_be_read(ring, memory, offset + from, offset + (to < lap ? to : lap)) &&
           (to <= lap || shmring__can_be_read(ring, memory, offset, offset + to - lap));
}

/* Records in [begin, end) of a ring. -> false: somebody else has written there, or truncated the file */
static bool count_records(const struct shmring *ring, uint8_t *memory, uint32_t slot, uint64_t begin, uint64_t end,
                          uint64_t *out)
{
    uint64_t offset = shmring__ring_offset(ring, slot), records = 0;
    if (begin != end && (end - begin > ring->ring_bytes || !can_be_read(ring, memory, slot, begin, end)))
        return false;
    for (uint64_t at = begin; at != end;) {
        const struct shmring_record *record =
            (const struct shmring_record *)(memory + offset + (at & (ring->ring_bytes - 1)));
        uint64_t length = record->length & ~SHMRING_PAD;
        if (length == 0 || length % SHMRING_ALIGN != 0 || length > end - at)
            return false;
        records += !(record->length & SHMRING_PAD);
        at += length;
    }
    *out = records;
    return true;
}

static uint64_t records_of(const struct shmring *ring, uint8_t *memory, uint32_t slot)
{
    const struct shmring_producer *producer = (struct shmring_producer *)(memory + shmring_producer_offset(slot));
    struct shmring_ledger ledger =
        committed_ledger((struct shmring_consumer *)(memory + shmring_consumer_offset(slot)));
    uint64_t end = atomic_load_explicit(&producer->wpos, memory_order_relaxed), unread;
    if (count_records(ring, memory, slot, ledger.cpos, end, &unread))
        return sum(&ledger.counts) + unread;
    return atomic_load_explicit(&producer->begun, memory_order_relaxed) -
           atomic_load_explicit(&producer->dropped[SHMRING_DROP_RING_FULL], memory_order_relaxed) -
           atomic_load_explicit(&producer->dropped[SHMRING_DROP_OVERSIZE], memory_order_relaxed);
}

void shmring__count_ended(struct shmring *ring, uint8_t *memory)
{
    shmring__sum(ring, memory, &ring->last);
    ring->last.begun = ring->last.dropped[SHMRING_DROP_RING_FULL] + ring->last.dropped[SHMRING_DROP_OVERSIZE];
    for (uint32_t slot = 0; slot < atomic_load_explicit(&ring->used, memory_order_relaxed); slot++)
        ring->last.begun += records_of(ring, memory, slot);
}
