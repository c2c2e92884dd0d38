/* SPDX-License-Identifier: MIT
 *
 * The hot path: one thread's slot. Internal, inline so that a client built with the ring pays no call.
 * The contracts are those of shmring_reserve, shmring_commit and shmring_discard in shmring.h.
 */
#ifndef SHMRING_WRITER_H
#define SHMRING_WRITER_H

#include <string.h>

#include "likely.h"
#include "shmring.h"

static_assert(offsetof(struct shmring_record, type) == 4 && offsetof(struct shmring_record, flags) == 6,
              "one store writes them together with the length");

/* Process-private. Shared memory is written from here and never read back, except cpos_pub. */
struct shmring_writer {
    _Alignas(64) struct shmring_producer *producer;
    uint8_t *data;
    uint64_t mask;    /* ring_bytes - 1 */
    uint64_t wpos;    /* end of the last record, published or being written */
    uint64_t limit;   /* up to here may be written: the ring's end, or what has been released at least plus the ring */
    uint64_t begin;   /* of the record being written, with its padding */
    uint64_t ordinal; /* records committed */
    uint64_t begun;
    _Alignas(64) uint64_t cpos; /* as last seen: what has been released at least */
    uint32_t payload_max;
    uint32_t thread;
    volatile uint32_t busy; /* between reserve and commit or discard */
    uint32_t slot;
    uint32_t state; /* enum shmring_slot_state; ACTIVE from the moment that a thread takes it */
    bool whole;     /* every page of the ring is there */
    struct shmring_consumer *consumer;
};

/* Rare parts of reserve; both are out of line. make_room is for a record that passes limit: goes to the next lap, looks
 * what has been released, moves limit. -> bytes of padding written, or -1: full. */
int64_t shmring__writer_make_room(struct shmring_writer *writer, uint32_t length);
void *shmring__writer_refuse(struct shmring_writer *writer, enum shmring_drop reason);

/* busy is for a handler of the same thread: its fences order the compiler only. */
static inline void shmring__writer_enter(struct shmring_writer *writer)
{
    writer->busy = 1;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void shmring__writer_leave(struct shmring_writer *writer)
{
    atomic_signal_fence(memory_order_seq_cst);
    writer->busy = 0;
}

static inline void *shmring__writer_reserve(struct shmring_writer *writer, uint32_t payload_bytes, uint16_t type,
                                            uint16_t flags)
{
    if (unlikely(writer->busy)) {
        shmring_writer_count_drop(writer, SHMRING_DROP_NESTED);
        return NULL;
    }
    shmring__writer_enter(writer);
    /* relaxed: one writer, and wpos's release below orders it for whoever sees the record */
    atomic_store_explicit(&writer->producer->begun, ++writer->begun, memory_order_relaxed);
    if (unlikely(payload_bytes > writer->payload_max))
        return shmring__writer_refuse(writer, SHMRING_DROP_OVERSIZE);

    uint32_t length =
        (uint32_t)(sizeof(struct shmring_record) + payload_bytes + SHMRING_ALIGN - 1) & ~(uint32_t)(SHMRING_ALIGN - 1);
    uint64_t position = writer->wpos;
    writer->begin = position;
    if (unlikely(length > writer->limit - position)) {
        int64_t pad = shmring__writer_make_room(writer, length);
        if (pad < 0)
            return shmring__writer_refuse(writer, SHMRING_DROP_RING_FULL);
        position += (uint64_t)pad;
    }
    /* length, type and flags in one store */
    struct shmring_record *record = (struct shmring_record *)(writer->data + (position & writer->mask));
    uint64_t head = length | (uint64_t)type << 32 | (uint64_t)flags << 48;
    memcpy(&record->length, &head, sizeof(head));
    record->pos = position;
    record->ordinal = writer->ordinal;
    record->thread = writer->thread;
    record->payload_bytes = payload_bytes;
    writer->wpos = position + length;
    return record + 1;
}

static inline void shmring__writer_commit(struct shmring_writer *writer)
{
    /* release: padding, header and payload are complete before the position that covers them */
    atomic_store_explicit(&writer->producer->wpos, writer->wpos, memory_order_release);
    writer->ordinal++;
    shmring__writer_leave(writer);
}

#endif
