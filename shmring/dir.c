/* SPDX-License-Identifier: MIT
 *
 * The ring directory, opened by whoever comes first.
 */
#include <errno.h>
#include <fcntl.h>
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
