/* SPDX-License-Identifier: MIT
 *
 * The lock that keeps a ring directory for one consumer.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmring.h"

static const char lock_name[] = "aistraced.lock";

static int open_lock(int dir_fd)
{
    int fd = openat(dir_fd, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    struct stat st;
    int err = fd < 0 || fstat(fd, &st) < 0 ? -errno : !shmring_is_ours(st.st_uid) ? -EPERM : 0;
    if (!err)
        return fd;
    if (fd >= 0)
        close(fd);
    return err;
}

int shmring_dir_lock(int dir_fd)
{
    int fd = open_lock(dir_fd);
    struct stat st;
    if (fd < 0 && fstatat(dir_fd, lock_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !shmring_is_ours(st.st_uid) &&
        unlinkat(dir_fd, lock_name, 0) == 0)
        fd = open_lock(dir_fd);
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}
