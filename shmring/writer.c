/* SPDX-License-Identifier: MIT
 *
 * The rare parts of writing a record: no room, a new lap; and the calls that are not inlined.
 */
#include "writer.h"

#include "own.h"

static bool is_released(struct shmring_writer *writer, uint64_t end)
{
    uint64_t size = writer->mask + 1;
    if (end - writer->cpos <= size)
        return true;
    /* acquire: the consumer's copy of these bytes is done before they are written over */
    uint64_t cpos = atomic_load_explicit(&writer->consumer->cpos_pub, memory_order_acquire);
    /* the second clause also catches a cpos_pub that is ahead of wpos: the difference wraps */
    if (end - cpos > size || writer->wpos - cpos > size)
        return false;
    writer->cpos = cpos;
    return true;
}

static void write_padding(struct shmring_writer *writer, uint64_t pad)
{
    struct shmring_record *record = (struct shmring_record *)(writer->data + (writer->wpos & writer->mask));
    record->length = (uint32_t)pad | SHMRING_PAD;
    record->type = 0;
    record->flags = 0;
    record->pos = writer->wpos;
}

int64_t shmring__writer_make_room(struct shmring_writer *writer, uint32_t length)
{
    uint64_t size = writer->mask + 1, lap_rest = size - (writer->wpos & writer->mask);
    uint64_t pad = lap_rest < length ? lap_rest : 0, position = writer->wpos + pad;
    if (!is_released(writer, position + length))
        return -1;
    uint64_t lap = size - (position & writer->mask), released = writer->cpos + size - position;
    writer->limit = position + (released < lap ? released : lap);
    if (pad > 0)
        write_padding(writer, pad);
    return (int64_t)pad;
}

void *shmring__writer_refuse(struct shmring_writer *writer, enum shmring_drop reason)
{
    uint64_t count = ++writer->refused[reason];
    shmring__writer_step();
    /* release: begun counted this record first, so the sum of drops never exceeds it */
    atomic_store_explicit(&writer->producer->dropped[reason], count, memory_order_release);
    shmring__writer_leave(writer);
    return NULL;
}

bool shmring__writer_settle(struct shmring_writer *writer)
{
    struct shmring_producer *producer = writer->producer;
    uint64_t published = atomic_load_explicit(&producer->wpos, memory_order_relaxed);
    if (published != writer->begin && published != writer->wpos)
        return false;
    uint64_t refused = writer->refused[SHMRING_DROP_RING_FULL] + writer->refused[SHMRING_DROP_OVERSIZE];
    if (published != writer->begin && writer->begun != writer->ordinal + refused)
        writer->ordinal++;
    shmring__writer_step();
    writer->wpos = writer->begin = writer->limit = published; /* the limit may lie in the lap behind padding */
    writer->begun = writer->ordinal + refused;
    writer->nested = 0;
    for (int reason = 0; reason < SHMRING_REFUSED; reason++)
        atomic_store_explicit(&producer->dropped[reason], writer->refused[reason], memory_order_relaxed);
    /* release: a drop that was begun has been counted before */
    atomic_store_explicit(&producer->begun, writer->begun, memory_order_release);
    shmring__writer_leave(writer);
    return true;
}

bool shmring__writer_left(struct shmring_writer *writer, uintptr_t frame)
{
    if (writer->frame == frame && shmring__writer_settle(writer))
        return true;
    shmring_writer_count_drop(writer, SHMRING_DROP_NESTED);
    if (writer->nested_within != writer->begun)
        writer->nested = 0;
    writer->nested_within = writer->begun;
    writer->nested++;
    return false;
}

void *shmring_reserve(struct shmring_writer *writer, uint32_t payload_bytes, uint16_t type, uint16_t flags)
{
    return shmring__writer_reserve(writer, shmring__frame(), payload_bytes, type, flags);
}

void shmring_commit(struct shmring_writer *writer)
{
    shmring__writer_commit(writer);
}

void shmring_discard(struct shmring_writer *writer)
{
    writer->wpos = writer->limit = writer->begin; /* which may lie in the lap before the limit */
    shmring__writer_step();
    atomic_store_explicit(&writer->producer->begun, --writer->begun, memory_order_relaxed);
    shmring__writer_leave(writer);
}

void shmring_writer_count_drop(struct shmring_writer *writer, enum shmring_drop reason)
{
    shmring__own_add((volatile uint64_t *)&writer->producer->dropped[reason], 1);
}
