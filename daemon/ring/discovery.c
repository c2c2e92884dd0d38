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

#include "base/ending.h"
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
    struct ending ending;
};

static bool is_segment_name(const char *name)
{
    size_t length = strlen(name);
    size_t suffix = sizeof(SHMRING_SUFFIX) - 1;
    return name[0] != '.' && length > suffix && strcmp(name + length - suffix, SHMRING_SUFFIX) == 0;
}

static int scan_begin(struct discovery *discovery)
{
    int fd = openat(discovery->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    discovery->scan = fdopendir(fd);
    if (discovery->scan)
        return 0;
    int err = -errno;
    close(fd);
    return err;
}

static void scan_end(struct discovery *discovery)
{
    if (discovery->scan)
        closedir(discovery->scan);
    discovery->scan = NULL;
    uv_timer_stop(&discovery->scan_timer);
}

static void scan_on(uv_timer_t *timer)
{
    struct discovery *discovery = timer->data;
    for (unsigned n = 0; n < SCAN_NAMES; n++) {
        const struct dirent *entry = readdir(discovery->scan);
        if (!entry) {
            scan_end(discovery);
            discovery->callbacks.on_scan_cb(discovery->user, true);
            return;
        }
        if (is_segment_name(entry->d_name))
            discovery->callbacks.on_found_cb(discovery->user, entry->d_name);
    }
    uv_timer_start(timer, scan_on, SCAN_PAUSE_MS, 0);
}

/* A directory whose time stamp is older than two ticks and was seen by the last scan has nothing new. A younger stamp
 * proves nothing: the kernel's clock for it is coarse, and a file may have come in the same step. */
void discovery_rescan(struct discovery *discovery)
{
    struct stat st;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (discovery->scan || fstat(discovery->dir_fd, &st) != 0)
        return;
    bool same =
        st.st_mtim.tv_sec == discovery->scanned_mtime.tv_sec && st.st_mtim.tv_nsec == discovery->scanned_mtime.tv_nsec;
    bool settled = now.tv_sec - st.st_mtim.tv_sec > 2 * DISCOVERY_RESCAN_MS / 1000 || now.tv_sec < st.st_mtim.tv_sec;
    if (same && settled && !discovery->rescan_due)
        return;
    if (scan_begin(discovery) != 0)
        return;
    discovery->rescan_due = false; /* until a callback asks for another */
    discovery->scanned_mtime = st.st_mtim;
    discovery->callbacks.on_scan_cb(discovery->user, false);
    scan_on(&discovery->scan_timer);
}

static void on_timer(uv_timer_t *timer)
{
    struct discovery *discovery = timer->data;
    discovery_rescan(discovery);
    discovery->callbacks.on_tick_cb(discovery->user);
    uv_timer_start(timer, on_timer, timer_grid_ms(uv_now(timer->loop), DISCOVERY_RESCAN_MS), 0);
}

static void on_event(struct discovery *discovery, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW)
        discovery_force_rescan(discovery);
    else if (event->wd == discovery->dir_watch && event->len > 0 && is_segment_name(event->name))
        discovery->callbacks.on_found_cb(discovery->user, event->name);
    else if (event->mask & IN_CLOSE_WRITE)
        discovery->callbacks.on_closed_cb(discovery->user, event->wd);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct discovery *discovery = poll->data;
    _Alignas(struct inotify_event) char bytes[4096];
    (void)events;
    if (status < 0)
        return;
    for (unsigned reads = 0; reads < EVENT_READS; reads++) {
        ssize_t n = read(discovery->inotify_fd, bytes, sizeof(bytes));
        if (n <= 0)
            return;
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)(bytes + at);
            on_event(discovery, event);
            at += (ssize_t)(sizeof(*event) + event->len);
        }
    }
}

static int watch_directory(struct discovery *discovery)
{
    discovery->dir_watch =
        inotify_add_watch(discovery->inotify_fd, discovery->path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    return discovery->dir_watch < 0 ? -errno : 0;
}

int discovery_start(uv_loop_t *loop, int dir_fd, const char *path, const struct discovery_callbacks *callbacks,
                    void *user, struct discovery **out)
{
    struct discovery *discovery = calloc(1, sizeof(*discovery));
    if (!discovery)
        return -ENOMEM;
    discovery->callbacks = *callbacks;
    discovery->user = user;
    discovery->path = strdup(path);
    discovery->dir_fd = dir_fd;
    discovery->rescan_due = true;
    discovery->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int err = discovery->inotify_fd < 0 ? -errno : discovery->path ? watch_directory(discovery) : -ENOMEM;
    if (err)
        goto fail;
    err = uv_poll_init(loop, &discovery->poll, discovery->inotify_fd);
    if (err)
        goto fail;
    uv_timer_init(loop, &discovery->timer);
    uv_timer_init(loop, &discovery->scan_timer);
    discovery->poll.data = discovery->timer.data = discovery->scan_timer.data = discovery;
    ending_hold(&discovery->ending, 3);
    uv_poll_start(&discovery->poll, UV_READABLE, on_readable);
    uv_timer_start(&discovery->timer, on_timer, timer_grid_ms(uv_now(loop), DISCOVERY_RESCAN_MS), 0);
    *out = discovery;
    return 0;
fail:
    if (discovery->inotify_fd >= 0)
        close(discovery->inotify_fd);
    free(discovery->path);
    free(discovery);
    return err;
}

int discovery_move(struct discovery *discovery, int dir_fd)
{
    discovery_unwatch(discovery, discovery->dir_watch);
    scan_end(discovery);
    discovery->dir_fd = dir_fd;
    discovery->rescan_due = true;
    return watch_directory(discovery);
}

int discovery_watch(struct discovery *discovery, const char *name)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s", discovery->path, name);
    if (length < 0 || (size_t)length >= sizeof(path))
        return -ENAMETOOLONG;
    int watch = inotify_add_watch(discovery->inotify_fd, path, IN_CLOSE_WRITE | IN_DONT_FOLLOW);
    return watch < 0 ? -errno : watch;
}

void discovery_unwatch(struct discovery *discovery, int watch)
{
    if (watch >= 0)
        inotify_rm_watch(discovery->inotify_fd, watch);
}

void discovery_force_rescan(struct discovery *discovery)
{
    discovery->rescan_due = true;
}

static void on_closed(uv_handle_t *handle)
{
    struct discovery *discovery = handle->data;
    if (!ending_release(&discovery->ending))
        return;
    struct ending ending = discovery->ending;
    close(discovery->inotify_fd);
    free(discovery->path);
    free(discovery);
    ending_tell(&ending);
}

void discovery_close(struct discovery *discovery, void (*closed_cb)(void *user), void *user)
{
    ending_begin(&discovery->ending, closed_cb, user);
    scan_end(discovery);
    uv_close((uv_handle_t *)&discovery->poll, on_closed);
    uv_close((uv_handle_t *)&discovery->timer, on_closed);
    uv_close((uv_handle_t *)&discovery->scan_timer, on_closed);
}
