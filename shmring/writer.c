/* SPDX-License-Identifier: MIT
 *
 * The rare parts of writing a record: no room, a new lap; and the calls that are not inlined.
 */
#include "writer.h"

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
    _Atomic uint64_t *count = &writer->producer->dropped[reason];
    /* release: begun counted this record first, so the sum of drops never exceeds it */
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_release);
    shmring__writer_leave(writer);
    return NULL;
}

void *shmring_reserve(struct shmring_writer *writer, uint32_t payload_bytes, uint16_t type, uint16_t flags)
{
    return shmring__writer_reserve(writer, payload_bytes, type, flags);
}

void shmring_commit(struct shmring_writer *writer)
{
    shmring__writer_commit(writer);
}

void shmring_discard(struct shmring_writer *writer)
{
    writer->wpos = writer->limit = writer->begin; /* which may lie in the lap before the limit */
    atomic_store_explicit(&writer->producer->begun, --writer->begun, memory_order_relaxed);
    shmring__writer_leave(writer);
}

void shmring_writer_count_drop(struct shmring_writer *writer, enum shmring_drop reason)
{
    atomic_fetch_add_explicit(&writer->producer->dropped[reason], 1, memory_order_relaxed);
}
