/* SPDX-License-Identifier: MIT */
#include "pressure.h"

#include "batch/delivery.h"

enum { OVERTAKEN_FACTOR = 2 }; /* x max_in_flight younger batches that have finished: the batch is late */

/* The batch waits for a retry, or for a connection that is lost. The first connection of all is no outage: it is there
 * in a moment. */
static bool held_up(const struct pressure *pressure, struct batch *batch)
{
    const struct stats *stats = pressure->env->stats;
    bool outage = stats->outage_began_ms > 0 && stats->outage_ended_ms == 0;
    enum delivery_state state = batch_delivery(batch)->state;
    return state == DELIVERY_WAITING || (state == DELIVERY_QUEUED && outage);
}

static uint64_t ring_bytes(const struct segment *segment)
{
    return shmring_reader_header(segment->reader)->ring_bytes;
}

/* The oldest batch first: the ring waits for it. */
static void relieve_slot(struct pressure *pressure, struct segment *segment, uint32_t slot, const struct batch *open)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    uint64_t unreleased = status->read - status->ledger.cpos;
    if (status->health != SHMRING_SLOT_SOUND || !pressure_note(pressure, unreleased, ring_bytes(segment)))
        return;
    bool all = unreleased > ring_bytes(segment) / PRESSURE_ALL;
    for (struct claim *claim = segment->slots[slot].claims.head; claim; claim = claim->next)
        if (!claim->settled && claim->batch != open && (all || held_up(pressure, claim->batch)))
            keeper_put(pressure->keeper, claim->batch);
}

static void relieve_rings(struct pressure *pressure, const struct batch *open)
{
    if (!pressure->pressed)
        return;
    pressure->pressed = false;
    for (struct segment *segment = pressure->segments->first; segment; segment = segment->next) {
        uint32_t slots = shmring_reader_slots(segment->reader);
        for (uint32_t slot = 0; slot < slots; slot++)
            relieve_slot(pressure, segment, slot, open);
    }
}

static void relieve_batches(struct pressure *pressure)
{
    uint64_t most = OVERTAKEN_FACTOR * pressure->env->config->max_in_flight;
    bool rests = pressure->env->phase >= SOURCE_RESTS;
    for (struct batch *batch = pressure->keeper->oldest; batch; batch = batch_stay(batch)->younger)
        if (rests || (batch_stay(batch)->overtaken > most && held_up(pressure, batch)))
            keeper_put(pressure->keeper, batch);
}

/* How full the fullest ring is that has something to read, in parts of PRESSURE_HELD_UP. */
static uint64_t fullest(const struct segments *segments)
{
    uint64_t most = 0;
    for (const struct segment *segment = segments->first; segment; segment = segment->next) {
        uint32_t slots = shmring_reader_slots(segment->reader);
        for (uint32_t slot = 0; slot < slots; slot++) {
            const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
            if (shmring_reader_look(segment->reader, slot) != 0 || status->end == status->read)
                continue;
            uint64_t parts = (status->end - status->ledger.cpos) * PRESSURE_HELD_UP / ring_bytes(segment);
            most = parts > most ? parts : most;
        }
    }
    return most;
}

/* Nothing is read because the exporter holds all it can, and a ring fills, perhaps one that has no batch with the
 * exporter: any batch that is not on the wire makes room. -> true: there was a batch to ask for */
static bool make_room(struct pressure *pressure)
{
    uint64_t parts = fullest(pressure->segments);
    struct batch *batch = parts > 0 ? pressure->keeper->oldest : NULL;
    bool found = false;
    for (; batch && !exporter_has_room(pressure->env->exporter); batch = batch_stay(batch)->younger) {
        found = true;
        bool queued = batch_delivery(batch)->state == DELIVERY_QUEUED;
        if (held_up(pressure, batch) || (queued && parts >= PRESSURE_HELD_UP / PRESSURE_ALL))
            keeper_put(pressure->keeper, batch);
    }
    return found;
}

bool pressure_relieve(struct pressure *pressure, const struct batch *open, bool stalled)
{
    if (!pressure->keeper->spool || !pressure->env->exporter)
        return false;
    keeper_ask_again(pressure->keeper);
    relieve_rings(pressure, open);
    relieve_batches(pressure);
    return stalled && make_room(pressure);
}
