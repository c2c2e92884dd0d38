/* SPDX-License-Identifier: MIT */
#include "restore.h"

#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct restored_claim {
    struct spool_record *record;
    struct spool_claim claim;
};

/* How far a segment that the spool has claims of has been released. Most claims are of long ago: only those that are
 * not released are kept. */
struct released_positions {
    uint8_t instance[16];
    bool present;
    uint32_t slot_count; /* 0: not known */
    struct {
        bool known;
        uint64_t cpos;
    } slots[];
};

struct presence { /* the last answer of segments_awaited */
    uint8_t instance[16];
    bool known;
    bool present;
};

static int by_instance(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void note_positions(struct released_positions *released, const struct shmring_reader *reader)
{
    for (uint32_t i = 0; i < released->slot_count; i++) {
        const struct shmring_slot_status *status = shmring_reader_slot(reader, i);
        released->slots[i].known = status->health == SHMRING_SLOT_SOUND;
        released->slots[i].cpos = status->ledger.cpos;
    }
}

static struct released_positions *learn(struct restore *restore, const uint8_t instance[16])
{
    char name[SHMRING_NAME_BYTES];
    struct shmring_reader *reader = NULL;
    bool present = segments_awaited(restore->segments, instance);
    shmring_instance_name(instance, name);
    if (present && shmring_reader_open(restore->segments->dir->fd, name, &reader) != 0)
        reader = NULL; /* an error shows again when the segment is attached */
    uint32_t slots = reader ? shmring_reader_slots(reader) : 0;
    struct released_positions *released = calloc(1, sizeof(*released) + slots * sizeof(*released->slots));
    if (released) {
        memcpy(released->instance, instance, 16);
        released->present = present;
        released->slot_count = slots;
        note_positions(released, reader);
    }
    shmring_reader_close(reader);
    if (released && !tsearch(released, &restore->positions, by_instance)) {
        free(released);
        return NULL;
    }
    return released;
}

static bool is_released(const struct released_positions *released, const struct spool_claim *claim)
{
    return claim->slot < released->slot_count && released->slots[claim->slot].known &&
           (int64_t)(claim->end - released->slots[claim->slot].cpos) <= 0;
}

int restore_claim(struct restore *restore, struct spool_record *record, const struct spool_claim *claim)
{
    struct restored_claim restored = {record, *claim};
    struct released_positions *const *found = tfind(claim->instance, &restore->positions, by_instance);
    const struct released_positions *released = found ? *found : learn(restore, claim->instance);
    if (!released)
        return -ENOMEM;
    if (!released->present || is_released(released, claim))
        return 0;
    int err = buf_append(&restore->claims, &restored, sizeof(restored));
    return err ? err : 1;
}

void restore_opened(struct restore *restore, struct spool *spool)
{
    restore->spool = spool;
    tdestroy(restore->positions, free);
    restore->positions = NULL;
    if (!spool)
        buf_done(&restore->claims);
}

/* The last claim takes the place of this one. */
static void forget(struct restore *restore, struct restored_claim *restored)
{
    restore->claims.len -= sizeof(*restored);
    *restored = *(const struct restored_claim *)(restore->claims.data + restore->claims.len);
    if (restore->claims.len == 0)
        buf_done(&restore->claims);
}

static size_t count(const struct restore *restore)
{
    return restore->claims.len / sizeof(struct restored_claim);
}

static uint64_t records_of(const struct segment_skip *skip)
{
    return skip->spans + outcome_sum(&skip->outcome);
}

/* Does the segment's ring still have the interval, and the spool its spans? */
static bool is_held_twice(const struct restore *restore, struct segment *segment, const struct restored_claim *restored)
{
    const struct spool_claim *claim = &restored->claim;
    if (claim->slot >= shmring_reader_slots(segment->reader))
        return false;
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, claim->slot);
    if (status->health != SHMRING_SLOT_SOUND || (int64_t)(claim->end - status->ledger.cpos) <= 0)
        return false;
    if (spool_check(restored->record) == 0)
        return true;
    spool_disown(restore->spool, restored->record); /* the ring has the spans, and they are read from there */
    return false;
}

static struct segment_skip skip_of(const struct restored_claim *restored)
{
    const struct spool_claim *claim = &restored->claim;
    struct segment_skip skip = {
        .begin = claim->begin, .end = claim->end, .spans = claim->spans, .record = restored->record};
    skip.outcome.sampled_out = claim->sampled_out;
    for (unsigned i = 0; i < DROP_REASONS; i++)
        skip.outcome.dropped[i] = claim->dropped[i];
    return skip;
}

int restore_attach(struct restore *restore, struct segment *segment)
{
    const uint8_t *instance = shmring_reader_header(segment->reader)->instance;
    struct restored_claim *all = (void *)restore->claims.data;
    size_t matching = 0;
    for (size_t i = 0; i < count(restore); i++)
        matching += memcmp(all[i].claim.instance, instance, 16) == 0;
    if (matching == 0)
        return 0;
    struct segment_skip *skip = segment->all_skips = calloc(matching, sizeof(*skip));
    if (!skip)
        return -ENOMEM;
    for (size_t i = count(restore); i > 0; i--) {
        struct restored_claim *restored = &all[i - 1];
        if (memcmp(restored->claim.instance, instance, 16) != 0)
            continue;
        if (is_held_twice(restore, segment, restored)) {
            *skip = skip_of(restored);
            segment_add_skip(segment, restored->claim.slot, skip++);
        } else {
            spool_claim_committed(restored->record);
        }
        forget(restore, restored);
    }
    return 0;
}

/* Neighbouring claims are mostly of the same segment: the last answer is kept. */
static bool is_still_present(const struct restore *restore, const uint8_t instance[16], struct presence *last)
{
    if (!last->known || memcmp(instance, last->instance, 16) != 0)
        last->present = segments_awaited(restore->segments, instance);
    memcpy(last->instance, instance, 16);
    last->known = true;
    return last->present;
}

void restore_forget_gone(struct restore *restore)
{
    struct restored_claim *all = (void *)restore->claims.data;
    struct presence last = {0};
    for (size_t i = count(restore); i > 0; i--) {
        if (is_still_present(restore, all[i - 1].claim.instance, &last))
            continue;
        spool_claim_committed(all[i - 1].record);
        forget(restore, &all[i - 1]);
    }
}

/* ---- while reading ---- */

void restore_drop(const struct restore *restore, struct segment_slot *slot)
{
    for (; slot->skips; slot->skips = slot->skips->next)
        if (restore->env->phase < SOURCE_CLOSES)
            spool_claim_committed(slot->skips->record);
}

/* A claim as if this daemon had read and spooled it. -> 0; -ENOMEM; or as shmring_reader_skip */
static int pass_over(const struct restore *restore, struct segment *segment, uint32_t slot,
                     const struct segment_skip *skip)
{
    struct batch_limits none = {0};
    struct batch *batch;
    int err = batch_open(restore->env->pool, &none, 0, &batch);
    if (err)
        return err;
    err = shmring_reader_skip(segment->reader, slot, skip->begin, skip->end, records_of(skip));
    struct claim *claim = err ? NULL : batch_claim(batch, &segment->slots[slot].claims, skip->begin);
    if (claim) {
        claim->end = skip->end;
        claim->spans = skip->spans;
        claim->outcome = skip->outcome;
        batch_stay(batch)->record = skip->record;
        batch_settle_spooled(batch);
    } else if (!err) {
        uint64_t ordinal = shmring_reader_slot(segment->reader, slot)->read_records - records_of(skip);
        const struct shmring_view back = {.begin = skip->begin, .ordinal = ordinal};
        shmring_reader_unread(segment->reader, slot, &back);
        err = -ENOMEM;
    }
    batch_finish(batch, &(struct batch_outcome){.exported = true});
    return err;
}

bool restore_skip(const struct restore *restore, struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    for (struct segment_skip *skip; (skip = segment->slots[slot].skips);) {
        if ((int64_t)(status->read - skip->begin) < 0)
            return true;
        int err = pass_over(restore, segment, slot, skip);
        if (err == -ENOMEM || err == -EBADMSG)
            return err == -EBADMSG;
        if (err) {
            log_cause(restore->env->log, LOG_ERROR, "spool_claim",
                      "segment %s slot %" PRIu32 ": the spool's claim of bytes %" PRIu64 " to %" PRIu64
                      " does not fit the ring; their spans may arrive twice",
                      segment->name, slot, skip->begin, skip->end);
            spool_claim_committed(skip->record);
        }
        segment->slots[slot].skips = skip->next;
    }
    return true;
}

void restore_done(struct restore *restore)
{
    buf_done(&restore->claims);
}
