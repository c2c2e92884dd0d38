/* SPDX-License-Identifier: MIT
 *
 * The slots of a producer's segment: threads take them and give them back.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "producer.h"

enum { REST_AFTER_S = 10, REST_AT_ONCE = 4 }; /* where threads come and go, a slot is soon wanted again */

/* ---- choice ---- */

static uint64_t room(const struct shmring *ring, const struct shmring_writer *writer)
{
    if (!writer->producer)
        return ring->ring_bytes;
    uint64_t held = writer->wpos - atomic_load_explicit(&writer->consumer->cpos_pub, memory_order_acquire);
    return held < ring->ring_bytes ? ring->ring_bytes - held : 0;
}

/* A slot that was never taken is worth ring_bytes. More worth is one whose memory is there and at least half free; less
 * worth is any other. */
static uint64_t worth(const struct shmring *ring, const struct shmring_writer *writer)
{
    uint64_t free = room(ring, writer);
    return writer->whole && free >= ring->ring_bytes / 2 ? ring->ring_bytes + free : free;
}

/* Of the slots that no thread has; NULL: there is none. */
static struct shmring_writer *best_slot(const struct shmring *ring, bool whole, uint64_t *best_worth)
{
    struct shmring_writer *best = NULL;
    *best_worth = 0;
    for (uint32_t slot = 0; slot < ring->slots; slot++) {
        struct shmring_writer *writer = ring->writers[slot];
        if (writer->state == SHMRING_SLOT_ACTIVE || (whole && !writer->whole))
            continue;
        uint64_t now = worth(ring, writer);
        if (best && now <= *best_worth)
            continue;
        best = writer;
        *best_worth = now;
    }
    return best;
}

static struct shmring_writer *new_slot(struct shmring *ring, int *err)
{
    struct shmring_writer *writer = aligned_alloc(_Alignof(struct shmring_writer), sizeof(*writer));
    *err = writer ? shmring__allow_slot(ring, ring->slots) : -ENOMEM;
    if (*err) {
        free(writer);
        return NULL;
    }
    *writer = (struct shmring_writer){.slot = ring->slots};
    ring->writers[ring->slots++] = writer;
    return writer;
}

/* -> NULL: none, and why */
static struct shmring_writer *choose(struct shmring *ring, int *err)
{
    uint64_t worth;
    struct shmring_writer *writer = best_slot(ring, false, &worth), *fresh = NULL;
    *err = -ENFILE;
    if (worth < ring->ring_bytes && ring->slots < ring->slot_count)
        fresh = new_slot(ring, err);
    return fresh ? fresh : writer;
}

/* What was populated before there was no more room goes back; not what the ring still holds. */
static void give_back(struct shmring *ring, struct shmring_writer *writer)
{
    writer->state = writer->producer ? SHMRING_SLOT_RETIRED : SHMRING_SLOT_FREE;
    if (writer->whole || room(ring, writer) < ring->ring_bytes)
        return;
    if (writer->producer && !ring->by_name) /* a faster thread may have published it */
        shmring__release(ring, ring->base, writer->slot);
    /* with those given back before, which this thread may have populated again */
    for (uint32_t slot = atomic_load_explicit(&ring->used, memory_order_relaxed); slot <= writer->slot; slot++)
        if (ring->writers[slot]->state == SHMRING_SLOT_FREE)
            shmring__remove_ring(ring, slot);
}

/* For a slot that has no memory one that has it, and no thread. -> NULL: there is none */
static struct shmring_writer *exchange(struct shmring *ring, struct shmring_writer *taken)
{
    uint64_t worth;
    give_back(ring, taken);
    return best_slot(ring, true, &worth);
}

/* ---- the three steps ---- */

/* Counts what the slot will take of memory, if the segment may have so much. This is done before any thread populates
 * the slot, perhaps together with its own. */
static int make_room(struct shmring *ring, struct shmring_writer *writer)
{
    bool with_group = !writer->producer && writer->slot % SHMRING_GROUP_SLOTS == 0;
    writer->coming = ring->ring_bytes + (with_group ? SHMRING_GROUP_BYTES : 0);
    int err = shmring__room_take(&ring->room, writer->coming);
    if (err || !ring->by_name)
        return err;
    err = shmring__allocate_slot(ring, writer->slot, &writer->data);
    err = shmring__room_end(&ring->room, writer->coming, err);
    writer->whole = !err;
    return err;
}

int shmring_slot_take(struct shmring *ring, struct shmring_writer **out)
{
    int err;
    struct shmring_writer *writer = choose(ring, &err);
    if (!writer)
        return err;
    writer->state = SHMRING_SLOT_ACTIVE;
    err = writer->whole ? 0 : make_room(ring, writer);
    if (err)
        writer = exchange(ring, writer);
    if (!writer)
        return err;
    writer->state = SHMRING_SLOT_ACTIVE;
    *out = writer;
    return 0;
}

static int populate_in_order(struct shmring *ring, struct shmring_writer *writer)
{
    uint32_t slot = writer->slot;
    int err = shmring__populate_slots(ring, slot, slot + 1);
    writer->data = shmring__ring(ring, slot);
    /* Slots are published in order. What other threads have not finished in the meantime is done for them, so that no
     * thread waits for another. */
    uint32_t used = atomic_load_explicit(&ring->used, memory_order_relaxed);
    if (!err && used < slot)
        err = shmring__populate_slots(ring, used, slot);
    return err;
}

int shmring_slot_populate(struct shmring *ring, struct shmring_writer *writer)
{
    return writer->whole ? 0 : shmring__room_end(&ring->room, writer->coming, populate_in_order(ring, writer));
}

/* ---- rest ---- */

static uint64_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec;
}

static bool may_rest(const struct shmring *ring, const struct shmring_writer *writer, uint64_t now)
{
    return writer->state == SHMRING_SLOT_RETIRED && writer->whole && now - writer->retired_s >= REST_AFTER_S &&
           room(ring, writer) == ring->ring_bytes;
}

/* Retired slots that nobody wants give their memory back, a few at a time. Not where that memory would have to be asked
 * for by name. */
static void rest(struct shmring *ring)
{
    uint32_t used = ring->by_name ? 0 : atomic_load_explicit(&ring->used, memory_order_relaxed), resting = 0;
    uint64_t now = now_s();
    for (uint32_t slot = 0; slot < used && resting < REST_AT_ONCE; slot++) {
        struct shmring_writer *writer = ring->writers[slot];
        if (!may_rest(ring, writer, now))
            continue;
        shmring__release(ring, ring->base, slot);
        writer->whole = false;
        shmring__room_give(&ring->room, ring->ring_bytes);
        resting++;
    }
}

/* ---- publishing ---- */

/* The consumer's page, too: until the consumer knows of the slot, the producer initialises it. */
static void first_state(const struct shmring *ring, struct shmring_writer *writer)
{
    uint64_t first = ring->first_position;
    writer->wpos = writer->begin = writer->limit = writer->cpos = first;
    writer->mask = ring->ring_bytes - 1;
    writer->payload_max = (uint32_t)(SHMRING_RECORD_MAX(ring->ring_bytes) - sizeof(struct shmring_record));
    writer->producer = (struct shmring_producer *)(ring->base + shmring_producer_offset(writer->slot));
    writer->consumer = (struct shmring_consumer *)(ring->base + shmring_consumer_offset(writer->slot));
    writer->consumer->ledger[0].cpos = first;
    writer->consumer->ledger[1].cpos = first;
    atomic_store_explicit(&writer->consumer->cpos_pub, first, memory_order_relaxed);
    atomic_store_explicit(&writer->producer->wpos, first, memory_order_relaxed);
}

static void publish_up_to(struct shmring *ring, uint32_t slot)
{
    uint32_t used = atomic_load_explicit(&ring->used, memory_order_relaxed);
    if (slot < used)
        return;
    for (; used <= slot; used++) {
        if (ring->writers[used]->state != SHMRING_SLOT_ACTIVE) /* given back since this thread has populated it */
            shmring__announce_holes(ring, ring->base);
        first_state(ring, ring->writers[used]);
    }
    atomic_store_explicit(&ring->used, used, memory_order_relaxed);
    /* release: whoever sees the count finds the slots initialised */
    atomic_store_explicit(&ring->counters->slots_used, used, memory_order_release);
}

static void own(struct shmring *ring, struct shmring_writer *writer)
{
    struct shmring_producer *producer = writer->producer;
    writer->state = SHMRING_SLOT_ACTIVE;
    writer->thread = (uint32_t)gettid();
    producer->thread = writer->thread;
    producer->epoch++;
    atomic_store_explicit(&producer->state, SHMRING_SLOT_ACTIVE, memory_order_release);
    atomic_fetch_or(&ring->counters->active[writer->slot / 64], 1ull << writer->slot % 64);
}

int shmring_slot_publish(struct shmring *ring, struct shmring_writer *taken, int err, struct shmring_writer **out)
{
    if (err)
        taken = exchange(ring, taken);
    if (!taken)
        return err;
    publish_up_to(ring, taken->slot);
    taken->whole = true;
    own(ring, taken);
    rest(ring);
    *out = taken;
    return 0;
}

int shmring_attach(struct shmring *ring, struct shmring_writer **out)
{
    struct shmring_writer *writer;
    int err = shmring_slot_take(ring, &writer);
    if (err)
        return err;
    err = shmring_slot_populate(ring, writer);
    return shmring_slot_publish(ring, writer, err, out);
}

/* ---- detach, and a slot besides ---- */

static void retire(struct shmring *ring, struct shmring_writer *writer)
{
    /* Within a write: the thread ends there, or has left it by a jump. A slot in which it cannot be told what the write
     * has reached stays without an owner for ever. */
    if (!writer->frame || shmring__writer_settle(writer))
        writer->state = SHMRING_SLOT_RETIRED;
    writer->retired_s = now_s();
    atomic_store_explicit(&writer->producer->state, SHMRING_SLOT_RETIRED, memory_order_release);
    atomic_fetch_and(&ring->counters->active[writer->slot / 64], ~(1ull << writer->slot % 64));
    rest(ring);
}

void shmring_detach(struct shmring *ring, struct shmring_writer *writer)
{
    while (writer) {
        struct shmring_writer *beside = writer->beside;
        writer->beside = NULL;
        retire(ring, writer);
        writer = beside;
    }
}

/* Of the slots that the thread has left, one whose write is over: it has ended after all, or a later write has begun in
 * its frame. -> NULL: none */
static struct shmring_writer *regain(struct shmring_writer *stuck)
{
    for (struct shmring_writer *at = stuck; at->beside; at = at->beside) {
        struct shmring_writer *left = at->beside;
        if (left->frame && (left->frame != stuck->frame || !shmring__writer_settle(left)))
            continue;
        at->beside = left->beside;
        left->nested = 0;
        return left;
    }
    return NULL;
}

int shmring_attach_beside(struct shmring *ring, struct shmring_writer **writer)
{
    struct shmring_writer *other = regain(*writer);
    int err = other ? 0 : shmring_attach(ring, &other);
    if (err)
        return err;
    other->beside = *writer;
    *writer = other;
    return 0;
}

/* ---- totals ---- */

void shmring__sum(const struct shmring *ring, uint8_t *memory, struct shmring_totals *out)
{
    struct shmring_totals sum = {0};
    struct shmring_counters *counters = (struct shmring_counters *)(memory + SHMRING_COUNTERS_OFFSET);
    uint32_t slots = atomic_load_explicit(&ring->used, memory_order_acquire);
    for (uint32_t reason = 0; reason < SHMRING_DROP_REASONS; reason++)
        sum.dropped[reason] = atomic_load_explicit(&counters->dropped[reason], memory_order_relaxed);
    for (uint32_t slot = 0; slot < slots; slot++) {
        struct shmring_producer *producer = (struct shmring_producer *)(memory + shmring_producer_offset(slot));
        /* drops before begun: a record that begins in between counts as in progress, and the number never is
         * negative */
        for (uint32_t reason = 0; reason < SHMRING_DROP_REASONS; reason++)
            sum.dropped[reason] += atomic_load_explicit(&producer->dropped[reason], memory_order_acquire);
        sum.begun += atomic_load_explicit(&producer->begun, memory_order_relaxed);
    }
    *out = sum;
}

void shmring_totals(const struct shmring *ring, struct shmring_totals *out)
{
    if (ring->is_closed)
        *out = ring->last;
    else
        shmring__sum(ring, ring->base, out);
}
