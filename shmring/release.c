/* SPDX-License-Identifier: MIT
 *
 * Pages of a ring that hold nothing unread go back to the system.
 */
#include "producer.h"

/* Until the checksum follows, consumers that know the feature take the old one. */
void shmring__announce_holes(struct shmring *ring, uint8_t *memory)
{
    struct shmring_header *header = (struct shmring_header *)memory;
    if (ring->has_holes)
        return;
    ring->has_holes = true;
    __atomic_store_n(&header->incompat_features, header->incompat_features | SHMRING_INCOMPAT_HOLES, __ATOMIC_RELEASE);
    __atomic_store_n(&header->crc, shmring_crc32c(0, header, offsetof(struct shmring_header, crc)), __ATOMIC_RELEASE);
}

void shmring__release(struct shmring *ring, uint8_t *memory, uint32_t slot)
{
    struct shmring_producer *producer = (struct shmring_producer *)(memory + shmring_producer_offset(slot));
    struct shmring_consumer *consumer = (struct shmring_consumer *)(memory + shmring_consumer_offset(slot));
    uint64_t bytes = ring->ring_bytes, begin = shmring__ring_offset(ring, slot);
    uint64_t cpos = atomic_load_explicit(&consumer->cpos_pub, memory_order_acquire);
    uint64_t wpos = atomic_load_explicit(&producer->wpos, memory_order_relaxed), unread = wpos - cpos;
    if (unread >= bytes) /* full; or cpos_pub is nonsense, and says nothing */
        return;
    shmring__announce_holes(ring, memory);
    if (unread == 0) {
        shmring__remove(memory, begin, begin + bytes);
        return;
    }
    uint64_t from = wpos & (bytes - 1), to = from + bytes - unread; /* in the ring; `to` perhaps in its next lap */
    shmring__remove(memory, begin + from, begin + (to < bytes ? to : bytes));
    if (to > bytes)
        shmring__remove(memory, begin, begin + to - bytes);
}
