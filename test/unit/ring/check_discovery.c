/* SPDX-License-Identifier: MIT
 *
 * Includes the source it tests, so that its allocations and system calls can be made to fail.
 */
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
#include "ring/discovery.h"
#include "shmring_format.h"
#include "support/failing.h"

/* What the kernel says when it has lost events; and more of what was there. */
static bool overflow;

static ssize_t events_of_kernel(int fd, void *bytes, size_t room)
{
    static const struct inotify_event lost = {.wd = -1, .mask = IN_Q_OVERFLOW};
    if (!overflow)
        return read(fd, bytes, room);
    overflow = false;
    memcpy(bytes, &lost, sizeof(lost));
    return sizeof(lost);
}

#undef read
#define read(fd, bytes, room)  events_of_kernel(fd, bytes, room)
#define inotify_init1(...)     (fails("inotify_init1") ? -1 : inotify_init1(__VA_ARGS__))
#define inotify_add_watch(...) (fails("inotify_add_watch") ? -1 : inotify_add_watch(__VA_ARGS__))
#define fdopendir(...)         (fails("fdopendir") ? NULL : fdopendir(__VA_ARGS__))
#define uv_poll_init(...)      (fails("uv_poll_init") ? -errno : uv_poll_init(__VA_ARGS__))
#include "ring/discovery.c"

#include "support/directory.h"
#include "support/test.h"

enum { DEADLINE_MS = 60000 };

static struct {
    uv_loop_t loop;
    uv_timer_t deadline;
    struct discovery *discovery;
    char dir[TEST_DIRECTORY_BYTES];
    int dir_fd;
    unsigned scans, found;
    int watch;  /* that was closed */
    bool ended; /* the deadline passed */
} fixture;

static void on_found(void *user, const char *name)
{
    (void)user;
    ck_assert_str_eq(strrchr(name, '.'), SHMRING_SUFFIX);
    fixture.found++;
}

static void on_scan(void *user, bool done)
{
    (void)user;
    fixture.scans += done;
}

static void on_file_closed(void *user, int watch)
{
    (void)user;
    fixture.watch = watch;
    uv_stop(&fixture.loop);
}

static void on_second(void *user)
{
    (void)user;
}

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    fixture.ended = true;
    uv_stop(&fixture.loop);
}

static const struct discovery_callbacks callbacks = {on_found, on_scan, on_file_closed, on_second};

static void setup(void)
{
    test_directory(fixture.dir, "discovery");
    fixture.dir_fd = open(fixture.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(fixture.dir_fd, 0);
    ck_assert_int_eq(uv_loop_init(&fixture.loop), 0);
    uv_timer_init(&fixture.loop, &fixture.deadline);
    uv_timer_start(&fixture.deadline, on_deadline, DEADLINE_MS, 0);
    char *path = strdup(fixture.dir);
    ck_assert_int_eq(discovery_start(&fixture.loop, fixture.dir_fd, path, &callbacks, NULL, &fixture.discovery), 0);
    memset(path, 'x', strlen(path));
    free(path);
}

static void teardown(void)
{
    discovery_close(fixture.discovery, NULL, NULL);
    uv_close((uv_handle_t *)&fixture.deadline, NULL);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&fixture.loop), 0);
    close(fixture.dir_fd);
    rmdir(fixture.dir);
}

FIXTURE(setup, teardown);

/* A reload frees the configuration that had the path. */
TEST(files_are_watched_after_the_path_given_at_start_is_gone)
{
    int fd = openat(fixture.dir_fd, "a.ring", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    int watch = discovery_watch(fixture.discovery, "a.ring");
    ck_assert_int_ge(watch, 0);
    close(fd);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    ck_assert(!fixture.ended);
    ck_assert_int_eq(fixture.watch, watch);
    unlinkat(fixture.dir_fd, "a.ring", 0);
}

/* ---- what fails, what is lost ---- */

static const struct {
    const char *call;
    int err;
} starts[] = {
    {"calloc", ENOMEM},       {"strdup", ENOMEM}, {"inotify_init1", EMFILE}, {"inotify_add_watch", ENOSPC},
    {"uv_poll_init", EMFILE},
};

static int descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

LOOP_TEST(start_that_fails_leaves_nothing, COUNT(starts))
{
    struct discovery *second = NULL;
    long held = failing.held;
    int before = descriptors();
    fail_call(starts[_i].call, 0, starts[_i].err);
    ck_assert_int_eq(discovery_start(&fixture.loop, fixture.dir_fd, fixture.dir, &callbacks, NULL, &second),
                     -starts[_i].err);
    ck_assert(failed());
    ck_assert_ptr_null(second);
    ck_assert_int_eq(descriptors(), before);
    ck_assert_int_eq(failing.held, held);
}

static void make_files(unsigned count)
{
    char name[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%u.ring", i);
        close(openat(fixture.dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
}

static void remove_files(unsigned count)
{
    char name[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "%u.ring", i);
        unlinkat(fixture.dir_fd, name, 0);
    }
}

/* So long ago that a scan has certainly seen all. */
static void age_directory(void)
{
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    ck_assert_int_eq(futimens(fixture.dir_fd, long_ago), 0);
}

/* No scan but those that the test asks for. */
static void stop_ticks(void)
{
    uv_timer_stop(&fixture.discovery->timer);
}

/* UV_RUN_ONCE would run a timer that is due, and then wait for the next. */
static void run_once(void)
{
    uv_run(&fixture.loop, UV_RUN_NOWAIT);
    ck_assert(!fixture.ended);
}

static const char *const scans[] = {"fstat", "openat", "fdopendir"};

LOOP_TEST(scan_that_cannot_begin_is_made_the_next_time, COUNT(scans))
{
    int before = descriptors();
    age_directory();
    fail_call(scans[_i], 0, EMFILE);
    discovery_rescan(fixture.discovery);
    ck_assert(failed());
    ck_assert_uint_eq(fixture.scans, 0);
    ck_assert_int_eq(descriptors(), before);
    discovery_rescan(fixture.discovery);
    ck_assert_uint_eq(fixture.scans, 1);
    discovery_rescan(fixture.discovery); /* nothing has changed */
    ck_assert_uint_eq(fixture.scans, 1);
}

TEST(directory_is_read_again_when_events_were_lost)
{
    stop_ticks();
    age_directory();
    discovery_rescan(fixture.discovery);
    ck_assert_uint_eq(fixture.scans, 1);
    overflow = true;
    make_files(1); /* wakes the reader of events */
    age_directory();
    while (overflow)
        run_once();
    discovery_rescan(fixture.discovery);
    ck_assert_uint_eq(fixture.scans, 2);
    discovery_rescan(fixture.discovery);
    ck_assert_uint_eq(fixture.scans, 2);
    remove_files(1);
}

TEST(large_directory_is_read_in_portions)
{
    enum { FILES = SCAN_NAMES + 100 };
    stop_ticks();
    make_files(FILES);
    while (fixture.found < FILES) /* as events, which the scan does not need */
        run_once();
    fixture.found = 0;
    discovery_rescan(fixture.discovery);
    ck_assert_uint_eq(fixture.scans, 0);
    ck_assert_uint_le(fixture.found, SCAN_NAMES);
    discovery_rescan(fixture.discovery); /* one is under way */
    while (fixture.scans == 0)
        run_once();
    ck_assert_uint_eq(fixture.found, FILES);
    ck_assert_uint_eq(fixture.scans, 1);
    remove_files(FILES);
}

TEST(file_of_too_long_a_name_is_not_watched)
{
    char name[PATH_MAX];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    ck_assert_int_eq(discovery_watch(fixture.discovery, name), -ENAMETOOLONG);
    ck_assert_int_eq(discovery_watch(fixture.discovery, "is_not_there.ring"), -ENOENT);
    discovery_unwatch(fixture.discovery, -1);
}
