/* SPDX-License-Identifier: MIT */
#include "file_watch.h"

#include <string.h>

static struct stat look(const char *path)
{
    struct stat now;
    if (stat(path, &now) != 0)
        memset(&now, 0, sizeof(now));
    return now;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

void file_watch_taken(struct file_watch *watch, const char *path)
{
    watch->taken = watch->seen = look(path);
}

bool file_watch_due(struct file_watch *watch, const char *path)
{
    struct stat now = look(path);
    bool settled = same(&now, &watch->seen);
    watch->seen = now;
    if (!settled || same(&now, &watch->taken) || now.st_nlink == 0)
        return false;
    watch->taken = now;
    return true;
}
