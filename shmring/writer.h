/* SPDX-License-Identifier: MIT
 *
 * The hot path: one thread's slot. Internal, inline so that a client built with the ring pays no call.
 * The contracts are those of shmring_reserve, shmring_commit and shmring_discard in shmring.h.
 */
#ifndef SHMRING_WRITER_H
#define SHMRING_WRITER_H

#include "shmring.h"

/* Process-private. Shared memory is written from here and never read back, except cpos_pub. */
struct shmring_writer {
    _Alignas(64) struct shmring_producer *producer;
    uint8_t *data;
    uint64_t mask;    /* ring_bytes - 1 */
    uint64_t wpos;    /* end of the last record, published or being written */
    uint64_t begin;   /* of the record being written, with its padding */
    uint64_t cpos;    /* as last seen: what has been released at least */
    uint64_t ordinal; /* records committed */
    uint64_t begun;
    _Alignas(64) uint32_t payload_max;
    uint32_t thread;
    volatile uint32_t busy; /* between reserve and commit or discard */
    uint32_t slot;
    uint32_t state; /* enum shmring_slot_state */
    struct shmring_consumer *consumer;
};

/* Rare ends of reserve; both are out of line. */
bool shmring__writer_make_room(struct shmring_writer *writer, uint64_t end);
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
    if (__builtin_expect(writer->busy != 0, 0)) {
        shmring_writer_count_drop(writer, SHMRING_DROP_NESTED);
        return NULL;
    }
    shmring__writer_enter(writer);
    /* relaxed: one writer, and wpos's release below orders it for whoever sees the record */
    atomic_store_explicit(&writer->producer->begun, ++writer->begun, memory_order_relaxed);
    if (__builtin_expect(payload_bytes > writer->payload_max, 0))
        return shmring__writer_refuse(writer, SHMRING_DROP_OVERSIZE);

    uint32_t length =
        (uint32_t)(sizeof(struct shmring_record) + payload_bytes + SHMRING_ALIGN - 1) & ~(uint32_t)(SHMRING_ALIGN - 1);
    uint64_t begin = writer->wpos;
    uint64_t room = writer->mask + 1 - (begin & writer->mask);
    uint64_t pad = __builtin_expect(room < length, 0) ? room : 0;
    uint64_t end = begin + pad + length;
    if (__builtin_expect(end - writer->cpos > writer->mask + 1, 0) && !shmring__writer_make_room(writer, end))
        return shmring__writer_refuse(writer, SHMRING_DROP_RING_FULL);

    struct shmring_record *record = (struct shmring_record *)(writer->data + (begin & writer->mask));
    if (__builtin_expect(pad != 0, 0)) {
        record->length = (uint32_t)pad | SHMRING_PAD;
        record->type = 0;
        record->flags = 0;
        record->pos = begin;
        record = (struct shmring_record *)writer->data;
    }
    record->length = length;
    record->type = type;
    record->flags = flags;
    record->pos = begin + pad;
    record->ordinal = writer->ordinal;
    record->thread = writer->thread;
    record->payload_bytes = payload_bytes;
    writer->begin = begin;
    writer->wpos = end;
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
