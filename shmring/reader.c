/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pages.h"

static struct shmring_counters *counters(const struct shmring_reader *reader)
{
    return (struct shmring_counters *)(reader->base + SHMRING_COUNTERS_OFFSET);
}

/* One mapping for all, so that the guard has only one to replace. */
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
    uint64_t ends = shmring__page_end(base_bytes);
    return ends < bytes && mprotect(reader->base + ends, bytes - ends, PROT_READ) < 0 ? -errno : 0;
}

/* Reading a hole of a tmpfs file allocates it, at the reader's expense. */
static bool allocated(const struct shmring_reader *reader, uint64_t offset, uint64_t bytes)
{
    return lseek(reader->fd, (off_t)offset, SEEK_DATA) == (off_t)offset &&
           lseek(reader->fd, (off_t)offset, SEEK_HOLE) >= (off_t)(offset + bytes);
}

/* Of the ring only what is not released, [begin, end): producers give the other pages back. At most a ring. */
static bool unread_allocated(const struct shmring_reader *reader, uint32_t slot, uint64_t begin, uint64_t end)
{
    uint64_t ring_bytes = reader->header.ring_bytes, ring = reader->header.data_offset + slot * ring_bytes;
    uint64_t offset = begin & (ring_bytes - 1), bytes = end - begin;
    uint64_t first = bytes < ring_bytes - offset ? bytes : ring_bytes - offset;
    return (first == 0 || allocated(reader, ring + offset, first)) &&
           (bytes == first || allocated(reader, ring, bytes - first));
}

static bool ledger_sum(const struct shmring_ledger *ledger, uint64_t *out)
{
    uint64_t sum = ledger->counts.exported;
    if (__builtin_add_overflow(sum, ledger->counts.sampled_out, &sum) ||
        __builtin_add_overflow(sum, ledger->counts.rejected, &sum) ||
        __builtin_add_overflow(sum, ledger->counts.spooled, &sum))
        return false;
    for (uint32_t reason = 0; reason < SHMRING_LEDGER_REASONS; reason++)
        if (__builtin_add_overflow(sum, ledger->counts.dropped[reason], &sum))
            return false;
    *out = sum;
    return true;
}

static const char *ledger_problem(const struct shmring_header *header, const struct shmring_ledger *ledger,
                                  uint64_t wpos, uint64_t *records)
{
    if (wpos % SHMRING_ALIGN != 0 || ledger->cpos % SHMRING_ALIGN != 0)
        return "position is not aligned";
    if (wpos - ledger->cpos > header->ring_bytes)
        return "ledger and write position are more than a ring apart";
    if (ledger->cpos - header->first_position > wpos - header->first_position)
        return "ledger is before the first position";
    if (!ledger_sum(ledger, records) ||
        *records > (ledger->cpos - header->first_position) / sizeof(struct shmring_record))
        return "ledger counts more records than there was room for";
    return NULL;
}

/* Takes a slot up from its ledger. */
static void restore(struct shmring_reader *reader, uint32_t index)
{
    const struct shmring_header *header = &reader->header;
    struct shmring__slot *slot = &reader->slots[index];
    uint64_t group_offset = shmring_producer_offset(index - index % SHMRING_GROUP_SLOTS);
    if (!allocated(reader, group_offset, SHMRING_GROUP_BYTES)) {
        shmring__quarantine_slot(slot, "slot is in use but not allocated", 0);
        return;
    }
    struct shmring_consumer *consumer = shmring__consumer(reader, index);
    uint32_t selector = atomic_load_explicit(&consumer->selector, memory_order_acquire);
    if (selector > 1) {
        shmring__quarantine_slot(slot, "ledger selector is neither 0 nor 1", 0);
        return;
    }
    struct shmring_ledger ledger = consumer->ledger[selector];
    shmring__forget_source();
    uint64_t wpos = atomic_load_explicit(&shmring__producer(reader, index)->wpos, memory_order_acquire);
    uint64_t records = 0;
    const char *problem = ledger_problem(header, &ledger, wpos, &records);
    if (!problem && !unread_allocated(reader, index, ledger.cpos, wpos))
        problem = "unread records are not allocated";
    if (problem) {
        shmring__quarantine_slot(slot, problem, ledger.cpos);
        return;
    }
    slot->selector = selector;
    slot->begin = ledger.cpos;
    slot->status.end = wpos;
    slot->status.read = ledger.cpos;
    slot->status.read_records = records;
    slot->status.ledger = ledger;
    /* a consumer that died between selector and cpos_pub left the producer behind */
    atomic_store_explicit(&consumer->cpos_pub, ledger.cpos, memory_order_release);
}

int shmring_reader_open(int dir_fd, const char *name, struct shmring_reader **out)
{
    struct shmring_reader *reader;
    int err = shmring__open(dir_fd, name, &reader);
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
        restore(reader, reader->used++);
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
    /* drops first, with acquire: whoever sees a drop then also sees that its record had begun */
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
        /* a record is counted as begun before it can end */
        if (!__builtin_add_overflow(producer.dropped[SHMRING_DROP_RING_FULL], producer.dropped[SHMRING_DROP_OVERSIZE],
                                    &ended) &&
            !__builtin_add_overflow(ended, status->read_records, &ended) && ended <= producer.begun)
            continue;
        shmring__quarantine_slot(&reader->slots[slot], "counters contradict the records", status->read);
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
        if (status->health == SHMRING_SLOT_SOUND)
            shmring__quarantine_slot(&reader->slots[slot], problem, status->read);
    }
}
