/* SPDX-License-Identifier: MIT
 *
 * The ring directory, opened by whoever comes first.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "producer.h"

int shmring__open_error(void)
{
    return errno == ENFILE ? -EMFILE : -errno;
}

bool shmring__dir_in_memory(int dir_fd)
{
    struct statfs fs;
    if (fstatfs(dir_fd, &fs) < 0)
        return true;
    uint32_t type = (uint32_t)fs.f_type; /* signed on machines of 32 bits */
    return type == TMPFS_MAGIC || type == RAMFS_MAGIC;
}

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

static bool ends_with(const char *path, size_t bytes, const char *end)
{
    size_t end_bytes = strlen(end);
    return bytes >= end_bytes && memcmp(path + bytes - end_bytes, end, end_bytes) == 0;
}

/* The same path without what would follow a symlink in its last part: slashes and "/." at its end. */
static int strip(const char *path, char **out)
{
    size_t bytes = strlen(path);
    while (bytes > 1 && (ends_with(path, bytes, "/") || ends_with(path, bytes, "/.")))
        bytes--;
    if (ends_with(path, bytes, "/..") || (bytes == 2 && ends_with(path, bytes, "..")))
        return -EINVAL;
    *out = malloc(bytes + 1);
    if (!*out)
        return -ENOMEM;
    memcpy(*out, path, bytes);
    (*out)[bytes] = '\0';
    return 0;
}

static int make_and_open(const char *path)
{
    int made = mkdir(path, 0700) < 0 ? errno : 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    int err = shmring__open_error();
    struct stat st;
    if (err == -ENOENT && made != 0 && made != EEXIST)
        return -made;
    if (err == -ENOTDIR && lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        return -ELOOP;
    return err;
}

int shmring_dir_open(const char *path, uid_t trusted_uid)
{
    char *stripped;
    int err = strip(path, &stripped);
    if (err)
        return err;
    int fd = make_and_open(stripped);
    free(stripped);
    if (fd < 0)
        return fd;
    err = owner_trusted(fd, trusted_uid);
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}
