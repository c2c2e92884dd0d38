/* SPDX-License-Identifier: MIT
 *
 * The end of a producer's segment, beside threads that may still be writing into it.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "producer.h"

/* Threads may still hold these and their writers: they are kept, and found here by whoever looks for leaks. */
static struct shmring *closed;

static bool is_zero(const _Atomic uint64_t counts[SHMRING_DROP_REASONS])
{
    for (uint32_t reason = 0; reason < SHMRING_DROP_REASONS; reason++)
        if (atomic_load_explicit(&counts[reason], memory_order_relaxed) != 0)
            return false;
    return true;
}

/* No record was ever begun and none dropped: there is no count that a consumer could lose with the file. */
static bool was_never_used(const struct shmring *ring, uint8_t *memory)
{
    struct shmring_counters *counters = (struct shmring_counters *)(memory + SHMRING_COUNTERS_OFFSET);
    uint32_t used = atomic_load_explicit(&ring->used, memory_order_relaxed);
    for (uint32_t slot = 0; slot < used; slot++) {
        struct shmring_producer *producer = (struct shmring_producer *)(memory + shmring_producer_offset(slot));
        if (atomic_load_explicit(&producer->wpos, memory_order_relaxed) != ring->first_position ||
            atomic_load_explicit(&producer->begun, memory_order_relaxed) != 0 || !is_zero(producer->dropped))
            return false;
    }
    return is_zero(counters->dropped);
}

static void remove_file(const struct shmring *ring)
{
    struct stat st;
    if (shmring__has_name(ring, &st))
        (void)unlink(ring->path); /* without the right to: the consumer does */
}

/* Nobody writes to the file any more. */
static void settle(struct shmring *ring, uint8_t *memory)
{
    uint32_t used = atomic_load_explicit(&ring->used, memory_order_relaxed);
    if (was_never_used(ring, memory)) {
        remove_file(ring);
        return;
    }
    for (uint32_t slot = 0; slot < ring->slots; slot++)
        if (slot < used)
            shmring__release(ring, memory, slot);
        else /* taken, not yet published: no consumer knows of it */
            shmring__remove(memory, shmring__ring_offset(ring, slot), shmring__ring_offset(ring, slot + 1));
}

void shmring_close(struct shmring *ring)
{
    uint8_t *memory;
    if (!ring)
        return;
    bool is_intact = shmring__is_intact(ring);
    if (is_intact)
        shmring__sum(ring, ring->base, &ring->last);
    uint64_t bytes = is_intact ? shmring__map_again(ring, &memory) : 0;
    if (shmring__cover(ring) == 0 && bytes > 0) {
        shmring__count_ended(ring, memory);
        settle(ring, memory);
    }
    ring->is_closed = true;
    if (bytes > 0) /* with this mapping goes the lock */
        munmap(memory, bytes);
    ring->closed_before = closed;
    closed = ring;
}
