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

enum {
    SHMRING_REFUSED = 2,      /* reasons that end a record which was begun; they are the first of enum shmring_drop */
    SHMRING_STUCK_AFTER = 16, /* records refused as nested within one write: the write may have been left */
};
static_assert(SHMRING_DROP_RING_FULL == 0 && SHMRING_DROP_OVERSIZE == 1, "they are the first");

/* Process-private. Shared memory is written from here and not read back, except cpos_pub, and wpos where a write was
 * left.
 *
 * A write may be left at any instruction: a signal handler jumps out of it (longjmp), or the thread ends in it. What
 * was reached is then known from these fields (shmring__writer_settle):
 *   begin == wpos                          nothing is reserved, or all is done
 *   producer->wpos == begin                the record is not published, so it does not exist
 *   producer->wpos == wpos, begin != wpos  the record is published, and counted if begun == ordinal + refused
 */
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
    volatile uintptr_t frame; /* of the write, from reserve to commit or discard; 0: none is going on */
    uint64_t refused[SHMRING_REFUSED];
    uint64_t nested_within;        /* begun of the write that nested counts for */
    struct shmring_writer *beside; /* of the same thread, and stuck: the thread has taken this slot besides */
    struct shmring_consumer *consumer;
    uint32_t nested; /* records refused within one write */
    uint32_t slot;
    uint32_t state; /* enum shmring_slot_state; ACTIVE from the moment that a thread takes it */
    bool whole;     /* every page of the ring is there */
    uint64_t retired_s;
    uint64_t coming; /* bytes that the segment's account counts so, between take and populate */
};

/* Rare parts of reserve; all are out of line. make_room is for a record that passes limit: goes to the next lap, looks
 * what has been released, moves limit. -> bytes of padding written, or -1: full. */
int64_t shmring__writer_make_room(struct shmring_writer *writer, uint32_t length);
void *shmring__writer_refuse(struct shmring_writer *writer, enum shmring_drop reason);

/* While another write is noted: true when that one was left, because its frame is this one's; it is settled. False:
 * it may be going on below a signal handler; the record is counted as nested. */
bool shmring__writer_left(struct shmring_writer *writer, uintptr_t frame);

/* Ends a write that was left, as a record or as if it had never begun, whatever it had reached. Not for a write that
 * goes on. May itself be left, and called again. -> false: producer->wpos is neither begin nor wpos, so somebody else
 * has written there; nothing is changed. */
bool shmring__writer_settle(struct shmring_writer *writer);

/* The frame of the function that this is inlined into. Two writes that both go on never have the same: a handler runs
 * below what it interrupts, or on another stack, and so does a fiber. */
static inline __attribute__((always_inline)) uintptr_t shmring__frame(void)
{
    return (uintptr_t)__builtin_dwarf_cfa();
}

/* Orders the compiler only: a handler of the same thread, and whoever settles a write that was left, see the stores
 * before it if they see one behind it. */
static inline void shmring__writer_step(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void shmring__writer_leave(struct shmring_writer *writer)
{
    shmring__writer_step();
    writer->frame = 0;
    shmring__writer_step();
}

/* frame: of a function that does not end before the write does, always the same one. */
static inline __attribute__((always_inline)) void *shmring__writer_reserve(struct shmring_writer *writer,
                                                                           uintptr_t frame, uint32_t payload_bytes,
                                                                           uint16_t type, uint16_t flags)
{
    if (unlikely(writer->frame) && !shmring__writer_left(writer, frame))
        return NULL;
    writer->frame = frame;
    shmring__writer_step();
    /* relaxed: one writer, and wpos's release below orders it for whoever sees the record */
    atomic_store_explicit(&writer->producer->begun, ++writer->begun, memory_order_relaxed);
    if (unlikely(payload_bytes > writer->payload_max))
        return shmring__writer_refuse(writer, SHMRING_DROP_OVERSIZE);

    uint32_t length =
        (uint32_t)(sizeof(struct shmring_record) + payload_bytes + SHMRING_ALIGN - 1) & ~(uint32_t)(SHMRING_ALIGN - 1);
    uint64_t position = writer->wpos;
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
    uint64_t end = writer->wpos;
    /* release: padding, header and payload are complete before the position that covers them */
    atomic_store_explicit(&writer->producer->wpos, end, memory_order_release);
    shmring__writer_step();
    writer->ordinal++;
    shmring__writer_step();
    writer->begin = end;
    shmring__writer_leave(writer);
}

/* True now and then while the thread's records are refused as nested: it should take another slot
 * (shmring_attach_beside). */
static inline bool shmring__writer_is_stuck(const struct shmring_writer *writer)
{
    return writer->frame != 0 && writer->nested >= SHMRING_STUCK_AFTER && !(writer->nested & (writer->nested - 1));
}

#endif
