/* SPDX-License-Identifier: MIT */
#include "room.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shmring.h"

enum { BLOCK_BYTES = 512 }; /* of st_blocks */

static bool is_segment(const char *name)
{
    size_t bytes = strlen(name), suffix_bytes = strlen(SHMRING_SUFFIX);
    return bytes > suffix_bytes && strcmp(name + bytes - suffix_bytes, SHMRING_SUFFIX) == 0;
}

/* Memory of the segments in the directory, of every user, finished or being created. -> 0 or -errno */
static int add_segments(const char *path, uint64_t *sum)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat st;
        if (is_segment(entry->d_name) && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            *sum += (uint64_t)st.st_blocks * BLOCK_BYTES;
    }
    closedir(dir);
    return 0;
}

static uint64_t less(uint64_t from, uint64_t bytes)
{
    return from > bytes ? from - bytes : 0;
}

/* A tmpfs without a size says 0. By default it has half of the machine's memory. */
static uint64_t size_of(const struct statvfs *fs)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    return fs->f_blocks > 0 ? (uint64_t)fs->f_blocks * fs->f_frsize : memory / 2;
}

static int look_at_files(const char *dir, uint64_t enough, struct shmring__left *out)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) < 0)
        return -errno;
    uint64_t size = size_of(&fs), share = size / SHMRING_ROOM_SHARE, taken = 0;
    bool has_size = fs.f_blocks > 0;
    out->free = has_size ? less((uint64_t)fs.f_bavail * fs.f_frsize, size / SHMRING_ROOM_FREE) : UINT64_MAX;
    /* The segments have no more than everybody together: in general that is answer enough. */
    out->share = has_size ? less(share, (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize) : 0;
    if (out->share >= enough)
        return 0;
    int err = add_segments(dir, &taken);
    if (!err)
        out->share = less(share, taken);
    return err;
}

int shmring__room_look(const char *dir, uint64_t enough, struct shmring__left *out)
{
    struct shmring__left left;
    int err = look_at_files(dir, enough, &left);
    if (err)
        return err;
    uint64_t memory = shmring_memory_left(enough * SHMRING_ROOM_MEMORY);
    left.memory = memory < UINT64_MAX ? memory / SHMRING_ROOM_MEMORY : memory;
    *out = left;
    return 0;
}

int shmring__room_for(const struct shmring__left *left, uint64_t bytes)
{
    return bytes > left->free ? -ENOSPC : bytes > left->share ? -EDQUOT : bytes > left->memory ? -ENOMEM : 0;
}

/* The control groups are asked only where they had a limit when the segment was created. */
static int look_again(const struct shmring__room *room, uint64_t bytes, struct shmring__left *out)
{
    struct stat st;
    bool limited = room->memory < UINT64_MAX;
    if (stat(room->dir, &st) < 0)
        return -errno;
    if (st.st_dev != room->dev)
        return -EXDEV;
    out->memory = UINT64_MAX;
    return limited ? shmring__room_look(room->dir, bytes, out) : look_at_files(room->dir, bytes, out);
}

int shmring__room_take(struct shmring__room *room, uint64_t bytes)
{
    struct shmring__left left;
    uint64_t held = atomic_fetch_add(&room->held, bytes) + bytes;
    int err = held > room->memory ? -ENOMEM : 0;
    if (!err && look_again(room, bytes, &left) < 0)
        err = held > room->most ? -EDQUOT : 0;
    else if (!err)
        err = shmring__room_for(&left, bytes);
    if (err)
        shmring__room_give(room, bytes);
    return err;
}

void shmring__room_give(struct shmring__room *room, uint64_t bytes)
{
    atomic_fetch_sub(&room->held, bytes);
}
