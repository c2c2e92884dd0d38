/* SPDX-License-Identifier: MIT */
#include "plain_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_ANOTHER "; name a file that the user of aistraced can read"

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

int plain_file_read(const char *path, uint8_t *to, size_t room, size_t *bytes)
{
    /* Not blocking: it may be a pipe. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int err = read_open(fd, to, room, bytes);
    close(fd);
    return err;
}

const char *plain_file_problem(int err)
{
    static const struct {
        int err;
        const char *text;
    } problems[] = {
        {-ENOENT, "No such file or directory" NAME_ANOTHER},
        {-EACCES, "Permission denied" NAME_ANOTHER},
        {-ENOTDIR, "Not a directory" NAME_ANOTHER},
        {-ELOOP, "too many symbolic links" NAME_ANOTHER},
        {-EINVAL, "it is not a plain file" NAME_ANOTHER},
        {-ENODATA, "it is empty" NAME_ANOTHER},
        {-EFBIG, "it is too large" NAME_ANOTHER},
    };
    for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++) {
        if (problems[i].err == err)
            return problems[i].text;
    }
    return strerror(-err);
}

int plain_file_read_all(int fd, size_t max, struct buf *out)
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

int plain_file_write_all(int fd, const void *data, size_t bytes)
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
