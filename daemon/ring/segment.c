/* SPDX-License-Identifier: MIT */
#include "segment.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "span/record_decode.h"

static_assert((int)DROP_REASONS <= (int)SHMRING_LEDGER_REASONS, "every reason has its place in the ledger");

int segment_open(int dir_fd, const char *name, struct segment **out, const char **problem)
{
    *problem = NULL;
    size_t name_bytes = strlen(name) + 1;
    struct segment *segment = calloc(1, sizeof(*segment) + name_bytes);
    if (!segment)
        return -ENOMEM;
    memcpy(segment->name, name, name_bytes);
    segment->watch = -1;
    int err = shmring_reader_open(dir_fd, name, &segment->reader);
    if (err)
        goto fail;
    const struct shmring_header *header = shmring_reader_header(segment->reader);
    char file_name[SHMRING_NAME_BYTES];
    shmring_instance_name(header->instance, file_name);
    memcpy(segment->instance, file_name, SHMRING_INSTANCE_HEX); /* the NUL behind is from calloc */
    uint32_t bytes;
    const uint8_t *resource = shmring_reader_resource(segment->reader, &bytes);
    err = record_check_resource(resource, bytes, problem);
    if (err)
        goto fail;
    segment->slots = calloc(header->slot_count, sizeof(*segment->slots));
    if (!segment->slots) {
        err = -ENOMEM;
        goto fail;
    }
    for (uint32_t i = 0; i < header->slot_count; i++) {
        segment->slots[i].claims.instance = header->instance;
        segment->slots[i].claims.slot = i;
        segment->slots[i].segment = segment;
    }
    *out = segment;
    return 0;
fail:
    segment_close(segment);
    return err;
}

void segment_close(struct segment *segment)
{
    if (!segment)
        return;
    shmring_reader_close(segment->reader);
    buf_done(&segment->resource);
    free(segment->all_skips);
    free(segment->slots);
    free(segment);
}

int segment_encode_resource(struct segment *segment, const struct resource_settings *settings, uint64_t *invalid_text)
{
    uint32_t bytes;
    const uint8_t *items = shmring_reader_resource(segment->reader, &bytes);
    struct buf fresh = {0};
    int err = otlp_encode_resource(&fresh, items, bytes, settings, invalid_text);
    if (err) {
        buf_done(&fresh);
        return err;
    }
    buf_done(&segment->resource);
    segment->resource = fresh;
    return 0;
}

void segment_add_skip(struct segment *segment, uint32_t slot, struct segment_skip *skip)
{
    struct segment_skip **at = &segment->slots[slot].skips;
    while (*at && (int64_t)(skip->begin - (*at)->begin) > 0)
        at = &(*at)->next;
    skip->next = *at;
    *at = skip;
}

void segment_release(struct claim_queue *queue)
{
    static_assert(offsetof(struct segment_slot, claims) == 0, "a slot begins with its queue");
    const struct segment *segment = ((struct segment_slot *)queue)->segment;
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, queue->slot);
    if (!queue->head || !queue->head->settled || status->health == SHMRING_SLOT_QUARANTINED)
        return;
    struct shmring_ledger ledger = status->ledger;
    while (claim_take(queue, &ledger.cpos, &ledger.counts))
        continue;
    shmring_reader_commit(segment->reader, queue->slot, &ledger);
}

static bool slot_quiet(const struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    if (status->health == SHMRING_SLOT_QUARANTINED)
        return segment->slots[slot].quarantine_seen; /* else a batch may still have claims in its queue */
    return status->read == status->end && status->ledger.cpos == status->read && !segment->slots[slot].claims.head;
}

bool segment_quiet(const struct segment *segment)
{
    uint32_t slots = shmring_reader_slots(segment->reader);
    for (uint32_t i = 0; i < slots; i++)
        if (!slot_quiet(segment, i))
            return false;
    return true;
}

void segment_set_drain_targets(struct segment *segment)
{
    uint32_t slots = shmring_reader_slots(segment->reader);
    for (uint32_t i = 0; i < slots; i++)
        segment->slots[i].drain_target = shmring_reader_slot(segment->reader, i)->end;
}

bool segment_drained(const struct segment *segment)
{
    uint32_t slots = shmring_reader_slots(segment->reader);
    for (uint32_t i = 0; i < slots; i++) {
        const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, i);
        if (status->health == SHMRING_SLOT_SOUND &&
            (status->read < segment->slots[i].drain_target || status->ledger.cpos < status->read))
            return false;
    }
    return true;
}

static void count_quarantine(struct segment *segment, struct stats *stats)
{
    stats->segments_quarantined += !segment->quarantine_counted;
    segment->quarantine_counted = true;
}

const char *segment_audit(struct segment *segment, struct stats *stats)
{
    shmring_reader_audit(segment->reader);
    const char *problem = shmring_reader_problem(segment->reader);
    if (!problem || segment->quarantine_counted)
        return NULL;
    count_quarantine(segment, stats);
    return problem;
}

bool segment_note_quarantine(struct segment *segment, uint32_t slot, struct stats *stats,
                             struct shmring_counts *orphaned)
{
    if (segment->slots[slot].quarantine_seen)
        return false;
    segment->slots[slot].quarantine_seen = true;
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    uint64_t ring_bytes = shmring_reader_header(segment->reader)->ring_bytes;
    uint64_t unread = status->end - status->read;
    count_quarantine(segment, stats);
    stats->unreadable_bytes += unread < ring_bytes ? unread : ring_bytes;
    claim_abandon(&segment->slots[slot].claims, orphaned);
    return true;
}

/* Records that the producer has begun, and that are neither dropped nor read. */
static uint64_t slot_unread(const struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    if (status->health == SHMRING_SLOT_QUARANTINED || (segment->owner_dead && status->read == status->end))
        return 0;
    struct shmring_producer_status producer;
    shmring_reader_producer(segment->reader, slot, &producer);
    uint64_t gone =
        producer.dropped[SHMRING_DROP_RING_FULL] + producer.dropped[SHMRING_DROP_OVERSIZE] + status->read_records;
    uint64_t most = shmring_reader_header(segment->reader)->ring_bytes / sizeof(struct shmring_record) + 1;
    uint64_t unread = producer.begun > gone ? producer.begun - gone : 0;
    return unread < most ? unread : most;
}

/* A producer's own figures may be anything: a sum must not overflow. */
static void add_claimed(uint64_t *total, uint64_t claimed)
{
    if (__builtin_add_overflow(*total, claimed, total))
        *total = UINT64_MAX;
}

static void add_producer_drops(const struct segment *segment, uint64_t out[PRODUCER_REASONS])
{
    uint64_t dropped[SHMRING_DROP_REASONS];
    shmring_reader_counters(segment->reader, dropped);
    for (unsigned i = 0; i < SHMRING_DROP_REASONS; i++)
        add_claimed(&out[i], dropped[i]);
    uint32_t slots = shmring_reader_slots(segment->reader);
    for (uint32_t slot = 0; slot < slots; slot++) {
        struct shmring_producer_status producer;
        shmring_reader_producer(segment->reader, slot, &producer);
        for (unsigned i = 0; i < SHMRING_DROP_REASONS; i++)
            add_claimed(&out[i], producer.dropped[i]);
    }
}

/* Spans that count as read and in flight, and that the spool has. */
static uint64_t slot_spooled(const struct segment *segment, uint32_t slot)
{
    uint64_t spans = 0;
    for (const struct claim *claim = segment->slots[slot].claims.head; claim; claim = claim->next)
        spans += claim->settled ? claim->outcome.spooled : 0;
    return spans;
}

/* The same of spans that count as unread. */
static uint64_t slot_spooled_ahead(const struct segment *segment, uint32_t slot)
{
    uint64_t spans = 0;
    for (const struct segment_skip *skip = segment->slots[slot].skips; skip; skip = skip->next)
        spans += skip->spans;
    return spans;
}

void segment_snapshot(const struct segment *segment, struct stats_snapshot *out)
{
    uint32_t slots = shmring_reader_slots(segment->reader);
    for (uint32_t i = 0; i < slots; i++) {
        const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, i);
        uint64_t settled = outcome_sum(&status->ledger.counts);
        uint64_t unread = slot_unread(segment, i);
        outcome_add(&out->outcome, &status->ledger.counts);
        if (status->health == SHMRING_SLOT_SOUND) {
            uint64_t spooled = slot_spooled(segment, i), ahead = slot_spooled_ahead(segment, i);
            ahead = ahead < unread ? ahead : unread;
            out->spool_written += spooled + ahead;
            out->unread += unread - ahead;
            out->in_flight += status->read_records - settled - spooled;
            out->committed += status->read_records + unread;
        } else {
            out->committed += settled;
        }
    }
    add_producer_drops(segment, out->producer_dropped);
    out->segments++;
}

void segment_add_to_totals(const struct segment *segment, struct totals *totals)
{
    uint32_t slots = shmring_reader_slots(segment->reader);
    for (uint32_t i = 0; i < slots; i++) {
        const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, i);
        outcome_add(&totals->outcome, &status->ledger.counts);
        if (status->health == SHMRING_SLOT_QUARANTINED)
            continue;
        struct shmring_producer_status producer;
        shmring_reader_producer(segment->reader, i, &producer);
        uint64_t ended =
            producer.dropped[SHMRING_DROP_RING_FULL] + producer.dropped[SHMRING_DROP_OVERSIZE] + status->read_records;
        if (producer.begun > ended) /* the record being written when its owner died: at most one */
            totals->producer_dropped[PRODUCER_INTERRUPTED]++;
    }
    add_producer_drops(segment, totals->producer_dropped);
}
