/* SPDX-License-Identifier: MIT
 *
 * A daemon that died between writing a batch to the spool and committing the rings' ledgers leaves spans that are in
 * both. The spool answers for them: its claims at or beyond a ring's released position are passed over when reading
 * comes to them, and released as spooled.
 */
#include <errno.h>
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "source_state.h"

struct source_restored {
    struct spool_record *record;
    struct spool_claim claim;
};

/* A segment of which the spool has claims. The most are of long ago: only those it has not released are kept. */
struct source_released {
    uint8_t instance[16];
    bool present;
    uint32_t slot_count; /* 0: not known */
    struct {
        bool known;
        uint64_t cpos;
    } slots[];
};

struct source_presence { /* of the segment last asked about */
    uint8_t instance[16];
    bool known;
    bool present;
};

static int by_instance(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static void note_positions(struct source_released *released, const struct shmring_reader *reader)
{
    for (uint32_t i = 0; i < released->slot_count; i++) {
        const struct shmring_slot_status *status = shmring_reader_slot(reader, i);
        released->slots[i].known = status->health == SHMRING_SLOT_SOUND;
        released->slots[i].cpos = status->ledger.cpos;
    }
}

static struct source_released *learn(struct source *s, const uint8_t instance[16])
{
    char name[SHMRING_NAME_BYTES];
    struct shmring_reader *reader = NULL;
    bool present = segments_awaited(&s->segments, instance);
    shmring_instance_name(instance, name);
    if (present && shmring_reader_open(s->dir.fd, name, &reader) != 0)
        reader = NULL; /* whatever it is: the segment is looked at again when it is attached */
    uint32_t slots = reader ? shmring_reader_slots(reader) : 0;
    struct source_released *released = calloc(1, sizeof(*released) + slots * sizeof(*released->slots));
    if (released) {
        memcpy(released->instance, instance, 16);
        released->present = present;
        released->slot_count = slots;
        note_positions(released, reader);
    }
    shmring_reader_close(reader);
    if (released && !tsearch(released, &s->released, by_instance)) {
        free(released);
        return NULL;
    }
    return released;
}

static bool is_released(const struct source_released *released, const struct spool_claim *claim)
{
    return claim->slot < released->slot_count && released->slots[claim->slot].known &&
           (int64_t)(claim->end - released->slots[claim->slot].cpos) <= 0;
}

int source_restore_claim(void *user, struct spool_record *record, const struct spool_claim *claim)
{
    struct source *s = user;
    struct source_restored restored = {record, *claim};
    struct source_released *const *found = tfind(claim->instance, &s->released, by_instance);
    const struct source_released *released = found ? *found : learn(s, claim->instance);
    if (!released)
        return -ENOMEM;
    if (!released->present || is_released(released, claim))
        return 0;
    int err = buf_append(&s->restored, &restored, sizeof(restored));
    return err ? err : 1;
}

void source_restore_opened(struct source *s, bool whole)
{
    tdestroy(s->released, free);
    s->released = NULL;
    if (!whole)
        buf_done(&s->restored);
}

/* The last takes its place. */
static void forget(struct source *s, struct source_restored *restored)
{
    s->restored.len -= sizeof(*restored);
    *restored = *(const struct source_restored *)(s->restored.data + s->restored.len);
    if (s->restored.len == 0)
        buf_done(&s->restored);
}

static size_t count(const struct source *s)
{
    return s->restored.len / sizeof(struct source_restored);
}

static uint64_t records_of(const struct segment_skip *skip)
{
    return skip->spans + outcome_sum(&skip->outcome);
}

/* Does the segment's ring still have the interval, and the spool its spans? */
static bool is_held_twice(struct source *s, struct segment *segment, const struct source_restored *restored)
{
    const struct spool_claim *claim = &restored->claim;
    if (claim->slot >= shmring_reader_slots(segment->reader))
        return false;
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, claim->slot);
    if (status->health != SHMRING_SLOT_SOUND || (int64_t)(claim->end - status->ledger.cpos) <= 0)
        return false;
    if (spool_check(restored->record) == 0)
        return true;
    spool_disown(s->spool, restored->record); /* the ring has them, and they are read from there */
    return false;
}

static struct segment_skip skip_of(const struct source_restored *restored)
{
    const struct spool_claim *claim = &restored->claim;
    struct segment_skip skip = {
        .begin = claim->begin, .end = claim->end, .spans = claim->spans, .record = restored->record};
    skip.outcome.sampled_out = claim->sampled_out;
    for (unsigned i = 0; i < DROP_REASONS; i++)
        skip.outcome.dropped[i] = claim->dropped[i];
    return skip;
}

int source_restore_attach(struct source *s, struct segment *segment)
{
    const uint8_t *instance = shmring_reader_header(segment->reader)->instance;
    struct source_restored *all = (void *)s->restored.data;
    size_t matching = 0;
    for (size_t i = 0; i < count(s); i++)
        matching += memcmp(all[i].claim.instance, instance, 16) == 0;
    if (matching == 0)
        return 0;
    struct segment_skip *skip = segment->all_skips = calloc(matching, sizeof(*skip));
    if (!skip)
        return -ENOMEM;
    for (size_t i = count(s); i > 0; i--) {
        struct source_restored *restored = &all[i - 1];
        if (memcmp(restored->claim.instance, instance, 16) != 0)
            continue;
        if (is_held_twice(s, segment, restored)) {
            *skip = skip_of(restored);
            segment_add_skip(segment, restored->claim.slot, skip++);
        } else {
            spool_claim_committed(restored->record);
        }
        forget(s, restored);
    }
    return 0;
}

/* Neighbours are mostly of the same segment: the last answer is kept. */
static bool is_still_present(const struct source *s, const uint8_t instance[16], struct source_presence *last)
{
    if (!last->known || memcmp(instance, last->instance, 16) != 0)
        last->present = segments_awaited(&s->segments, instance);
    memcpy(last->instance, instance, 16);
    last->known = true;
    return last->present;
}

void source_restore_forget_gone(struct source *s)
{
    struct source_restored *all = (void *)s->restored.data;
    struct source_presence last = {.known = false};
    for (size_t i = count(s); i > 0; i--) {
        if (is_still_present(s, all[i - 1].claim.instance, &last))
            continue;
        spool_claim_committed(all[i - 1].record);
        forget(s, &all[i - 1]);
    }
}

/* ---- while reading ---- */

void source_restore_drop(struct source *s, struct segment_slot *slot)
{
    for (; slot->skips; slot->skips = slot->skips->next)
        if (s->env.phase < SOURCE_CLOSES)
            spool_claim_committed(slot->skips->record);
}

/* A claim as if this daemon had read and spooled it. -> 0; -ENOMEM; or as shmring_reader_skip */
static int pass_over(struct source *s, struct segment *segment, uint32_t slot, const struct segment_skip *skip)
{
    struct batch_limits none = {0};
    struct batch *batch;
    int err = batch_open(s->env.pool, &none, 0, &batch);
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

bool source_restore_skip(struct source *s, struct segment *segment, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(segment->reader, slot);
    for (struct segment_skip *skip; (skip = segment->slots[slot].skips);) {
        if ((int64_t)(status->read - skip->begin) < 0)
            return true;
        int err = pass_over(s, segment, slot, skip);
        if (err == -ENOMEM || err == -EBADMSG)
            return err == -EBADMSG;
        if (err) {
            log_cause(s->env.log, LOG_ERROR, "spool_claim",
                      "segment %s slot %" PRIu32 ": bytes %" PRIu64 " to %" PRIu64
                      " cannot be in the spool, as it says; their spans may arrive twice",
                      segment->name, slot, skip->begin, skip->end);
            spool_claim_committed(skip->record);
        }
        segment->slots[slot].skips = skip->next;
    }
    return true;
}

void source_restore_free(struct source *s)
{
    buf_done(&s->restored);
}
