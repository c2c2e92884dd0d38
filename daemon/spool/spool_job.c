/* SPDX-License-Identifier: MIT
 *
 * Writing: a job is made up on the loop's thread, done on a worker, and its results are told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "shmring.h"
#include "spool_io.h"
#include "spool_state.h"

void spool_queued_free(struct spool_queued *writes)
{
    for (struct spool_queued *write; (write = writes);) {
        writes = write->next;
        buf_done(&write->claims);
        buf_done(&write->lead);
        free(write->record);
        free(write);
    }
}

void spool_job_note(struct spool *s, const struct spool_record *record, struct spool_note *note)
{
    struct spool_due_note due = {record->file, record->offset, *note};
    spool_encode_note(&due.note, record->file->id, record->offset);
    if (buf_append(&s->notes, &due, sizeof(due)) == 0) /* else the record is sent again if the daemon dies */
        record->file->users++;
    spool_wake(s);
}

/* ---- on a worker ---- */

int spool_job_write_notes(const struct buf *notes)
{
    int err = 0;
    const struct spool_due_note *due = (const void *)notes->data;
    for (size_t i = 0; i < notes->len / sizeof(*due); i++) {
        uint64_t at = due[i].offset + sizeof(struct spool_head);
        int failed = spool_io_write(due[i].file->fd, at, &due[i].note, sizeof(due[i].note));
        err = err ? err : failed;
    }
    return err;
}

static int begin_file(const struct spool_job *job, struct spool_file *file)
{
    if (file->fd >= 0 && !spool_io_has_name(file->fd))
        return -ENOENT;
    if (file->begun)
        return 0;
    if (file->fd < 0) {
        int fd = spool_io_create(job->dir_fd, file->name, file->bytes);
        if (fd < 0)
            return fd;
        file->fd = fd;
        if (job->sync && fsync(job->dir_fd) != 0)
            return -errno;
    }
    int err = spool_io_begin(file->fd, file->sequence, file->id);
    file->begun = !err;
    return err;
}

static int write_record(const struct spool_job *job, struct spool_queued *write)
{
    struct spool_record *record = write->record;
    size_t count;
    const struct iovec *parts = batch_parts(write->batch, &count);
    int err = record->file->err ? record->file->err : begin_file(job, record->file);
    if (err)
        return err;
    record->request_crc = 0;
    for (size_t i = 0; i < count; i++)
        record->request_crc = shmring_crc32c(record->request_crc, parts[i].iov_base, parts[i].iov_len);
    spool_seal_record(write->lead.data, record->request_crc);
    err = spool_io_write_parts(record->file->fd, record->request_offset, parts, count);
    /* The head last: without it there is no record. */
    return err ? err : spool_io_write(record->file->fd, record->offset, write->lead.data, write->lead.len);
}

/* A record that was reported as failed may still be complete in the file. It must not be found there, because its spans
 * stay in their rings. */
static void revoke_record(const struct spool_record *record)
{
    static const uint8_t nothing[sizeof(struct spool_head)];
    struct spool_file *file = record->file;
    if (file->fd >= 0 && file->begun && spool_io_write(file->fd, record->offset, nothing, sizeof(nothing)) != 0)
        file->doubtful = true;
}

/* The writes of one file follow each other in the group: each file is synced once, after its last write. */
static void sync_records(struct spool_queued *first)
{
    for (struct spool_queued *write = first, *of_file = first; write; write = write->next) {
        if (write->next && write->next->record->file == write->record->file)
            continue;
        int err = write->record->file->fd >= 0 && fdatasync(write->record->file->fd) != 0 ? -errno : 0;
        if (err)
            write->record->file->err = err;
        for (; of_file != write->next; of_file = of_file->next)
            of_file->err = of_file->err ? of_file->err : err;
    }
}

static void remove_files(const struct spool_job *job)
{
    for (struct spool_file *file = job->removals; file; file = file->next)
        file->stuck = spool_io_remove(job->dir_fd, file->name, &file->fd) != 0;
}

static void do_job(uv_work_t *work)
{
    struct spool_job *job = &((struct spool *)work->data)->job;
    for (struct spool_queued *write = job->writes; write; write = write->next) {
        write->err = write_record(job, write);
        write->record->file->err = write->err;
    }
    if (job->sync)
        sync_records(job->writes);
    for (struct spool_queued *write = job->writes; write; write = write->next)
        if (write->err)
            revoke_record(write->record);
    job->note_err = spool_job_write_notes(&job->notes);
    remove_files(job);
}

/* ---- on the loop's thread ---- */

/* What to do about an error of a spool that is in use. */
static const char *remedy(int err)
{
    static const struct {
        int err;
        const char *text;
    } remedies[] = {
        {-ENOSPC, "free some space, or lower aistraced.spool.max_bytes"},
        {-EDQUOT, "raise the quota, or lower aistraced.spool.max_bytes"},
        {-ENOENT, "the directory, or a file in it, was removed; it is made again where that is possible"},
        {-EMFILE, "raise the limit of open files (LimitNOFILE)"},
        {-EFBIG, "raise the limit of a file's size (LimitFSIZE)"},
        {-EIO, "look at the disk"},
    };
    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (remedies[i].err == err)
            return remedies[i].text;
    }
    const char *text = file_explain_directory(err);
    return text ? text : "see the directory's file system";
}

static void trouble(struct spool *s, int err)
{
    s->retry_ms = uv_now(s->loop) + SPOOL_RETRY_MS;
    log_cause(s->log, LOG_ERROR, "spool",
              "cannot write to the spool %s: %s: %s; spans wait in their rings, trying again", s->path, strerror(-err),
              remedy(err));
    if (err == -ENOENT)
        spool_files_lost(s);
}

/* The batch goes back to its owner, safe or not. */
static void deliver(struct spool *s, struct spool_queued *write)
{
    struct batch *batch = write->batch;
    struct spool_record *record = write->err ? NULL : write->record;
    int err = write->err;
    if (record) {
        write->record = NULL;
        record->file->written_ms = uv_now(s->loop);
        spool_add_record(record->file, record);
    }
    write->next = NULL;
    spool_queued_free(write);
    s->callbacks->written_cb(s->user, batch, record, err);
}

static void release_file(struct spool *s, struct spool_file *file)
{
    file->users--;
    file->failed = file->err;
    if (file->failed && s->current == file)
        s->current = NULL;
    if (!file->begun || file->former_id == 0)
        return;
    s->callbacks->forget_cb(s->user, file->former_id);
    file->former_id = 0;
}

static void writes_done(struct spool *s, struct spool_queued *writes)
{
    for (struct spool_queued *write; (write = writes);) {
        writes = write->next;
        release_file(s, write->record->file);
        if (write->err)
            trouble(s, write->err);
        deliver(s, write);
    }
}

static void notes_done(struct spool *s)
{
    const struct spool_due_note *due = (const void *)s->job.notes.data;
    for (size_t i = 0; i < s->job.notes.len / sizeof(*due); i++)
        due[i].file->users--;
    s->job.notes.len = 0;
    if (s->job.note_err)
        log_cause(s->log, LOG_ERROR, "spool_note",
                  "cannot note in the spool %s what was sent: %s; after a crash it would be sent again", s->path,
                  strerror(-s->job.note_err));
}

/* The id of a file that is still there stays noted. */
static void removals_done(struct spool *s)
{
    for (struct spool_file *file; (file = s->job.removals);) {
        s->job.removals = file->next;
        if (file->stuck) {
            file->next = s->removals;
            s->removals = file;
            s->removal_retry_ms = uv_now(s->loop) + SPOOL_RETRY_MS;
            continue;
        }
        s->all_bytes -= file->bytes;
        if (file->former_id != 0)
            s->callbacks->forget_cb(s->user, file->former_id);
        spool_files_free(file);
    }
}

static void on_done(uv_work_t *work, int status)
{
    struct spool *s = work->data;
    struct spool_queued *writes = s->job.writes;
    (void)status;
    s->job.running = false;
    s->job.writes = NULL;
    notes_done(s);
    removals_done(s);
    writes_done(s, writes);
    spool_wake(s);
}

/* Gives the write its place. -> 0 or -errno */
static int place(struct spool *s, struct spool_queued *write)
{
    struct spool_record *record = write->record;
    size_t claim_count = write->claims.len / sizeof(struct spool_claim);
    uint64_t bytes = spool_record_bytes(claim_count, record->request_bytes);
    int err = spool_files_directory(s, true);
    if (err) {
        trouble(s, err);
        return err;
    }
    err = spool_files_place(s, bytes, &record->file, &record->offset);
    if (err)
        return err;
    struct spool_head head = {.file_id = record->file->id,
                              .offset = record->offset,
                              .claim_count = (uint32_t)claim_count,
                              .span_count = record->spans,
                              .request_bytes = record->request_bytes};
    record->request_offset = spool_request_offset(&head);
    err = spool_encode_record(&write->lead, &head, (const void *)write->claims.data);
    if (!err)
        record->file->users++;
    return err;
}

static void gather(struct spool *s)
{
    struct spool_queued **end = &s->job.writes;
    uint64_t bytes = 0;
    for (struct spool_queued *write; bytes < SPOOL_GROUP_BYTES && (write = s->queue);) {
        s->queue = write->next;
        if (!s->queue)
            s->queue_end = &s->queue;
        s->queue_bytes -= write->record->request_bytes;
        write->next = NULL;
        write->err = place(s, write);
        if (write->err) {
            deliver(s, write);
            continue;
        }
        bytes += write->record->request_bytes;
        *end = write;
        end = &write->next;
    }
}

void spool_job_start(struct spool *s)
{
    struct spool_job *job = &s->job;
    gather(s);
    struct buf swap = job->notes;
    job->notes = s->notes;
    s->notes = swap;
    if (uv_now(s->loop) >= s->removal_retry_ms) {
        job->removals = s->removals;
        s->removals = NULL;
    }
    if (!job->writes && !job->notes.len && !job->removals)
        return;
    job->dir_fd = s->dir_fd;
    job->sync = s->sync;
    job->work.data = s;
    job->running = uv_queue_work(s->loop, &job->work, do_job, on_done) == 0;
}
