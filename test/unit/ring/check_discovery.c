/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ring/discovery.h"
#include "support/directory.h"
#include "support/test.h"

enum { DEADLINE_MS = 5000 };

static struct {
    uv_loop_t loop;
    uv_timer_t deadline;
    struct discovery *discovery;
    char dir[TEST_DIRECTORY_BYTES];
    int dir_fd;
    int watch;  /* that was closed */
    bool ended; /* the deadline passed */
} fixture;

static void on_found(void *user, const char *name)
{
    (void)user;
    (void)name;
}

static void on_scan(void *user, bool done)
{
    (void)user;
    (void)done;
}

static void on_closed(void *user, int watch)
{
    (void)user;
    fixture.watch = watch;
    uv_stop(&fixture.loop);
}

static void on_tick(void *user)
{
    (void)user;
}

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    fixture.ended = true;
    uv_stop(&fixture.loop);
}

static void setup(void)
{
    static const struct discovery_callbacks callbacks = {on_found, on_scan, on_closed, on_tick};
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
