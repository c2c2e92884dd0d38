/* SPDX-License-Identifier: MIT
 *
 * The calls of the spool: records change their state, files are retired, and the spool ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spool_state.h"

enum { RETIRE_AFTER_MS = 1000 }; /* the current file is retired only when it has had no new record for so long */

/* ---- records ---- */

struct spool_record *spool_take(struct spool *s)
{
    for (struct spool_file *file = s->files; file; file = file->next) {
        while (file->first && file->first->state == SPOOL_RECORD_SETTLED)
            file->first = file->first->next;
        for (struct spool_record *record = file->first; record; record = record->next) {
            if (record->state != SPOOL_RECORD_PENDING)
                continue;
            record->state = SPOOL_RECORD_OUT;
            return record;
        }
    }
    return NULL;
}

void spool_hold(struct spool_record *record)
{
    record->state = SPOOL_RECORD_OUT;
}

void spool_return(struct spool_record *record)
{
    if (record->state != SPOOL_RECORD_SETTLED)
        record->state = SPOOL_RECORD_PENDING;
}

static void settle(struct spool *s, struct spool_record *record, struct spool_note *note)
{
    struct spool_file *file = record->file;
    record->state = SPOOL_RECORD_SETTLED;
    file->unsettled--;
    file->unsettled_spans -= record->spans;
    file->unsettled_bytes -= record->request_bytes;
    spool_count_note(&file->settled, note);
    spool_job_note(s, record, note);
}

void spool_settle(struct spool *s, struct spool_record *record, const struct batch_outcome *outcome)
{
    struct spool_note note = {0};
    if (record->state == SPOOL_RECORD_SETTLED)
        return;
    if (outcome->exported) {
        note.rejected = outcome->rejected < record->spans ? (uint32_t)outcome->rejected : record->spans;
        note.exported = record->spans - note.rejected;
    } else {
        note.dropped = record->spans;
        note.reason = outcome->reason;
    }
    settle(s, record, &note);
}

void spool_disown(struct spool *s, struct spool_record *record)
{
    if (record->state == SPOOL_RECORD_SETTLED)
        return;
    record->disowned = true;
    settle(s, record, &(struct spool_note){0});
}

void spool_claim_committed(struct spool_record *record)
{
    if (--record->claims == 0)
        record->file->claimed--;
}

uint32_t spool_record_spans(const struct spool_record *record)
{
    return record->spans;
}

/* ---- writing ---- */

static struct spool_claim copy_of(const struct claim *claim)
{
    struct spool_claim copy = {.begin = claim->begin,
                               .end = claim->end,
                               .spans = (uint32_t)claim->spans,
                               .sampled_out = (uint32_t)claim->outcome.sampled_out};
    if (claim->queue && claim->queue->instance) {
        memcpy(copy.instance, claim->queue->instance, sizeof(copy.instance));
        copy.slot = claim->queue->slot;
    }
    for (unsigned i = 0; i < DROP_REASONS; i++)
        copy.dropped[i] = (uint32_t)claim->outcome.dropped[i];
    return copy;
}
static_assert((int)DROP_REASONS <= (int)SPOOL_REASONS, "every reason has its place in a claim");

static struct spool_queued *write_new(struct batch *batch, size_t claim_count)
{
    struct spool_queued *write = calloc(1, sizeof(*write));
    if (!write)
        return NULL;
    write->record = calloc(1, sizeof(*write->record));
    if (!write->record || buf_reserve(&write->claims, claim_count * sizeof(struct spool_claim)) != 0) {
        spool_queued_free(write);
        return NULL;
    }
    for (const struct claim *claim = batch_claims(batch); claim; claim = claim->batch_next) {
        struct spool_claim copy = copy_of(claim);
        buf_append(&write->claims, &copy, sizeof(copy));
    }
    write->batch = batch;
    write->record->request_bytes = (uint32_t)batch_bytes(batch);
    write->record->spans = (uint32_t)batch_span_count(batch);
    write->record->claims = 1; /* stands for all of the batch's claims, which are committed together */
    return write;
}

int spool_write(struct spool *s, struct batch *batch)
{
    size_t claim_count = 0;
    for (const struct claim *claim = batch_claims(batch); claim; claim = claim->batch_next)
        claim_count++;
    uint64_t bytes = spool_record_bytes(claim_count, batch_bytes(batch));
    if (uv_now(s->loop) < s->retry_ms || s->queue_bytes >= SPOOL_GROUP_BYTES)
        return -EAGAIN;
    if (bytes > s->new_file_bytes - SPOOL_FIRST)
        return -E2BIG;
    if (!spool_files_have_room(s, bytes))
        return -ENOSPC;
    struct spool_queued *write = write_new(batch, claim_count);
    if (!write)
        return -ENOMEM;
    *s->queue_end = write;
    s->queue_end = &write->next;
    s->queue_bytes += write->record->request_bytes;
    spool_wake(s);
    return 0;
}

bool spool_unwrite(struct spool *s, struct batch *batch)
{
    for (struct spool_queued **at = &s->queue, *write; (write = *at); at = &write->next) {
        if (write->batch != batch)
            continue;
        *at = write->next;
        if (!*at)
            s->queue_end = at;
        s->queue_bytes -= write->record->request_bytes;
        write->next = NULL;
        spool_queued_free(write);
        return true;
    }
    return false;
}

/* ---- upkeep and figures ---- */

static bool is_settled(const struct spool *s, const struct spool_file *file)
{
    if (file->users > 0 || file->unsettled > 0 || file->claimed > 0)
        return false;
    return file != s->current || (file->records && uv_now(s->loop) - file->written_ms >= RETIRE_AFTER_MS);
}

/* The id is noted before the file goes: if a start finds the file again, it counts as empty. */
static bool has_id_to_note(const struct spool_file *file)
{
    return file->records || file->doubtful;
}

void spool_tidy(struct spool *s)
{
    if (s->removals && uv_now(s->loop) >= s->removal_retry_ms)
        spool_wake(s);
    for (struct spool_file *file = s->files, *next; file; file = next) {
        next = file->next;
        if (!is_settled(s, file) || (has_id_to_note(file) && uv_now(s->loop) < s->retire_retry_ms))
            continue;
        int err = has_id_to_note(file) ? s->callbacks->retire_cb(s->user, file->id, &file->settled) : 0;
        if (err) {
            s->retire_retry_ms = uv_now(s->loop) + SPOOL_RETRY_MS;
            continue;
        }
        if (has_id_to_note(file))
            file->former_id = file->id;
        spool_files_unlink(s, file);
        spool_files_rest(s, file);
    }
}

void spool_figures(const struct spool *s, struct spool_figures *out)
{
    *out = (struct spool_figures){.file_bytes = s->all_bytes, .max_bytes = s->max_bytes, .damaged = s->damaged};
    for (const struct spool_file *file = s->files; file; file = file->next) {
        out->spans += file->unsettled_spans;
        out->bytes += file->unsettled_bytes;
        outcome_add(&out->settled, &file->settled);
    }
}

/* ---- the end ---- */

/* Removes the files that are settled. Their ids stay noted until the next start, which finds no such files. */
static void remove_files(struct spool *s)
{
    for (struct spool_file *file = s->files, *next; file; file = next) {
        next = file->next;
        if (file->users > 0 || file->unsettled > 0 || file->claimed > 0 ||
            (has_id_to_note(file) && s->callbacks->retire_cb(s->user, file->id, &file->settled) != 0))
            continue;
        spool_files_unlink(s, file);
        file->next = s->removals;
        s->removals = file;
    }
    for (struct spool_file *file = s->removals; file; file = file->next)
        unlinkat(s->dir_fd, file->name, 0);
    if (s->spare)
        unlinkat(s->dir_fd, s->spare->name, 0);
    if (s->transient && !s->files)
        rmdir(s->path);
}

static void free_files(struct spool_file *files)
{
    for (struct spool_file *file; (file = files);) {
        files = file->next;
        spool_files_free(file);
    }
}

static void free_spool(struct spool *s)
{
    free_files(s->files);
    free_files(s->removals);
    spool_files_free(s->spare);
    spool_queued_free(s->queue);
    buf_done(&s->notes);
    buf_done(&s->job.notes);
    buf_done(&s->read.request);
    spool_files_lost(s);
    free(s->path);
    free(s);
}

static void on_turn_closed(uv_handle_t *handle)
{
    struct spool *s = handle->data;
    struct ending ending = s->ending;
    free_spool(s);
    ending_tell(&ending);
}

/* Nothing runs any more. */
static void finish(struct spool *s)
{
    if (s->opened) {
        spool_job_write_notes(&s->notes);
        for (size_t i = 0; i < s->notes.len / sizeof(struct spool_due_note); i++)
            ((struct spool_due_note *)s->notes.data)[i].file->users--;
        s->notes.len = 0;
        remove_files(s);
    }
    uv_close((uv_handle_t *)&s->turn, on_turn_closed);
}

void spool_on_turn(uv_idle_t *idle)
{
    struct spool *s = idle->data;
    uv_idle_stop(idle);
    if (s->job.running)
        return;
    if (!s->ending.begun)
        spool_job_start(s);
    else if (!s->read.running)
        finish(s);
}

void spool_close(struct spool *s, void (*closed_cb)(void *user), void *user)
{
    ending_begin(&s->ending, closed_cb, user);
    spool_wake(s);
}
