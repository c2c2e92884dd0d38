/* SPDX-License-Identifier: MIT */
#include "discovery.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/timer_grid.h"
#include "shmring_format.h"

enum {
    SCAN_NAMES = 512,  /* read in one portion */
    SCAN_PAUSE_MS = 5, /* between portions */
    EVENT_READS = 4,   /* of 4 KiB, in one turn of the loop */
};

struct discovery {
    struct discovery_callbacks callbacks;
    void *user;
    char *path;
    int dir_fd;
    int inotify_fd;
    int dir_watch;
    struct timespec scanned_mtime;
    bool rescan_due;
    DIR *scan; /* NULL: none under way */
    uv_poll_t poll;
    uv_timer_t timer;
    uv_timer_t scan_timer;
    int open_handles;
    void (*closed_cb)(void *user);
    void *closed_user;
};

static bool is_segment_name(const char *name)
{
    size_t length = strlen(name);
    size_t suffix = sizeof(SHMRING_SUFFIX) - 1;
    return name[0] != '.' && length > suffix && strcmp(name + length - suffix, SHMRING_SUFFIX) == 0;
}

static int scan_begin(struct discovery *d)
{
    int fd = openat(d->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    d->scan = fdopendir(fd);
    if (d->scan)
        return 0;
    int err = -errno;
    close(fd);
    return err;
}

static void scan_end(struct discovery *d)
{
    if (d->scan)
        closedir(d->scan);
    d->scan = NULL;
    uv_timer_stop(&d->scan_timer);
}

static void scan_on(uv_timer_t *timer)
{
    struct discovery *d = timer->data;
    for (unsigned n = 0; n < SCAN_NAMES; n++) {
        const struct dirent *entry = readdir(d->scan);
        if (!entry) {
            scan_end(d);
            d->callbacks.on_scan_cb(d->user, true);
            return;
        }
        if (is_segment_name(entry->d_name))
            d->callbacks.on_found_cb(d->user, entry->d_name);
    }
    uv_timer_start(timer, scan_on, SCAN_PAUSE_MS, 0);
}

/* A directory whose time stamp is older than two ticks and was seen by the last scan has nothing new. A younger stamp
 * proves nothing: the kernel's clock for it is coarse, and a file may have come in the same step. */
void discovery_rescan(struct discovery *d)
{
    struct stat st;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (d->scan || fstat(d->dir_fd, &st) != 0)
        return;
    bool same = st.st_mtim.tv_sec == d->scanned_mtime.tv_sec && st.st_mtim.tv_nsec == d->scanned_mtime.tv_nsec;
    bool settled = now.tv_sec - st.st_mtim.tv_sec > 2 * DISCOVERY_RESCAN_MS / 1000 || now.tv_sec < st.st_mtim.tv_sec;
    if (same && settled && !d->rescan_due)
        return;
    if (scan_begin(d) != 0)
        return;
    d->rescan_due = false; /* until a callback asks for another */
    d->scanned_mtime = st.st_mtim;
    d->callbacks.on_scan_cb(d->user, false);
    scan_on(&d->scan_timer);
}

static void on_timer(uv_timer_t *timer)
{
    struct discovery *d = timer->data;
    discovery_rescan(d);
    d->callbacks.on_tick_cb(d->user);
    uv_timer_start(timer, on_timer, timer_grid_ms(timer->loop, DISCOVERY_RESCAN_MS), 0);
}

static void on_event(struct discovery *d, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW)
        discovery_force_rescan(d);
    else if (event->wd == d->dir_watch && event->len > 0 && is_segment_name(event->name))
        d->callbacks.on_found_cb(d->user, event->name);
    else if (event->mask & IN_CLOSE_WRITE)
        d->callbacks.on_closed_cb(d->user, event->wd);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct discovery *d = poll->data;
    _Alignas(struct inotify_event) char bytes[4096];
    (void)events;
    if (status < 0)
        return;
    for (unsigned reads = 0; reads < EVENT_READS; reads++) {
        ssize_t n = read(d->inotify_fd, bytes, sizeof(bytes));
        if (n <= 0)
            return;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)(bytes + at);
            on_event(d, event);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}

static int watch_directory(struct discovery *d)
{
    d->dir_watch = inotify_add_watch(d->inotify_fd, d->path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    return d->dir_watch < 0 ? -errno : 0;
}

int discovery_start(uv_loop_t *loop, int dir_fd, const char *path, const struct discovery_callbacks *callbacks,
                    void *user, struct discovery **out)
{
    struct discovery *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->callbacks = *callbacks;
    d->user = user;
    d->path = strdup(path);
    d->dir_fd = dir_fd;
    d->rescan_due = true;
    d->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int err = d->inotify_fd < 0 ? -errno : d->path ? watch_directory(d) : -ENOMEM;
    if (err)
        goto fail;
    err = uv_poll_init(loop, &d->poll, d->inotify_fd);
    if (err)
        goto fail;
    uv_timer_init(loop, &d->timer);
    uv_timer_init(loop, &d->scan_timer);
    d->poll.data = d->timer.data = d->scan_timer.data = d;
    d->open_handles = 3;
    uv_poll_start(&d->poll, UV_READABLE, on_readable);
    uv_timer_start(&d->timer, on_timer, timer_grid_ms(loop, DISCOVERY_RESCAN_MS), 0);
    *out = d;
    return 0;
fail:
    if (d->inotify_fd >= 0)
        close(d->inotify_fd);
    free(d->path);
    free(d);
    return err;
}

int discovery_move(struct discovery *d, int dir_fd)
{
    discovery_unwatch(d, d->dir_watch);
    scan_end(d);
    d->dir_fd = dir_fd;
    d->rescan_due = true;
    return watch_directory(d);
}

int discovery_watch(struct discovery *d, const char *name)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s", d->path, name);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    int watch = inotify_add_watch(d->inotify_fd, path, IN_CLOSE_WRITE | IN_DONT_FOLLOW);
    return watch < 0 ? -errno : watch;
}

void discovery_unwatch(struct discovery *d, int watch)
{
    if (watch >= 0)
        inotify_rm_watch(d->inotify_fd, watch);
}

void discovery_force_rescan(struct discovery *d)
{
    d->rescan_due = true;
}

static void on_closed(uv_handle_t *handle)
{
    struct discovery *d = handle->data;
    if (--d->open_handles > 0)
        return;
    close(d->inotify_fd);
    void (*closed_cb)(void *) = d->closed_cb;
    void *user = d->closed_user;
    free(d->path);
    free(d);
    if (closed_cb)
        closed_cb(user);
}

void discovery_close(struct discovery *d, void (*closed_cb)(void *user), void *user)
{
    d->closed_cb = closed_cb;
    d->closed_user = user;
    scan_end(d);
    uv_close((uv_handle_t *)&d->poll, on_closed);
    uv_close((uv_handle_t *)&d->timer, on_closed);
    uv_close((uv_handle_t *)&d->scan_timer, on_closed);
}
