/* SPDX-License-Identifier: MIT */
#include "plain_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_open(int fd, uint8_t *to, size_t room, size_t *bytes)
{
    struct stat st;
    if (fstat(fd, &st))
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    size_t at = 0;
    while (at < room) {
        ssize_t got = read(fd, to + at, room - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
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
