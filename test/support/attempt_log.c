/* SPDX-License-Identifier: MIT */
#include "attempt_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PID_DIGITS = 10, ID_DIGITS = 16, MAPPED_BYTES = SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES };

int attempt_log_open(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

/* In few instructions: they are single-stepped. */
int attempt_log_write(int log, pid_t pid, const struct aistrace_span *span)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *id = aistrace_span_context(span)->span_id;
    char line[PID_DIGITS + 1 + ID_DIGITS + 1];
    unsigned number = (unsigned)pid;
    for (int i = PID_DIGITS - 1; i >= 0; i--, number /= 10)
        line[i] = digits[number % 10];
    line[PID_DIGITS] = ' ';
    for (unsigned i = 0; i < ID_DIGITS; i++)
        line[PID_DIGITS + 1 + i] = digits[id[i / 2] >> (i % 2 ? 0 : 4) & 15];
    line[sizeof(line) - 1] = '\n';
    return write(log, line, sizeof(line)) == (ssize_t)sizeof(line) ? 0 : -errno;
}

static const uint8_t *map_segment(int dir_fd, const char *name)
{
    int fd = strstr(name, SHMRING_SUFFIX) ? openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0)
        return NULL;
    const uint8_t *data = mmap(NULL, MAPPED_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return data == MAP_FAILED ? NULL : data;
}

/* A segment that is held already is another's, whose pid has come round again. */
static const uint8_t *find_segment(int dir_fd, DIR *dir, pid_t pid, const char *held_dir, char *held)
{
    for (struct dirent *entry; (entry = readdir(dir));) {
        const uint8_t *data = map_segment(dir_fd, entry->d_name);
        if (!data)
            continue;
        snprintf(held, PATH_MAX, "%s/%s", held_dir, entry->d_name);
        if (((const struct shmring_header *)data)->pid == (uint32_t)pid &&
            linkat(dir_fd, entry->d_name, AT_FDCWD, held, 0) == 0)
            return data;
        munmap((void *)data, MAPPED_BYTES);
    }
    return NULL;
}

const struct shmring_producer *held_segment_map(const char *ring_dir, const char *held_dir, pid_t pid)
{
    char held[PATH_MAX];
    DIR *dir = opendir(ring_dir);
    if (!dir)
        return NULL;
    const uint8_t *data = find_segment(dirfd(dir), dir, pid, held_dir, held);
    closedir(dir);
    return data ? (const struct shmring_producer *)(data + shmring_producer_offset(0)) : NULL;
}

void held_segment_unmap(const struct shmring_producer *slot)
{
    if (slot)
        munmap((void *)((uintptr_t)slot - shmring_producer_offset(0)), MAPPED_BYTES);
}

int held_segment_link(const char *ring_dir, const char *held_dir, pid_t pid)
{
    const struct shmring_producer *slot = held_segment_map(ring_dir, held_dir, pid);
    held_segment_unmap(slot);
    return slot ? 0 : -ENOENT;
}
