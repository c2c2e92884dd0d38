/* SPDX-License-Identifier: MIT
 *
 * Opening: which files and records a former daemon left.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spool_io.h"
#include "spool_state.h"

#define MIB (1024ull * 1024)
enum {
    FILES = 8,                /* of equal size, together max_bytes */
    FILES_MAX = 256,          /* at most, since each needs a descriptor; more only when files would be over a GiB */
    CLAIMS_BYTES = 128 << 10, /* of a usual record at most */
};

static uint64_t within(uint64_t least, uint64_t bytes, uint64_t most)
{
    return bytes < least ? least : bytes > most ? most : bytes;
}

static uint64_t usual_file_bytes(uint64_t max_bytes)
{
    return within(within(MIB, max_bytes / FILES, 64 * MIB), max_bytes / FILES_MAX, 1024 * MIB);
}

static uint64_t file_bytes_of(const struct spool_options *options)
{
    uint64_t bytes = options->file_bytes ? options->file_bytes : usual_file_bytes(options->max_bytes);
    if (options->request_max_bytes && bytes < options->request_max_bytes + SPOOL_FIRST + CLAIMS_BYTES)
        bytes = options->request_max_bytes + SPOOL_FIRST + CLAIMS_BYTES;
    bytes = bytes < options->max_bytes ? bytes : options->max_bytes;
    bytes &= ~(uint64_t)(SPOOL_FIRST - 1);
    return bytes > SPOOL_FIRST ? bytes : SPOOL_FIRST;
}

/* ---- one file ---- */

static int read_cb(void *user, uint64_t offset, void *to, size_t bytes)
{
    return spool_io_read(((const struct spool_file *)user)->fd, offset, to, bytes);
}

static int take_record(struct spool *s, struct spool_file *file, const struct spool_found *found)
{
    const struct spool_head *head = &found->head;
    struct spool_record *record = calloc(1, sizeof(*record));
    if (!record)
        return -ENOMEM;
    bool settled = found->note.settled != 0;
    *record = (struct spool_record){.file = file,
                                    .offset = head->offset,
                                    .request_offset = spool_request_offset(head),
                                    .request_bytes = head->request_bytes,
                                    .request_crc = head->request_crc,
                                    .spans = head->span_count,
                                    .state = settled ? SPOOL_RECORD_SETTLED : SPOOL_RECORD_PENDING};
    record->disowned = settled && found->note.exported + found->note.rejected + found->note.dropped == 0;
    for (uint32_t i = 0; i < head->claim_count; i++) {
        int kept = s->callbacks->claim_cb(s->user, record, &found->claims[i]);
        if (kept < 0) {
            free(record);
            return kept;
        }
        record->claims += (uint32_t)kept;
    }
    if (settled)
        spool_count_note(&file->settled, &found->note);
    spool_add_record(file, record);
    return 0;
}

static int take_records(struct spool *s, struct spool_file *file)
{
    struct spool_input input = {read_cb, file, file->bytes, file->id};
    struct spool_found found;
    struct buf claims = {0};
    uint64_t offset = SPOOL_FIRST;
    int err = 0;
    while (!err && (err = spool_find_record(&input, &offset, &claims, &found)) == 1) {
        if (found.after_gap) {
            s->damaged++;
            log_cause(s->log, LOG_ERROR, "spool_damaged",
                      "%s/%s is damaged before byte %" PRIu64 "; what was there is counted as lost", s->path,
                      file->name, found.head.offset);
        }
        err = take_record(s, file, &found);
    }
    buf_done(&claims);
    if (err && err != -ENOMEM) {
        s->damaged++;
        log_line(s->log, LOG_ERROR,
                 "%s/%s cannot be read behind byte %" PRIu64 ": %s; what is there is counted as lost", s->path,
                 file->name, offset, strerror(-err));
    }
    if (!err)
        file->end = offset;
    return err;
}

/* A file that was created, but has no head yet: the daemon died in between. */
static bool is_blank(const uint8_t page[SPOOL_FIRST])
{
    for (size_t i = 0; i < SPOOL_FIRST; i++)
        if (page[i])
            return false;
    return true;
}

static void set_aside(struct spool *s, struct spool_file *file, int err)
{
    struct stat former;
    s->damaged++;
    log_line(s->log, LOG_ERROR,
             "%s/%s is not a valid spool file (%s); renamed to \"%s\", what it held is counted as lost", s->path,
             file->name, strerror(-err), SPOOL_SET_ASIDE);
    if (fstatat(s->dir_fd, SPOOL_SET_ASIDE, &former, AT_SYMLINK_NOFOLLOW) == 0)
        s->all_bytes -= (uint64_t)former.st_size < s->all_bytes ? (uint64_t)former.st_size : s->all_bytes;
    if (renameat(s->dir_fd, file->name, s->dir_fd, SPOOL_SET_ASIDE) != 0)
        log_line(s->log, LOG_ERROR, "cannot rename %s/%s: %s", s->path, file->name, strerror(errno));
    spool_files_free(file); /* its bytes stay counted */
}

static int take_file(struct spool *s, struct spool_file *file)
{
    uint8_t page[SPOOL_FIRST];
    struct spool_file_head head;
    int err = spool_io_read(file->fd, 0, page, sizeof(page));
    if (!err)
        err = spool_decode_file_head(page, &head);
    if (err == -EBADMSG && is_blank(page)) {
        spool_files_rest(s, file);
        return 0;
    }
    if (err == -EPROTONOSUPPORT) {
        s->damaged++;
        log_line(s->log, LOG_ERROR,
                 "%s/%s is of another version of aistraced, and left as it is; what it holds counts as lost here",
                 s->path, file->name);
        spool_files_free(file); /* its bytes stay counted */
        return 0;
    }
    if (err) {
        set_aside(s, file, err);
        return 0;
    }
    file->id = head.id;
    file->sequence = head.sequence;
    file->begun = true;
    file->end = file->bytes;
    if (head.sequence >= s->next_sequence)
        s->next_sequence = head.sequence + 1;
    if (s->callbacks->retired_cb(s->user, head.id)) {
        file->former_id = head.id;
        spool_files_rest(s, file);
        return 0;
    }
    spool_files_insert(s, file);
    err = take_records(s, file);
    return err == -ENOMEM ? err : 0;
}

/* ---- all of them ---- */

static int open_named(struct spool *s, const char *name)
{
    uint64_t bytes;
    int fd = spool_io_open(s->dir_fd, name, &bytes);
    if (fd == -EMFILE || fd == -ENFILE)
        return fd;
    if (fd < 0) {
        log_line(s->log, LOG_ERROR, "%s/%s cannot be opened: %s; what it may hold is counted as lost", s->path, name,
                 strerror(-fd));
        s->damaged++;
        return 0;
    }
    struct spool_file *file = spool_files_new(bytes);
    if (!file) {
        close(fd);
        return -ENOMEM;
    }
    file->fd = fd;
    snprintf(file->name, sizeof(file->name), "%s", name);
    s->all_bytes += bytes;
    return take_file(s, file);
}

static bool is_ours(const char *name)
{
    size_t bytes = strlen(name), suffix = sizeof(SPOOL_SUFFIX) - 1;
    return bytes > suffix && bytes < SPOOL_NAME_BYTES && name[0] != '.' &&
           strcmp(name + bytes - suffix, SPOOL_SUFFIX) == 0;
}

static int take_files(struct spool *s)
{
    struct stat st;
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int err = -errno;
        if (fd >= 0)
            close(fd);
        return err;
    }
    int err = 0;
    if (fstatat(s->dir_fd, SPOOL_SET_ASIDE, &st, AT_SYMLINK_NOFOLLOW) == 0)
        s->all_bytes += (uint64_t)st.st_size;
    for (struct dirent *entry; !err && (entry = readdir(dir));)
        if (is_ours(entry->d_name))
            err = open_named(s, entry->d_name);
    closedir(dir);
    return err;
}

/* The last file of a former daemon takes more records: else a few restarts would use up the spool. */
static void go_on(struct spool *s)
{
    struct spool_file *last = s->files;
    while (last && last->next)
        last = last->next;
    if (last && last->bytes == s->new_file_bytes && s->all_bytes <= s->max_bytes)
        s->current = last;
}

int spool_open(uv_loop_t *loop, const struct spool_options *options, const struct spool_callbacks *callbacks,
               void *user, struct log *log, struct spool **out)
{
    struct spool *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->loop = loop;
    s->log = log;
    s->callbacks = callbacks;
    s->user = user;
    s->sync = options->sync;
    s->transient = options->transient;
    s->max_bytes = options->max_bytes;
    s->new_file_bytes = file_bytes_of(options);
    s->next_sequence = 1;
    s->dir_fd = s->lock_fd = -1;
    s->queue_end = &s->queue;
    uv_idle_init(loop, &s->turn);
    s->turn.data = s;
    s->turn_cb = spool_on_turn;
    s->path = strdup(options->path);
    int err = s->path ? spool_files_directory(s, options->create) : -ENOMEM;
    if (!err)
        err = take_files(s);
    if (err && (err != -ENOENT || options->create)) {
        spool_close(s, NULL, NULL);
        return err;
    }
    go_on(s);
    s->opened = true;
    *out = s;
    return 0;
}
