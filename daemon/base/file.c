/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- read and written whole ---- */

enum { STEP_BYTES = 16 << 10 };

/* -> the bytes read, 0: the end, or -errno */
static ssize_t read_some(int fd, void *to, size_t room)
{
    ssize_t got;
    do
        got = read(fd, to, room);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static int read_open(int fd, uint8_t *to, size_t room, size_t *bytes)
{
    struct stat st;
    if (fstat(fd, &st))
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    size_t at = 0;
    ssize_t got = 1;
    while (at < room && got > 0) {
        got = read_some(fd, to + at, room - at);
        if (got < 0)
            return (int)got;
        at += (size_t)got;
    }
    *bytes = at;
    return at == room ? -EFBIG : 0;
}

int file_read(const char *path, uint8_t *to, size_t room, size_t *bytes)
{
    /* Not blocking: the path may name a pipe. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int err = read_open(fd, to, room, bytes);
    close(fd);
    return err;
}

int file_read_all(int fd, size_t max, struct buf *out)
{
    for (size_t begin = out->len; out->len - begin <= max;) {
        int err = buf_reserve(out, STEP_BYTES);
        if (err)
            return err;
        ssize_t got = read_some(fd, out->data + out->len, out->cap - out->len);
        if (got <= 0)
            return (int)got;
        out->len += (size_t)got;
    }
    return -EFBIG;
}

int file_write_all(int fd, const void *data, size_t bytes)
{
    for (const uint8_t *at = data; bytes > 0;) {
        ssize_t written = write(fd, at, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        at += written;
        bytes -= (size_t)written;
    }
    return 0;
}

/* ---- watched ---- */

static struct stat look(const char *path)
{
    struct stat now;
    if (stat(path, &now) != 0)
        memset(&now, 0, sizeof(now));
    return now;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

void file_watch_taken(struct file_watch *watch, const char *path)
{
    watch->taken = watch->seen = look(path);
}

bool file_watch_due(struct file_watch *watch, const char *path)
{
    struct stat now = look(path);
    bool settled = same(&now, &watch->seen);
    watch->seen = now;
    if (!settled || same(&now, &watch->taken) || now.st_nlink == 0)
        return false;
    watch->taken = now;
    return true;
}

/* ---- what errors mean ---- */

struct problem {
    int err;
    const char *text;
};

#define NAME_ANOTHER "; name a file that the user of aistraced can read"
static const struct problem file_problems[] = {
    {-ENOENT, "No such file or directory" NAME_ANOTHER},
    {-EACCES, "Permission denied" NAME_ANOTHER},
    {-ENOTDIR, "Not a directory" NAME_ANOTHER},
    {-ELOOP, "too many symbolic links" NAME_ANOTHER},
    {-EINVAL, "it is not a plain file" NAME_ANOTHER},
    {-ENODATA, "it is empty" NAME_ANOTHER},
    {-EFBIG, "it is too large" NAME_ANOTHER},
    {0},
};

static const struct problem directory_problems[] = {
    {-EWOULDBLOCK, "another aistraced uses it; stop that one, or give each one a directory of its own"},
    {-EPERM, "it belongs to another user; run as its owner, or name another directory"},
    {-EACCES, "no permission; run as its owner, or name another directory"},
    {-ENOTDIR, "it is not a directory; name another one"},
    {-ELOOP, "it is a symbolic link, which is not followed; name the directory itself"},
    {-ENOENT, "the directory above it does not exist; create that one, or name another directory"},
    {-ENOSPC, "its file system is full; free some space, or name another directory"},
    {-EROFS, "its file system is read-only; make it writable, or name another directory"},
    {0},
};

static const char *find(const struct problem *problem, int err)
{
    while (problem->err && problem->err != err)
        problem++;
    return problem->text;
}

const char *file_problem(int err)
{
    const char *text = find(file_problems, err);
    return text ? text : strerror(-err);
}

const char *file_explain_directory(int err)
{
    return find(directory_problems, err);
}
