/* SPDX-License-Identifier: MIT */
#include "totals.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "shmring.h"

#define TOTALS_MAGIC     "aistraced totals 1"
#define TOTALS_TEMPORARY TOTALS_FILE ".new"
enum { TOTALS_FILE_MAX = 1 << 20 };

/* One line per figure: "name value". Reasons are kept by name, so that the file survives a new reason. */
struct field {
    const char *group;
    const char *name;
    uint64_t *value;
};
enum { FIELDS_MAX = 6 + 2 * DROP_REASONS + PRODUCER_REASONS };

static size_t fields_of(struct totals *totals, struct field *fields)
{
    size_t n = 0;
    fields[n++] = (struct field){"", "exported", &totals->outcome.exported};
    fields[n++] = (struct field){"", "sampled_out", &totals->outcome.sampled_out};
    fields[n++] = (struct field){"", "rejected", &totals->outcome.rejected};
    fields[n++] = (struct field){"", "spooled", &totals->outcome.spooled};
    for (unsigned i = 0; i < DROP_REASONS; i++)
        fields[n++] = (struct field){"dropped.", drop_reason_name((enum drop_reason)i), &totals->outcome.dropped[i]};
    fields[n++] = (struct field){"spool.", "exported", &totals->spool.exported};
    fields[n++] = (struct field){"spool.", "rejected", &totals->spool.rejected};
    for (unsigned i = 0; i < DROP_REASONS; i++)
        fields[n++] =
            (struct field){"spool.dropped.", drop_reason_name((enum drop_reason)i), &totals->spool.dropped[i]};
    for (unsigned i = 0; i < PRODUCER_REASONS; i++)
        if (producer_drop_name(i))
            fields[n++] = (struct field){"producer_dropped.", producer_drop_name(i), &totals->producer_dropped[i]};
    return n;
}

bool totals_noted(const struct totals *totals, const char *instance)
{
    for (size_t i = 0; i < totals->noted_count; i++)
        if (strcmp(totals->noted[i], instance) == 0)
            return true;
    return false;
}

static int add_noted(struct totals *totals, const char *instance)
{
    if (strlen(instance) != SHMRING_INSTANCE_HEX)
        return -EINVAL;
    void *grown = realloc(totals->noted, (totals->noted_count + 1) * sizeof(*totals->noted));
    if (!grown)
        return -ENOMEM;
    totals->noted = grown;
    memcpy(totals->noted[totals->noted_count++], instance, SHMRING_INSTANCE_HEX + 1);
    return 0;
}

static int add_retired(struct totals *totals, uint64_t id)
{
    void *grown = realloc(totals->retired, (totals->retired_count + 1) * sizeof(*totals->retired));
    if (!grown)
        return -ENOMEM;
    totals->retired = grown;
    totals->retired[totals->retired_count++] = id;
    return 0;
}

static int parse_retired(struct totals *totals, const char *text)
{
    char *end;
    errno = 0;
    uint64_t id = strtoull(text, &end, 16);
    return errno || end == text || *end ? -EBADMSG : add_retired(totals, id);
}

static int parse_line(struct totals *totals, char *line)
{
    char *space = strchr(line, ' ');
    if (!space)
        return -EBADMSG;
    *space = '\0';
    if (strcmp(line, "noted") == 0)
        return add_noted(totals, space + 1) == -ENOMEM ? -ENOMEM : 0;
    if (strcmp(line, "retired") == 0)
        return parse_retired(totals, space + 1);
    struct field fields[FIELDS_MAX];
    size_t n = fields_of(totals, fields);
    for (size_t i = 0; i < n; i++) {
        size_t group = strlen(fields[i].group);
        if (strncmp(line, fields[i].group, group) != 0 || strcmp(line + group, fields[i].name) != 0)
            continue;
        char *end;
        errno = 0;
        *fields[i].value = strtoull(space + 1, &end, 10);
        return errno || end == space + 1 || *end ? -EBADMSG : 0;
    }
    return 0;
}

static int parse_lines(struct totals *totals, char *text)
{
    char *save;
    char *line = strtok_r(text, "\n", &save);
    if (!line || strcmp(line, TOTALS_MAGIC) != 0)
        return -EBADMSG;
    bool complete = false;
    for (int err; (line = strtok_r(NULL, "\n", &save));) {
        complete = strcmp(line, "end") == 0;
        if (!complete && (err = parse_line(totals, line)))
            return err;
    }
    return complete ? 0 : -EBADMSG;
}

int totals_parse(struct buf *text, struct totals *out)
{
    *out = (struct totals){0};
    int err = buf_append(text, "", 1);
    if (!err)
        err = parse_lines(out, (char *)text->data);
    if (err)
        totals_done(out);
    return err;
}

static void forget_unlinked(struct totals *totals, int dir_fd)
{
    for (size_t i = totals->noted_count; i > 0; i--) {
        char name[SHMRING_NAME_BYTES];
        snprintf(name, sizeof(name), "%s%s", totals->noted[i - 1], SHMRING_SUFFIX);
        if (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
            totals_unlinked(totals, totals->noted[i - 1]);
    }
}

/* In a directory that producers of other users share, one of them may have put a file of his own in the place of the
 * daemon's. */
static int open_file(int dir_fd)
{
    struct stat st;
    int fd = openat(dir_fd, TOTALS_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        int err = -errno;
        return fstatat(dir_fd, TOTALS_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 && !shmring_is_ours(st.st_uid) ? -EBADMSG
                                                                                                          : err;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && shmring_is_ours(st.st_uid))
        return fd;
    close(fd);
    return -EBADMSG;
}

int totals_load(int dir_fd, struct totals *out)
{
    *out = (struct totals){0};
    int fd = open_file(dir_fd);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    struct buf text = {0};
    int err = file_read_all(fd, TOTALS_FILE_MAX, &text);
    close(fd);
    if (!err)
        err = totals_parse(&text, out);
    buf_done(&text);
    if (err)
        return err == -EFBIG ? -EBADMSG : err;
    forget_unlinked(out, dir_fd);
    return 0;
}

void totals_done(struct totals *totals)
{
    free(totals->noted);
    free(totals->retired);
    *totals = (struct totals){0};
}

int totals_render(struct totals *totals, struct buf *out)
{
    struct field fields[FIELDS_MAX];
    size_t n = fields_of(totals, fields);
    int err = buf_printf(out, "%s\n", TOTALS_MAGIC);
    for (size_t i = 0; !err && i < n; i++)
        err = buf_printf(out, "%s%s %" PRIu64 "\n", fields[i].group, fields[i].name, *fields[i].value);
    for (size_t i = 0; !err && i < totals->noted_count; i++)
        err = buf_printf(out, "noted %s\n", totals->noted[i]);
    for (size_t i = 0; !err && i < totals->retired_count; i++)
        err = buf_printf(out, "retired %" PRIx64 "\n", totals->retired[i]);
    return err ? err : buf_printf(out, "end\n");
}

static int save(struct totals *totals, int dir_fd)
{
    struct buf text = {0};
    int err = totals_render(totals, &text);
    if (err)
        goto done;
    if (unlinkat(dir_fd, TOTALS_TEMPORARY, 0) != 0 && errno != ENOENT) {
        err = -errno;
        goto done;
    }
    int fd = openat(dir_fd, TOTALS_TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        err = -errno;
        goto done;
    }
    err = file_write_all(fd, text.data, text.len);
    if (close(fd) != 0 && !err)
        err = -errno;
    if (!err && renameat(dir_fd, TOTALS_TEMPORARY, dir_fd, TOTALS_FILE) != 0)
        err = -errno;
    if (err)
        unlinkat(dir_fd, TOTALS_TEMPORARY, 0);
done:
    buf_done(&text);
    return err;
}

int totals_note(struct totals *totals, int dir_fd, const char *instance)
{
    bool known = totals_noted(totals, instance);
    int err = known ? 0 : add_noted(totals, instance);
    if (err)
        return err;
    err = save(totals, dir_fd);
    if (err && !known) /* its figures are not in the file: the instance must not get there with the next segment's */
        totals->noted_count--;
    return err;
}

int totals_retire(struct totals *totals, int dir_fd, uint64_t id, const struct shmring_counts *outcome)
{
    int err = add_retired(totals, id);
    if (err)
        return err;
    struct shmring_counts before = totals->spool;
    outcome_add(&totals->spool, outcome);
    err = save(totals, dir_fd);
    if (err) {
        totals->spool = before;
        totals_forget_retired(totals, id);
    }
    return err;
}

bool totals_retired(struct totals *totals, uint64_t id)
{
    uint64_t *ids = totals->retired;
    for (size_t i = 0; i < totals->retired_count; i++) {
        if (ids[i] != id)
            continue;
        if (i >= totals->retired_asked) {
            ids[i] = ids[totals->retired_asked];
            ids[totals->retired_asked++] = id;
        }
        return true;
    }
    return false;
}

void totals_keep_retired(struct totals *totals)
{
    totals->retired_count = totals->retired_asked;
}

void totals_forget_retired(struct totals *totals, uint64_t id)
{
    size_t kept = 0, asked = 0;
    for (size_t i = 0; i < totals->retired_count; i++) {
        if (totals->retired[i] == id)
            continue;
        asked += i < totals->retired_asked;
        totals->retired[kept++] = totals->retired[i];
    }
    totals->retired_count = kept;
    totals->retired_asked = asked;
}

void totals_unlinked(struct totals *totals, const char *instance)
{
    for (size_t i = 0; i < totals->noted_count; i++) {
        if (strcmp(totals->noted[i], instance) != 0)
            continue;
        size_t rest = totals->noted_count - i - 1;
        memmove(totals->noted[i], totals->noted[i + 1], rest * sizeof(*totals->noted));
        totals->noted_count--;
        return;
    }
}
