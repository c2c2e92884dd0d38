/* SPDX-License-Identifier: MIT */
#include "writer.h"

bool shmring__writer_make_room(struct shmring_writer *writer, uint64_t end)
{
    /* acquire: the consumer's copy of these bytes is done before they are written over */
    uint64_t cpos = atomic_load_explicit(&writer->consumer->cpos_pub, memory_order_acquire);
    uint64_t size = writer->mask + 1;

    /* the second clause also catches a cpos_pub that is ahead of wpos: the difference wraps */
    if (end - cpos > size || writer->wpos - cpos > size)
        return false;
    writer->cpos = cpos;
    return true;
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
    writer->wpos = writer->begin;
    atomic_store_explicit(&writer->producer->begun, --writer->begun, memory_order_relaxed);
    shmring__writer_leave(writer);
}

void shmring_writer_count_drop(struct shmring_writer *writer, enum shmring_drop reason)
{
    atomic_fetch_add_explicit(&writer->producer->dropped[reason], 1, memory_order_relaxed);
}
