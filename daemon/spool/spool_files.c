/* SPDX-License-Identifier: MIT
 *
 * The spool's directory and its files in memory: their order, their records, and where the next record goes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "shmring.h"
#include "spool_state.h"

int spool_files_directory(struct spool *s, bool create)
{
    if (s->dir_fd >= 0)
        return 0;
    if (!create && access(s->path, F_OK) != 0)
        return -errno;
    int dir_fd = shmring_dir_open(s->path, (uid_t)-1);
    if (dir_fd < 0)
        return dir_fd;
    /* The directory itself is locked, too: one daemon's transient spool may be the named spool of another. */
    bool taken = flock(dir_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    int lock_fd = taken ? -EWOULDBLOCK : s->transient ? -1 : shmring_dir_lock(dir_fd);
    if (taken || (lock_fd < 0 && !s->transient)) {
        close(dir_fd);
        return lock_fd;
    }
    s->dir_fd = dir_fd;
    s->lock_fd = lock_fd;
    return 0;
}

void spool_files_lost(struct spool *s)
{
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    s->dir_fd = s->lock_fd = -1;
}

struct spool_file *spool_files_new(uint64_t bytes)
{
    struct spool_file *file = calloc(1, sizeof(*file));
    if (!file)
        return NULL;
    file->fd = -1;
    file->bytes = bytes;
    file->records_end = &file->records;
    return file;
}

static void forget_records(struct spool_file *file)
{
    for (struct spool_record *record; (record = file->records);) {
        file->records = record->next;
        free(record);
    }
    file->records_end = &file->records;
    file->first = NULL;
    file->settled = (struct shmring_counts){0};
}

void spool_files_free(struct spool_file *file)
{
    if (!file)
        return;
    forget_records(file);
    if (file->fd >= 0)
        close(file->fd);
    free(file);
}

void spool_files_insert(struct spool *s, struct spool_file *file)
{
    struct spool_file **at = &s->files;
    while (*at && (*at)->sequence <= file->sequence)
        at = &(*at)->next;
    file->next = *at;
    *at = file;
}

void spool_files_unlink(struct spool *s, struct spool_file *file)
{
    struct spool_file **at = &s->files;
    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    if (s->current == file)
        s->current = NULL;
}

void spool_files_rest(struct spool *s, struct spool_file *file)
{
    forget_records(file);
    if (file->fd < 0) {
        s->all_bytes -= file->bytes;
        spool_files_free(file);
        return;
    }
    if (!s->spare && !file->failed && file->bytes == s->new_file_bytes && s->all_bytes <= s->max_bytes) {
        s->spare = file;
        return;
    }
    file->next = s->removals;
    s->removals = file;
    spool_wake(s);
}

/* ---- records ---- */

void spool_count_note(struct shmring_counts *outcome, const struct spool_note *note)
{
    outcome->exported += note->exported;
    outcome->rejected += note->rejected;
    if (note->reason < DROP_REASONS)
        outcome->dropped[note->reason] += note->dropped;
}

void spool_add_record(struct spool_file *file, struct spool_record *record)
{
    record->next = NULL;
    *file->records_end = record;
    file->records_end = &record->next;
    if (!file->first)
        file->first = record;
    file->claimed += record->claims > 0;
    if (record->state == SPOOL_RECORD_SETTLED)
        return;
    file->unsettled++;
    file->unsettled_spans += record->spans;
    file->unsettled_bytes += record->request_bytes;
}

/* ---- places ---- */

static bool fits(const struct spool_file *file, uint64_t bytes)
{
    return file && !file->failed && bytes <= file->bytes - file->end;
}

bool spool_files_have_room(const struct spool *s, uint64_t bytes)
{
    return fits(s->current, bytes) || s->spare || s->all_bytes + s->new_file_bytes <= s->max_bytes;
}

static struct spool_file *take_file(struct spool *s)
{
    struct spool_file *file = s->spare;
    if (file) {
        s->spare = NULL;
        return file;
    }
    if (s->all_bytes + s->new_file_bytes <= s->max_bytes && (file = spool_files_new(s->new_file_bytes)))
        s->all_bytes += file->bytes;
    return file;
}

static int next_file(struct spool *s)
{
    uint64_t id = 0;
    while (id == 0)
        if (getrandom(&id, sizeof(id), 0) != sizeof(id))
            return -EAGAIN;
    struct spool_file *file = take_file(s);
    if (!file)
        return -ENOSPC;
    if (file->fd < 0)
        snprintf(file->name, sizeof(file->name), "%016" PRIx64 SPOOL_SUFFIX, id);
    file->id = id;
    file->sequence = s->next_sequence++;
    file->end = SPOOL_FIRST;
    file->begun = false;
    spool_files_insert(s, file);
    s->current = file;
    return 0;
}

int spool_files_place(struct spool *s, uint64_t bytes, struct spool_file **file, uint64_t *offset)
{
    if (bytes > s->new_file_bytes - SPOOL_FIRST)
        return -E2BIG;
    int err = fits(s->current, bytes) ? 0 : next_file(s);
    if (err)
        return err;
    *file = s->current;
    *offset = s->current->end;
    s->current->end += bytes;
    return 0;
}
