/* SPDX-License-Identifier: MIT
 *
 * When a batch goes to the spool. A ring is released in order, so one batch that is late holds up all that was written
 * behind it: 1 % of answers UNAVAILABLE, with 5 s of backoff, would cost 37 % of the spans (simulated).
 */
#include "batch/delivery.h"
#include "source_state.h"

enum { OVERTAKEN_FACTOR = 2 }; /* x max_in_flight younger batches that have finished: the batch is late */

/* Waits for something else than its answer. The first connection of all is no outage: it is there in a moment. */
static bool held_up(const struct source *s, struct batch *batch)
{
    bool outage = s->env.stats->outage_began_ms > 0 && s->env.stats->outage_ended_ms == 0;
    enum delivery_state state = batch_delivery(batch)->state;
    return state == DELIVERY_WAITING || (state == DELIVERY_QUEUED && outage);
}

static uint64_t ring_bytes(const struct segment *segment)
{
    return shmring_reader_header(segment->reader)->ring_bytes;
}

/* Oldest first: they are what the ring waits for. */
static void relieve_slot(struct source *s, struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    uint64_t unreleased = status->read - status->ledger.cpos;
    if (status->health != SHMRING_SLOT_SOUND || unreleased <= ring_bytes(segment) / 4)
        return;
    s->pressed = true;
    bool all = unreleased > ring_bytes(segment) / 2;
    for (struct claim *claim = segment->slots[slot].claims.head; claim; claim = claim->next)
        if (!claim->settled && claim->batch != s->open && (all || held_up(s, claim->batch)))
            keeper_put(&s->keeper, claim->batch);
}

/* How full the fullest ring is that has something to read, in quarters. */
static uint64_t fullest(const struct source *s)
{
    uint64_t most = 0;
    for (const struct segment *segment = s->segments.first; segment; segment = segment->next) {
        uint32_t slots = shmring_reader_slots(segment->reader);
        for (uint32_t slot = 0; slot < slots; slot++) {
            const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
            if (shmring_reader_look(segment->reader, slot) != 0 || status->end == status->read)
                continue;
            uint64_t quarters = (status->end - status->ledger.cpos) * 4 / ring_bytes(segment);
            most = quarters > most ? quarters : most;
        }
    }
    return most;
}

/* Nothing is read because the exporter holds all it can, and a ring fills whose own batches are not the ones: any that
 * is not on the wire makes room. */
static void make_room(struct source *s)
{
    uint64_t quarters = fullest(s);
    for (struct batch *batch = quarters > 0 ? s->keeper.oldest : NULL; batch; batch = batch_stay(batch)->younger) {
        if (exporter_has_room(s->env.exporter))
            return;
        s->poll_ms = POLL_PACE_MIN_MS; /* there is something to read, and soon room for it */
        bool queued = batch_delivery(batch)->state == DELIVERY_QUEUED;
        if (held_up(s, batch) || (queued && quarters >= 2))
            keeper_put(&s->keeper, batch);
    }
}

/* Only reading brings a ring under pressure, and notes it. */
static void relieve_rings(struct source *s)
{
    if (!s->pressed)
        return;
    s->pressed = false;
    for (struct segment *segment = s->segments.first; segment; segment = segment->next) {
        uint32_t slots = shmring_reader_slots(segment->reader);
        for (uint32_t slot = 0; slot < slots; slot++)
            relieve_slot(s, segment, slot);
    }
}

void source_pressure_relieve(struct source *s)
{
    if (!s->keeper.spool || !s->env.exporter)
        return;
    keeper_ask_again(&s->keeper);
    relieve_rings(s);
    for (struct batch *batch = s->keeper.oldest; batch; batch = batch_stay(batch)->younger) {
        if (s->env.phase >= SOURCE_RESTS ||
            (batch_stay(batch)->overtaken > OVERTAKEN_FACTOR * s->env.config->max_in_flight && held_up(s, batch)))
            keeper_put(&s->keeper, batch);
    }
    if (s->stalled)
        make_room(s);
}
