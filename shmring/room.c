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
    out->free = has_size ? (int64_t)((uint64_t)fs.f_bavail * fs.f_frsize - size / SHMRING_ROOM_FREE) : INT64_MAX;
    /* The segments have no more than everybody together: in general that is answer enough. */
    out->share = (int64_t)(share - (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize);
    if (has_size && out->share >= (int64_t)enough)
        return 0;
    int err = add_segments(dir, &taken);
    if (!err)
        out->share = (int64_t)(share - taken);
    return err;
}

static uint64_t share_of_memory(uint64_t enough)
{
    uint64_t memory = shmring_memory_left(enough * SHMRING_ROOM_MEMORY);
    return memory < UINT64_MAX ? memory / SHMRING_ROOM_MEMORY : memory;
}

int shmring__room_look(const char *dir, uint64_t enough, struct shmring__left *out)
{
    struct shmring__left left;
    int err = look_at_files(dir, enough, &left);
    if (err)
        return err;
    left.memory = share_of_memory(enough);
    *out = left;
    return 0;
}

int shmring__room_for(const struct shmring__left *left, uint64_t bytes)
{
    if ((int64_t)bytes > left->free)
        return -ENOSPC;
    if ((int64_t)bytes > left->share)
        return -EDQUOT;
    return bytes > left->memory ? -ENOMEM : 0;
}

static int look_at_files_again(const struct shmring__room *room, uint64_t enough, struct shmring__left *out)
{
    struct stat st;
    if (stat(room->dir, &st) < 0)
        return -errno;
    return st.st_dev == room->dev ? look_at_files(room->dir, enough, out) : -EXDEV;
}

/* By the control groups' limits at creation; or now, when there is more. present: bytes of the segment that are there,
 * so that they are no longer left. */
static int memory_for(const struct shmring__room *room, uint64_t held, uint64_t present, uint64_t left)
{
    return held <= room->memory || held <= present / SHMRING_ROOM_MEMORY + left ? 0 : -ENOMEM;
}

static int may_take(const struct shmring__room *room, uint64_t held, uint64_t coming)
{
    struct shmring__left left = {.memory = UINT64_MAX};
    int err = look_at_files_again(room, coming, &left);
    if (err)
        return held > room->memory ? -ENOMEM : held > room->most ? -EDQUOT : 0;
    if (room->memory < UINT64_MAX) /* else the control groups are not asked */
        left.memory = share_of_memory(held);
    err = shmring__room_for(&left, coming);
    return err ? err : memory_for(room, held, held > coming ? held - coming : 0, left.memory);
}

int shmring__room_take(struct shmring__room *room, uint64_t bytes)
{
    uint64_t held = atomic_fetch_add(&room->held, bytes) + bytes;
    uint64_t coming = atomic_fetch_add(&room->coming, bytes) + bytes;
    int err = may_take(room, held, coming);
    if (err) {
        atomic_fetch_sub(&room->coming, bytes);
        shmring__room_give(room, bytes);
    }
    return err;
}

int shmring__room_end(struct shmring__room *room, uint64_t bytes, int err)
{
    struct shmring__left left = {.memory = UINT64_MAX};
    atomic_fetch_sub(&room->coming, bytes);
    if (!err && look_at_files_again(room, 0, &left) == 0)
        err = shmring__room_for(&left, 0);
    if (err)
        shmring__room_give(room, bytes);
    return err;
}

void shmring__room_give(struct shmring__room *room, uint64_t bytes)
{
    atomic_fetch_sub(&room->held, bytes);
}
