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

/* One mapping, so that the guard has one to cover. */
static int map_segment(struct shmring_reader *reader)
{
    uint64_t base_bytes = reader->header.data_offset;
    bool foreign = reader->uid != geteuid();
    uint64_t bytes = foreign ? base_bytes : reader->header.file_bytes;
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, reader->fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    reader->base = base;
    reader->mapped_bytes = bytes;
    reader->guarded = shmring__guard_add(base, bytes);
    if (!reader->guarded)
        return -ENFILE;
    if (foreign)
        return 0;
    reader->data = reader->base + base_bytes;
    return mprotect(reader->base + base_bytes, bytes - base_bytes, PROT_READ) < 0 ? -errno : 0;
}

int shmring_reader_open(int dir_fd, const char *name, struct shmring_reader **out)
{
    struct shmring_reader *reader;
    int err = shmring__attach(dir_fd, name, &reader);
    if (err)
        return err;
    err = map_segment(reader);
    if (err) {
        shmring_reader_close(reader);
        return err;
    }
    shmring_reader_slots(reader);
    *out = reader;
    return 0;
}

void shmring_reader_close(struct shmring_reader *reader)
{
    if (!reader)
        return;
    shmring__guard_remove(reader->guarded);
    if (reader->base)
        munmap(reader->base, reader->mapped_bytes);
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
    if (reader->problem)
        return;
    atomic_store_explicit(&control->sampling_threshold, sampling_threshold, memory_order_relaxed);
    /* release: whoever sees PUBLISHED sees the threshold */
    atomic_store_explicit(&control->flags, flags, memory_order_release);
    shmring__still_there(reader);
}

uint32_t shmring_reader_slots(struct shmring_reader *reader)
{
    if (reader->problem)
        return reader->used;
    /* acquire: the slots below the count are initialised */
    uint32_t used = atomic_load_explicit(&counters(reader)->slots_used, memory_order_acquire);
    if (used > reader->header.slot_count)
        used = reader->header.slot_count;
    while (reader->used < used)
        shmring__restore(reader, reader->used++);
    shmring__still_there(reader);
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
    if (shmring__poisoned(reader))
        memset(out, 0, sizeof(*out));
}

void shmring_reader_audit(struct shmring_reader *reader)
{
    for (uint32_t slot = 0; slot < reader->used; slot++) {
        struct shmring_slot_status *status = &reader->slots[slot].status;
        struct shmring_producer_status producer;
        uint64_t ended;
        if (status->health != SHMRING_SLOT_SOUND)
            continue;
        shmring_reader_producer(reader, slot, &producer);
        if (shmring__still_there(reader) < 0)
            return;
        /* whatever has ended had been counted as begun before */
        if (!__builtin_add_overflow(producer.dropped[SHMRING_DROP_RING_FULL], producer.dropped[SHMRING_DROP_OVERSIZE],
                                    &ended) &&
            !__builtin_add_overflow(ended, status->read_records, &ended) && ended <= producer.begun)
            continue;
        status->health = SHMRING_SLOT_QUARANTINED;
        status->problem = "counters contradict the records";
        status->problem_position = status->read;
    }
}

void shmring_reader_counters(const struct shmring_reader *reader, uint64_t dropped[SHMRING_DROP_REASONS])
{
    for (uint32_t reason = 0; reason < SHMRING_DROP_REASONS; reason++)
        dropped[reason] =
            reader->problem ? 0 : atomic_load_explicit(&counters(reader)->dropped[reason], memory_order_relaxed);
}

int shmring__still_there(struct shmring_reader *reader)
{
    if (shmring__poisoned(reader))
        shmring_reader_quarantine(reader, "file was truncated while it was read");
    return !reader->problem ? 0 : -EBADMSG;
}

const char *shmring_reader_problem(const struct shmring_reader *reader)
{
    return reader->problem;
}

void shmring_reader_quarantine(struct shmring_reader *reader, const char *problem)
{
    if (reader->problem)
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
