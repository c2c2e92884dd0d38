/* SPDX-License-Identifier: MIT
 *
 * Batches from state to state: queued, on the wire, waiting, given back.
 */
#include "exporter_state.h"

void exporter_queue_init(struct exporter *exporter)
{
    exporter->held.order = DELIVERY_BY_AGE;
    exporter->queued.order = exporter->waiting.order = exporter->on_wire.order = DELIVERY_BY_STATE;
}

static void leave_state(struct exporter *exporter, struct delivery *delivery)
{
    switch (delivery->state) {
    case DELIVERY_QUEUED:
        delivery_remove(&exporter->queued, delivery);
        break;
    case DELIVERY_ON_WIRE:
        delivery_remove(&exporter->on_wire, delivery);
        break;
    case DELIVERY_WAITING:
        delivery_remove(&exporter->waiting, delivery);
        exporter->waiting_bytes -= delivery->waiting_bytes;
        break;
    case DELIVERY_NONE:
        break;
    }
    delivery->state = DELIVERY_NONE;
}

void exporter_queue_take(struct exporter *exporter, struct batch *batch)
{
    struct delivery *delivery = batch_delivery(batch);
    *delivery = (struct delivery){.batch = batch, .state = DELIVERY_QUEUED};
    delivery_append(&exporter->held, delivery);
    delivery_append(&exporter->queued, delivery);
}

void exporter_queue_wait(struct exporter *exporter, struct delivery *delivery, uint64_t wait_ms)
{
    leave_state(exporter, delivery);
    delivery->state = DELIVERY_WAITING;
    delivery->at_ms = exporter_now_ms(exporter) + wait_ms;
    delivery_insert_by_time(&exporter->waiting, delivery);
    delivery->waiting_bytes = batch_bytes(delivery->batch) + delivery->packed.cap + EXPORTER_BATCH_COST_BYTES;
    exporter->waiting_bytes += delivery->waiting_bytes;
}

void exporter_queue_send(struct exporter *exporter, struct delivery *delivery, uint64_t deadline_ms)
{
    leave_state(exporter, delivery);
    delivery->state = DELIVERY_ON_WIRE;
    delivery->at_ms = deadline_ms;
    delivery_insert_by_time(&exporter->on_wire, delivery);
}

void exporter_queue_give_back(struct exporter *exporter, struct delivery *delivery)
{
    leave_state(exporter, delivery);
    delivery_remove(&exporter->held, delivery);
    buf_done(&delivery->packed);
}

void exporter_queue_connected(struct exporter *exporter)
{
    struct delivery *delivery = exporter->held.head;
    for (; delivery; delivery = delivery->in[DELIVERY_BY_AGE].next)
        if (delivery->state == DELIVERY_WAITING && delivery->connection_lost)
            exporter_queue_wait(exporter, delivery, 0);
}

void exporter_queue_moved(struct exporter *exporter)
{
    struct delivery *delivery = exporter->held.head;
    for (; delivery; delivery = delivery->in[DELIVERY_BY_AGE].next) {
        delivery->failures = 0;
        if (delivery->state == DELIVERY_WAITING)
            exporter_queue_wait(exporter, delivery, 0);
    }
}

struct delivery *exporter_queue_next(struct exporter *exporter)
{
    struct delivery *fresh = exporter->queued.head;
    struct delivery *again = exporter->waiting.head;
    if (again && again->at_ms > exporter_now_ms(exporter))
        again = NULL;
    bool retry = again && !(fresh && exporter->retry_was_last);
    exporter->retry_was_last = retry;
    return retry ? again : fresh;
}

/* ---- what the owner asks ---- */

size_t exporter_held(const struct exporter *exporter)
{
    return exporter->held.count;
}

bool exporter_has_room(const struct exporter *exporter)
{
    return exporter->queued.count + exporter->on_wire.count < EXPORTER_NEW_FACTOR * exporter->config->max_in_flight &&
           exporter->waiting_bytes < EXPORTER_WAITING_MAX_BYTES;
}

struct batch *exporter_oldest(const struct exporter *exporter)
{
    return exporter->held.head ? exporter->held.head->batch : NULL;
}

struct batch *exporter_next(const struct batch *batch)
{
    const struct delivery *next = batch_delivery((struct batch *)batch)->in[DELIVERY_BY_AGE].next;
    return next ? next->batch : NULL;
}

bool exporter_withdraw(struct exporter *exporter, struct batch *batch)
{
    struct delivery *delivery = batch_delivery(batch);
    if (delivery->state == DELIVERY_ON_WIRE)
        return false;
    exporter_queue_give_back(exporter, delivery);
    return true;
}

void exporter_mark_spooled(struct batch *batch)
{
    batch_delivery(batch)->spooled = true;
}
