/* SPDX-License-Identifier: MIT */
#include "source_read.h"

#include <errno.h>
#include <inttypes.h>

#include "span/sampler.h"

enum {
    WINDOW_BYTES = 256 << 10, /* copied from one slot at a time */
    PASS_BYTES = 4 << 20,     /* read in one pass before the loop gets its turn */
    SLOTS_AHEAD = 4,          /* so many slots before a slot is read, it is prefetched */
};

/* ---- batches ---- */

void source_read_seal(struct source_read *reading)
{
    struct batch *batch = reading->open;
    if (!batch)
        return;
    if (batch_seal(batch) != 0) {
        log_cause(reading->env->log, LOG_ERROR, "no_memory", "no memory to seal a batch; trying again");
        return;
    }
    reading->open = NULL;
    if (batch_span_count(batch) > 0) {
        keeper_send(reading->keeper, batch);
        return;
    }
    struct batch_outcome nothing_sent = {.exported = true};
    batch_finish(batch, &nothing_sent);
    segments_release(reading->env->pool);
}

/* A span's time begins when it is written, which is after the slot was last looked at: in the pass before. */
static struct batch *open_batch(struct source_read *reading)
{
    if (!reading->open) {
        struct batch_limits limits = {.max_spans = reading->env->config->max_batch_spans,
                                      .max_bytes = reading->env->config->max_batch_bytes};
        uint64_t deadline = reading->last_pass_ns + reading->env->config->flush_interval_ms * 1000000;
        if (batch_open(reading->env->pool, &limits, deadline, &reading->open) != 0)
            return NULL;
    }
    return reading->open;
}

/* ---- draining ---- */

/* -> 0, or -ENOMEM: nothing was done with the record. */
static int take_record(struct source_read *reading, struct segment *segment, uint32_t slot,
                       const struct shmring_view *view)
{
    struct claim_queue *queue = &segment->slots[slot].claims;
    struct span_view span;
    const char *problem;
    bool valid = record_decode(view->payload, view->payload_bytes, view->type, view->flags, &span, &problem) == 0;
    bool send = valid && reading->sends && sampler_keep(view->flags);
    for (;;) {
        struct batch *batch = open_batch(reading);
        struct claim *claim = batch ? batch_claim(batch, queue, view->begin) : NULL;
        if (!claim)
            return -ENOMEM;
        if (!send) {
            if (!valid)
                claim->outcome.dropped[DROP_INVALID]++;
            else if (!reading->sends)
                claim->outcome.dropped[DROP_DISABLED]++;
            else
                claim->outcome.sampled_out++;
            if (!valid)
                log_cause(reading->env->log, LOG_WARN, "invalid_record",
                          "segment %s slot %" PRIu32 " position %" PRIu64 ": %s; span dropped", segment->name, slot,
                          view->begin, problem);
            claim->end = view->end;
            return 0;
        }
        switch (batch_add(batch, segment, &segment->resource, &span, &reading->env->stats->invalid_text)) {
        case BATCH_ADDED:
            claim->spans++;
            claim->end = view->end;
            return 0;
        case BATCH_OVERSIZE:
            claim->outcome.dropped[DROP_OVERSIZE]++;
            claim->end = view->end;
            log_cause(reading->env->log, LOG_WARN, "oversize",
                      "segment %s: a span is larger than aistraced.max_batch_bytes (%" PRIu64 "); dropped",
                      segment->name, reading->env->config->max_batch_bytes);
            return 0;
        case BATCH_FULL:
            source_read_seal(reading);
            if (reading->open == batch)
                return -ENOMEM;
            break;
        case BATCH_NO_MEMORY:
            return -ENOMEM;
        }
    }
}

/* Bounds how much of one ring waits in the open batch, so that the ring's producer keeps room to write. Only the ring's
 * own part of the batch counts: a ring that waits for an acknowledgement must not cut the batches of others short, nor
 * its own into small pieces, of which the exporter could hold only a few. */
static void seal_early(struct source_read *reading, struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    const struct claim *claim = segment->slots[slot].claims.tail;
    uint64_t ring_bytes = shmring_reader_header(segment->reader)->ring_bytes;
    if (!pressure_note(reading->pressure, status->read - status->ledger.cpos, ring_bytes))
        return;
    if (reading->open && claim && claim->batch == reading->open &&
        status->read - claim->begin > ring_bytes / PRESSURE_SEAL)
        source_read_seal(reading);
}

static void note_filling(struct source_read *reading, const struct segment *segment, uint64_t bytes)
{
    uint64_t filled = bytes * POLL_PACE_RING / shmring_reader_header(segment->reader)->ring_bytes;
    if (filled > reading->filled)
        reading->filled = filled;
}

static bool has_room(const struct source_read *reading)
{
    if (!reading->sends)
        return true;
    const struct source_env *env = reading->env;
    if (env->phase >= SOURCE_RESTS)
        return reading->keeper->count < EXPORTER_NEW_FACTOR * env->config->max_in_flight;
    return exporter_has_room(env->exporter);
}

/* The next record is in the spool already. */
static bool at_skip(const struct segment_slot *slot, const struct shmring_view *view)
{
    return slot->skips && slot->skips->begin == view->end;
}

/* -> bytes taken from the slot */
static uint64_t drain_slot(struct source_read *reading, struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    if (status->health != SHMRING_SLOT_SOUND) {
        segments_note_quarantine(reading->segments, segment, slot);
        return 0;
    }
    if (reading->env->phase >= SOURCE_DRAINS && status->read >= segment->slots[slot].drain_target)
        return 0;
    if (!has_room(reading)) {
        reading->stalled = true;
        return 0;
    }
    uint64_t begin = status->read;
    if (!restore_skip(reading->restore, segment, slot)) {
        reading->stalled = true;
        return 0;
    }
    ssize_t filled = shmring_reader_fill(segment->reader, slot, reading->window);
    struct shmring_view view;
    int next = filled == -EBADMSG ? -EBADMSG : 0;
    while (filled > 0 && has_room(reading) && (next = shmring_reader_next(reading->window, &view)) == 1) {
        if (take_record(reading, segment, slot, &view) == 0) {
            if (at_skip(&segment->slots[slot], &view))
                break;
            continue;
        }
        shmring_reader_unread(segment->reader, slot, &view);
        log_cause(reading->env->log, LOG_ERROR, "no_memory", "no memory for spans; they wait in their rings");
        reading->stalled = true;
        break;
    }
    if (next == -EBADMSG)
        segments_note_quarantine(reading->segments, segment, slot);
    seal_early(reading, segment, slot);
    note_filling(reading, segment, status->read - begin);
    return status->read - begin;
}

/* Prefetches the slot whose turn comes a few slots later. Where one slot has data, more have. */
static void prefetch_ahead(const struct source_read *reading, const struct segment *segment, uint32_t slot,
                           uint32_t slots)
{
    if (slot + SLOTS_AHEAD < slots)
        shmring_reader_prefetch(segment->reader, slot + SLOTS_AHEAD, reading->filled > 0);
    else if (segment->turn_next)
        shmring_reader_prefetch(segment->turn_next->reader, slot + SLOTS_AHEAD - slots, reading->filled > 0);
}

/* -> bytes read; goes little beyond `most` */
static uint64_t read_segment(struct source_read *reading, struct segment *segment, uint64_t most, bool *more)
{
    uint32_t slots = shmring_reader_slots(segment->reader);
    uint64_t total = 0;
    for (uint32_t i = 0; i < slots && !reading->stalled && total < most; i++) {
        uint32_t slot = segment->next_slot < slots ? segment->next_slot : 0;
        prefetch_ahead(reading, segment, slot, slots);
        uint64_t bytes = drain_slot(reading, segment, slot);
        if (!reading->stalled || bytes > 0)
            segment->next_slot = slot + 1;
        total += bytes;
        *more |= bytes >= WINDOW_BYTES / 2;
    }
    return total;
}

static uint64_t read_tenant(struct source_read *reading, struct tenant *tenant, uint64_t most, bool *more)
{
    uint64_t total = 0;
    for (size_t n = tenant->segment_count; n > 0 && !reading->stalled && total < most; n--) {
        uint64_t bytes = read_segment(reading, tenant->segments, most - total, more);
        if (!reading->stalled || bytes > 0)
            tenant_rotate(tenant);
        total += bytes;
    }
    *more |= total >= most;
    return total;
}

static uint64_t read_tenants(struct source_read *reading, bool *more)
{
    struct tenants *tenants = &reading->segments->tenants;
    size_t count = tenants->count;
    uint64_t share = PASS_BYTES / (count > 0 ? count : 1), total = 0;
    for (size_t n = count; n > 0 && !reading->stalled; n--) {
        uint64_t bytes = read_tenant(reading, tenants->first, share, more);
        if (!reading->stalled || bytes > 0)
            tenants_rotate(tenants);
        total += bytes;
    }
    return total;
}

bool source_read_pass(struct source_read *reading, struct poll_look *look)
{
    uint64_t began_ns = uv_hrtime();
    bool more = false;
    reading->stalled = false;
    reading->sends = reading->env->config->enabled && reading->env->exporter;
    reading->filled = 0;
    look->bytes = read_tenants(reading, &more);
    look->filled = reading->filled;
    look->elapsed_ns = began_ns - reading->last_pass_ns;
    look->flush_ms = reading->env->config->flush_interval_ms;
    reading->last_pass_ns = began_ns;
    return more;
}

/* ---- start and end ---- */

int source_read_start(struct source_read *reading)
{
    reading->last_pass_ns = uv_hrtime();
    return shmring_window_new(WINDOW_BYTES, &reading->window);
}

void source_read_done(struct source_read *reading)
{
    shmring_window_free(reading->window);
}
