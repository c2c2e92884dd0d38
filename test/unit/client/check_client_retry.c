/* SPDX-License-Identifier: MIT
 *
 * What was lacking for a moment at the start is not lacking for ever: spans look for their segment again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "retry.h"
#include "support/client_fixture.h"
#include "support/coarse_clock.h"
#include "support/directory.h"
#include "support/test.h"

FIXTURE(client_fixture_init, client_fixture_done);

static int start(uint32_t slots)
{
    return aistrace_start(&(struct aistrace_options){
        .role = "proxy", .ring_dir = client.dir, .ring_bytes = 64 << 10, .thread_slots = slots});
}

/* ---- the waits ---- */

static const struct {
    int err;
    unsigned longest_ms;
} causes[] = {
    {-ENOSPC, 500}, {-EMFILE, 500}, {-ENFILE, 500}, {-ENOMEM, 500}, {-ENOENT, 60000}, {-EPERM, 60000}, {-EACCES, 60000},
};

LOOP_TEST(waits_double_up_to_what_the_cause_allows, COUNT(causes))
{
    struct aistrace__retry retry = {0};
    unsigned wait_ms = 10;

    ck_assert(!aistrace__retry_is_waiting(&retry));
    ck_assert(aistrace__retry_is_due(&retry));
    for (int i = 0; i < 20; i++) {
        aistrace__retry_later(&retry, causes[_i].err);
        ck_assert(aistrace__retry_is_waiting(&retry));
        coarse_clock_shift_ms += wait_ms - 1;
        ck_assert(!aistrace__retry_is_due(&retry));
        coarse_clock_shift_ms++;
        ck_assert(aistrace__retry_is_due(&retry));
        wait_ms = wait_ms * 2 < causes[_i].longest_ms ? wait_ms * 2 : causes[_i].longest_ms;
    }
    aistrace__retry_reset(&retry);
    ck_assert(!aistrace__retry_is_waiting(&retry));
    ck_assert(aistrace__retry_is_due(&retry));
}

/* ---- the segment ---- */

static char filler[256];

static void fill(void)
{
    static char bytes[65536];
    int fd;

    snprintf(filler, sizeof(filler), "%s/filler", client.dir);
    fd = open(filler, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    while (write(fd, bytes, 512) > 0)
        ;
    close(fd);
}

/* Spans find the segment once the longest wait is over, and every span before is counted. */
static void expect_made_up_for(void)
{
    uint64_t without = client_counted().no_segment;

    coarse_clock_shift_ms += 1000;
    for (int i = 0; i < 10; i++)
        client_span();
    ck_assert_uint_eq(client_counted().committed, 10);
    ck_assert_uint_eq(client_counted().no_segment, without);
    ck_assert_uint_eq(client_counted().attempted, without + 10);
    ck_assert_int_eq(start(8), -EALREADY);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 10);
    ck_assert_uint_eq(client.set.segments, 1);
}

TEST(a_full_file_system_that_has_room_a_moment_later_has_a_segment)
{
    NEEDS(test_mounts_privately() && mount("tmpfs", client.dir, "tmpfs", 0, "size=2m,mode=0700") == 0,
          "root, to mount");
    fill();
    ck_assert_int_eq(start(8), -ENOSPC);
    for (int i = 0; i < 100; i++) {
        coarse_clock_shift_ms += 100;
        client_span();
    }
    ck_assert_uint_eq(client_counted().no_segment, 100);
    ck_assert_uint_eq(client_counted().attempted, 100);
    ck_assert_int_eq(unlink(filler), 0);
    client_span(); /* the next attempt is not due */
    ck_assert_uint_eq(client_counted().no_segment, 101);
    expect_made_up_for();
    aistrace_stop();
    umount2(client.dir, MNT_DETACH);
}

TEST(a_process_whose_descriptors_are_used_up_for_a_moment_has_a_segment)
{
    struct rlimit before, none;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){3, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(start(8), -EMFILE);
    client_span();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect_made_up_for();
}

TEST(a_directory_that_appears_later_is_found)
{
    char *dir = client.dir, below[256];

    snprintf(below, sizeof(below), "%s/not/yet", dir);
    client.dir = below;
    ck_assert_int_eq(start(8), -ENOENT);
    client_span();
    below[strlen(below) - strlen("/yet")] = '\0';
    ck_assert_int_eq(mkdir(below, 0700), 0);
    strcat(below, "/yet");
    expect_made_up_for();
    aistrace_stop();
    span_set_dir_remove(strdup(below));
    client.dir = dir;
}

TEST(a_start_while_the_segment_is_lacking_takes_the_place_of_the_one_before)
{
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = "/proc/version"}),
                     -ENOTDIR);
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.ring_dir = client.dir}), -EINVAL); /* changes nothing */
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = "/proc/version"}),
                     -ENOTDIR);
    ck_assert_int_eq(start(8), 0);
    client_span();
    ck_assert_uint_eq(client_counted().committed, 1);
    ck_assert_int_eq(start(8), -EALREADY);
}

TEST(more_slots_than_there_may_be_start_nothing)
{
    ck_assert_int_eq(start(1025), -EINVAL);
    coarse_clock_shift_ms += 100000;
    client_span();
    ck_assert_uint_eq(client_counted().no_segment, 1);
    ck_assert_int_eq(start(8), 0);
}

TEST(after_stop_nothing_is_tried_again)
{
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = "/proc/version"}),
                     -ENOTDIR);
    aistrace_stop();
    coarse_clock_shift_ms += 100000;
    client_span();
    ck_assert_uint_eq(client_counted().no_segment, 1);
    ck_assert_int_eq(start(8), 0);
}

TEST(a_child_looks_for_its_segment_again_as_well)
{
    int status;

    ck_assert_int_eq(start(8), 0);
    pid_t child = fork();
    if (child == 0) {
        span_set_dir_remove(strdup(client.dir));
        if (symlink("/proc/version", client.dir) != 0)
            _exit(1);
        client_span();
        client_span();
        if (aistrace_thread_attach() != -ENODEV || client_counted().no_segment != 2)
            _exit(2);
        if (unlink(client.dir) != 0 || mkdir(client.dir, 0700) != 0)
            _exit(3);
        coarse_clock_shift_ms += 1000;
        client_span();
        _exit(client_counted().committed == 1 && client_counted().attempted == 3 ? 0 : 4);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
