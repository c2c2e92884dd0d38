/* SPDX-License-Identifier: MIT
 *
 * The slots of a producer's segment: threads take them and give them back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "producer.h"

/* The descriptor was closed at creation, because programs close descriptors that they do not know. */
static int reopen(const struct shmring *ring)
{
    int fd = open(ring->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_dev != ring->dev || st.st_ino != ring->ino) {
        close(fd);
        return -ESTALE;
    }
    return fd;
}

static int allocate_group(struct shmring *ring, int fd, uint32_t group)
{
    uint64_t offset = shmring_producer_offset(group * SHMRING_GROUP_SLOTS);
    if (group < ring->groups)
        return 0;
    int err = shmring__allocate(fd, offset, SHMRING_GROUP_BYTES);
    if (!err)
        err = shmring__populate(ring->base + offset, SHMRING_GROUP_BYTES);
    if (!err)
        ring->groups = group + 1;
    return err;
}

static int map_data(struct shmring *ring, int fd, uint32_t slot, uint8_t **out)
{
    uint64_t offset = ring->base_bytes + slot * ring->ring_bytes;
    int err = shmring__allocate(fd, offset, ring->ring_bytes);
    if (err)
        return err;
    uint8_t *data = mmap(NULL, ring->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (data == MAP_FAILED)
        return -errno;
    err = madvise(data, ring->ring_bytes, MADV_DONTFORK) < 0 ? -errno : 0;
    if (!err)
        err = shmring__populate(data, ring->ring_bytes);
    if (err)
        munmap(data, ring->ring_bytes);
    else
        *out = data;
    return err;
}

/* The consumer's page, too: until the consumer knows of the slot, the producer initialises it. */
static void first_state(const struct shmring *ring, struct shmring_writer *writer)
{
    uint64_t first = ring->first_position;
    writer->wpos = writer->cpos = writer->limit = first;
    writer->mask = ring->ring_bytes - 1;
    writer->payload_max = (uint32_t)(SHMRING_RECORD_MAX(ring->ring_bytes) - sizeof(struct shmring_record));
    writer->producer = (struct shmring_producer *)(ring->base + shmring_producer_offset(writer->slot));
    writer->consumer = (struct shmring_consumer *)(ring->base + shmring_consumer_offset(writer->slot));
    writer->consumer->ledger[0].cpos = first;
    writer->consumer->ledger[1].cpos = first;
    atomic_store_explicit(&writer->consumer->cpos_pub, first, memory_order_relaxed);
    atomic_store_explicit(&writer->producer->wpos, first, memory_order_relaxed);
}

static int add_slot(struct shmring *ring, int fd, struct shmring_writer *writer)
{
    int err = allocate_group(ring, fd, writer->slot / SHMRING_GROUP_SLOTS);
    if (!err)
        err = map_data(ring, fd, writer->slot, &writer->data);
    if (err)
        return err;
    first_state(ring, writer);
    ring->writers[ring->slots++] = writer;
    /* release: whoever sees the count finds the slot initialised */
    atomic_store_explicit(&ring->counters->slots_used, ring->slots, memory_order_release);
    return 0;
}

static int new_slot(struct shmring *ring, struct shmring_writer **out)
{
    if (ring->slots == ring->slot_count)
        return -ENFILE;
    struct shmring_writer *writer = aligned_alloc(_Alignof(struct shmring_writer), sizeof(*writer));
    if (!writer)
        return -ENOMEM;
    *writer = (struct shmring_writer){.slot = ring->slots};
    int fd = reopen(ring);
    int err = fd < 0 ? fd : add_slot(ring, fd, writer);
    if (fd >= 0)
        close(fd);
    if (err)
        free(writer);
    else
        *out = writer;
    return err;
}

static struct shmring_writer *retired_slot(const struct shmring *ring)
{
    for (uint32_t slot = 0; slot < ring->slots; slot++)
        if (ring->writers[slot]->state != SHMRING_SLOT_ACTIVE)
            return ring->writers[slot];
    return NULL;
}

int shmring_attach(struct shmring *ring, struct shmring_writer **out)
{
    struct shmring_writer *writer = retired_slot(ring);
    int err = writer ? 0 : new_slot(ring, &writer);
    if (err)
        return err;
    struct shmring_producer *producer = writer->producer;
    writer->state = SHMRING_SLOT_ACTIVE;
    writer->thread = (uint32_t)gettid();
    producer->thread = writer->thread;
    producer->epoch++;
    atomic_store_explicit(&producer->state, SHMRING_SLOT_ACTIVE, memory_order_release);
    atomic_fetch_or(&ring->counters->active[writer->slot / 64], 1ull << writer->slot % 64);
    *out = writer;
    return 0;
}

void shmring_detach(struct shmring *ring, struct shmring_writer *writer)
{
    if (!writer)
        return;
    if (writer->busy)
        shmring_discard(writer);
    writer->state = SHMRING_SLOT_RETIRED;
    atomic_store_explicit(&writer->producer->state, SHMRING_SLOT_RETIRED, memory_order_release);
    atomic_fetch_and(&ring->counters->active[writer->slot / 64], ~(1ull << writer->slot % 64));
}

void shmring_totals(const struct shmring *ring, struct shmring_totals *out)
{
    struct shmring_totals sum = {0};
    uint32_t slots = atomic_load_explicit(&ring->counters->slots_used, memory_order_acquire);
    for (uint32_t reason = 0; reason < SHMRING_DROP_REASONS; reason++)
        sum.dropped[reason] = atomic_load_explicit(&ring->counters->dropped[reason], memory_order_relaxed);
    for (uint32_t slot = 0; slot < slots; slot++) {
        struct shmring_producer *producer = (struct shmring_producer *)(ring->base + shmring_producer_offset(slot));
        /* drops before begun: a record that begins in between counts as in progress, and the number never is
         * negative */
        for (uint32_t reason = 0; reason < SHMRING_DROP_REASONS; reason++)
            sum.dropped[reason] += atomic_load_explicit(&producer->dropped[reason], memory_order_acquire);
        sum.begun += atomic_load_explicit(&producer->begun, memory_order_relaxed);
    }
    *out = sum;
}
