/* SPDX-License-Identifier: MIT
 *
 * The ring directory: opened by whoever comes first, locked for one consumer.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmring.h"

bool shmring_is_ours(uid_t owner)
{
    return owner == geteuid() || owner == 0;
}

static int owner_trusted(int fd, uid_t trusted_uid)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!shmring_is_ours(st.st_uid) && (trusted_uid == (uid_t)-1 || st.st_uid != trusted_uid))
        return -EPERM;
    return 0;
}

int shmring_dir_open(const char *path, uid_t trusted_uid)
{
    int made = mkdir(path, 0700) < 0 ? errno : 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        int err = errno;
        struct stat st;
        if (err == ENOENT && made != 0 && made != EEXIST)
            return -made;
        if (err == ENOTDIR && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
            return -ELOOP;
        return -err;
    }
    int err = owner_trusted(fd, trusted_uid);
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

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
