/* SPDX-License-Identifier: MIT */
#include "ring_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmring.h"

/* -> 0 or -errno: then nothing is open */
static int open_locked(const char *path, int *fd, int *lock_fd)
{
    int dir_fd = shmring_dir_open(path, (uid_t)-1);
    if (dir_fd < 0)
        return dir_fd;
    int lock = shmring_dir_lock(dir_fd);
    if (lock < 0) {
        close(dir_fd);
        return lock;
    }
    *fd = dir_fd;
    *lock_fd = lock;
    return 0;
}

int ring_dir_open(struct ring_dir *dir, const char *path, struct log *log)
{
    *dir = (struct ring_dir){.path = strdup(path), .log = log};
    int err = dir->path ? open_locked(path, &dir->fd, &dir->lock_fd) : -ENOMEM;
    if (err)
        free(dir->path);
    return err;
}

void ring_dir_close(struct ring_dir *dir)
{
    close(dir->lock_fd);
    close(dir->fd);
    free(dir->path);
}

static bool was_removed(const struct ring_dir *dir)
{
    struct stat mine, there;
    return fstat(dir->fd, &mine) == 0 &&
           (lstat(dir->path, &there) != 0 || mine.st_dev != there.st_dev || mine.st_ino != there.st_ino);
}

/* Producers make the directory anew when it is gone; the daemon has to read the new one. */
static bool open_anew(struct ring_dir *dir)
{
    int fd, lock_fd;
    int err = open_locked(dir->path, &fd, &lock_fd);
    if (err) {
        log_cause(dir->log, LOG_ERROR, "ring_dir", "%s was removed, and a new one cannot be opened: %s", dir->path,
                  strerror(-err));
        return false;
    }
    close(dir->lock_fd);
    close(dir->fd);
    dir->fd = fd;
    dir->lock_fd = lock_fd;
    log_cause(dir->log, LOG_WARN, "ring_dir", "%s was removed; reading the new one", dir->path);
    return true;
}

/* A lock on a file that was removed keeps no other daemon out: a new lock file is made and locked. */
static void lock_anew(struct ring_dir *dir)
{
    struct stat st;
    if (fstat(dir->lock_fd, &st) != 0 || st.st_nlink > 0)
        return;
    int lock_fd = shmring_dir_lock(dir->fd);
    if (lock_fd < 0) {
        log_cause(dir->log, LOG_ERROR, "lock", "the lock file of %s was removed, and cannot be made anew: %s",
                  dir->path, strerror(-lock_fd));
        return;
    }
    close(dir->lock_fd);
    dir->lock_fd = lock_fd;
}

bool ring_dir_follow(struct ring_dir *dir)
{
    bool moved = was_removed(dir) && open_anew(dir);
    lock_anew(dir);
    return moved;
}
