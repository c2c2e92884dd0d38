/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static struct shmring_counters *counters(const struct shmring_reader *reader)
{
    return (struct shmring_counters *)(reader->base + SHMRING_COUNTERS_OFFSET);
}

static int map_segment(struct shmring_reader *reader)
{
    uint64_t base_bytes = reader->header.data_offset;
    uint64_t data_bytes = reader->header.file_bytes - base_bytes;

    void *base = mmap(NULL, base_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, reader->fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    reader->base = base;
    reader->base_bytes = base_bytes;
    void *data = mmap(NULL, data_bytes, PROT_READ, MAP_SHARED, reader->fd, (off_t)base_bytes);
    if (data == MAP_FAILED)
        return -errno;
    reader->data = data;
    reader->data_bytes = data_bytes;
    return 0;
}

int shmring_reader_open(int dir_fd, const char *name, struct shmring_reader **out)
{
    struct shmring_reader *reader;
    int err = shmring__attach(dir_fd, name, &reader);

    if (err < 0)
        return err;
    err = map_segment(reader);
    if (err < 0) {
        shmring_reader_close(reader);
        return err;
    }
    shmring_reader_slots(reader);
    *out = reader;
    return 0;
}

void shmring_reader_close(struct shmring_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->data != NULL)
        munmap((void *)reader->data, reader->data_bytes);
    if (reader->base != NULL)
        munmap(reader->base, reader->base_bytes);
    close(reader->fd);
    free(reader->resource);
    free(reader);
}

const struct shmring_header *shmring_reader_header(const struct shmring_reader *reader)
{
    return &reader->header;
}

const uint8_t *shmring_reader_resource(const struct shmring_reader *reader, uint32_t *bytes)
{
    *bytes = reader->header.resource_bytes;
    return reader->resource;
}

uid_t shmring_reader_uid(const struct shmring_reader *reader)
{
    return reader->uid;
}

bool shmring_reader_owner_alive(struct shmring_reader *reader)
{
    if (!reader->dead)
        reader->dead = flock(reader->fd, LOCK_EX | LOCK_NB) == 0;
    return !reader->dead;
}

void shmring_reader_publish(struct shmring_reader *reader, uint64_t flags, uint64_t sampling_threshold)
{
    struct shmring_control *control = (struct shmring_control *)(reader->base + SHMRING_CONTROL_OFFSET);

    if (reader->problem != NULL)
        return;
    atomic_store_explicit(&control->sampling_threshold, sampling_threshold, memory_order_relaxed);
    /* release: whoever sees PUBLISHED sees the threshold */
    atomic_store_explicit(&control->flags, flags, memory_order_release);
}

uint32_t shmring_reader_slots(struct shmring_reader *reader)
{
    if (reader->problem != NULL)
        return reader->used;
    /* acquire: the slots below the count are initialised */
    uint32_t used = atomic_load_explicit(&counters(reader)->slots_used, memory_order_acquire);
    if (used > reader->header.slot_count)
        used = reader->header.slot_count;
    while (reader->used < used)
        shmring__restore(reader, reader->used++);
    return reader->used;
}

const struct shmring_slot_status *shmring_reader_slot(const struct shmring_reader *reader, uint32_t slot)
{
    return &reader->slots[slot].status;
}

void shmring_reader_producer(const struct shmring_reader *reader, uint32_t slot, struct shmring_producer_status *out)
{
    memset(out, 0, sizeof(*out));
    if (slot >= reader->used || reader->slots[slot].status.health != SHMRING_SLOT_SOUND)
        return;
    struct shmring_producer *producer = shmring__producer(reader, slot);
    /* drops first, and acquire, so that none is seen whose begin is not */
    for (uint32_t reason = 0; reason < SHMRING_DROP_REASONS; reason++)
        out->dropped[reason] = atomic_load_explicit(&producer->dropped[reason], memory_order_acquire);
    out->begun = atomic_load_explicit(&producer->begun, memory_order_relaxed);
}

void shmring_reader_counters(const struct shmring_reader *reader, uint64_t dropped[SHMRING_DROP_REASONS])
{
    for (uint32_t reason = 0; reason < SHMRING_DROP_REASONS; reason++)
        dropped[reason] = reader->problem != NULL
                              ? 0
                              : atomic_load_explicit(&counters(reader)->dropped[reason], memory_order_relaxed);
}

void shmring_reader_quarantine(struct shmring_reader *reader, const char *problem)
{
    if (reader->problem != NULL)
        return;
    reader->problem = problem;
    for (uint32_t slot = 0; slot < reader->header.slot_count; slot++) {
        struct shmring_slot_status *status = &reader->slots[slot].status;
        if (status->health == SHMRING_SLOT_QUARANTINED)
            continue;
        status->health = SHMRING_SLOT_QUARANTINED;
        status->problem = problem;
        status->problem_position = status->read;
    }
}
