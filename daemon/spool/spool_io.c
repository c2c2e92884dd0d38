/* SPDX-License-Identifier: MIT */
#include "spool_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmring.h"
#include "spool_format.h"

int spool_io_create(int dir_fd, const char *name, uint64_t bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < bytes)
        return -EFBIG; /* beyond the limit a write is a signal, which would end the daemon */
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int err;
    do
        err = posix_fallocate(fd, 0, (off_t)bytes);
    while (err == EINTR);
    if (!err)
        return fd;
    unlinkat(dir_fd, name, 0);
    close(fd);
    return -err;
}

int spool_io_open(int dir_fd, const char *name, uint64_t *bytes)
{
    struct stat st;
    int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int err = fstat(fd, &st) != 0 ? -errno : 0;
    if (!err && !S_ISREG(st.st_mode))
        err = -EINVAL;
    if (!err && !shmring_is_ours(st.st_uid))
        err = -EPERM;
    if (err) {
        close(fd);
        return err;
    }
    *bytes = (uint64_t)st.st_size;
    return fd;
}

bool spool_io_has_name(int fd)
{
    struct stat st;
    return fstat(fd, &st) != 0 || st.st_nlink > 0;
}

int spool_io_remove(int dir_fd, const char *name, int *fd)
{
    bool named = *fd < 0 || spool_io_has_name(*fd);
    if (named && unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
        return -errno;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return 0;
}

int spool_io_begin(int fd, uint64_t sequence, uint64_t id)
{
    uint8_t page[SPOOL_FIRST];
    spool_encode_file_head(page, sequence, id);
    return spool_io_write(fd, 0, page, sizeof(page));
}

int spool_io_read(int fd, uint64_t offset, void *to, size_t bytes)
{
    for (uint8_t *at = to; bytes > 0;) {
        ssize_t n = pread(fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

int spool_io_write(int fd, uint64_t offset, const void *data, size_t bytes)
{
    const struct iovec part = {(void *)data, bytes};
    return spool_io_write_parts(fd, offset, &part, 1);
}

/* One system call, for as many parts as it takes; of the first part what is behind `skip`. -> bytes written, or
 * -errno */
static ssize_t write_some(int fd, uint64_t offset, const struct iovec *parts, size_t count, size_t skip)
{
    struct iovec some[64];
    size_t n = count < 64 ? count : 64;
    memcpy(some, parts, n * sizeof(*some));
    some[0].iov_base = (uint8_t *)some[0].iov_base + skip;
    some[0].iov_len -= skip;
    ssize_t written;
    do
        written = pwritev(fd, some, (int)n, (off_t)offset);
    while (written < 0 && errno == EINTR);
    return written < 0 ? -errno : written;
}

int spool_io_write_parts(int fd, uint64_t offset, const struct iovec *parts, size_t count)
{
    for (size_t skip = 0; count > 0;) {
        if (parts->iov_len == skip) {
            parts++;
            count--;
            skip = 0;
            continue;
        }
        ssize_t n = write_some(fd, offset, parts, count, skip);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        offset += (uint64_t)n;
        for (skip += (size_t)n; count > 0 && skip >= parts->iov_len; parts++, count--)
            skip -= parts->iov_len;
    }
    return 0;
}
