/* SPDX-License-Identifier: MIT
 *
 * What the daemon has published holds in a forked child at once: the child need not wait until the daemon finds it.
 */
#include <dirent.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/client_fixture.h"
#include "support/coarse_clock.h"
#include "support/test.h"

static void start(void)
{
    client_fixture_init();
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 8});
}

FIXTURE(start, client_fixture_done);

/* -> W3C's sampled flag */
static int one_span(void)
{
    struct aistrace_span span;

    aistrace_span_start(&span, "span", NULL);
    int sampled = aistrace_span_context(&span)->trace_flags & 1;
    aistrace_span_end(&span);
    return sampled;
}

static int segments(void)
{
    DIR *dir = opendir(client.dir);
    int count = 0;

    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void expect_well(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* None of 100 roots is sampled by the one threshold, each by the other. */
static int sampled_of_100(void)
{
    int sampled = 0;

    for (int i = 0; i < 100; i++)
        sampled += one_span();
    return sampled;
}

LOOP_TEST(a_child_samples_as_its_parent, 2)
{
    int expected = _i ? 100 : 0;

    client_publish(SHMRING_CONTROL_PUBLISHED, _i ? 1ull << 63 : 0);
    pid_t child = fork();
    if (child == 0)
        _exit(sampled_of_100() == expected ? 0 : 1);
    expect_well(child);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 100);
    for (size_t i = 0; i < client.set.count; i++)
        ck_assert_uint_eq(client.set.spans[i].flags, _i ? AISTRACE_SAMPLED : 0);
}

TEST(a_childs_child_without_a_span_between_samples_as_well)
{
    client_publish(SHMRING_CONTROL_PUBLISHED, 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(sampled_of_100() == 0 ? 0 : 1);
        expect_well(grandchild);
        _exit(sampled_of_100() == 0 ? 0 : 2);
    }
    expect_well(child);
}

TEST(nothing_is_published_after_a_start_of_its_own)
{
    client_publish(SHMRING_CONTROL_PUBLISHED, 0);
    pid_t child = fork();
    if (child == 0) {
        aistrace_stop();
        client_fixture_start((struct aistrace_options){.role = "target"});
        _exit(sampled_of_100() == 100 ? 0 : 1);
    }
    expect_well(child);
}

/* What was published at an earlier fork is no news for a child that no fork handler has seen. */
TEST(a_raw_clone_is_told_nothing)
{
    client_publish(SHMRING_CONTROL_PUBLISHED, 0);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    expect_well(child);
    client_publish(0, 0);
    child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        _exit(sampled_of_100() == 100 ? 0 : 1);
    expect_well(child);
}

TEST(where_tracing_is_off_a_young_child_takes_nothing)
{
    client_publish(SHMRING_CONTROL_DISABLED, 0);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 10; i++)
            one_span();
        if (segments() != 1 || client_counted().no_segment != 10 || client_counted().attempted != 10)
            _exit(1);
        coarse_clock_shift_ms += 1000;
        one_span();
        _exit(segments() == 2 && client_counted().disabled == 1 && client_counted().attempted == 11 ? 0 : 2);
    }
    expect_well(child);
}

TEST(an_older_child_hears_that_tracing_is_on_again)
{
    client_publish(SHMRING_CONTROL_DISABLED, 0);
    span_set_dir_clear(client.dir); /* only the child's segment will be there */
    pid_t child = fork();
    if (child == 0) {
        coarse_clock_shift_ms += 1000;
        one_span();
        struct shmring_reader *reader = span_set_open(client.dir);
        if (shmring_reader_slots(reader) != 0)
            _exit(1);
        shmring_reader_close(reader);
        client_publish(SHMRING_CONTROL_PUBLISHED, 1ull << 63);
        _exit(one_span() == 1 && client_counted().committed == 1 && client_counted().disabled == 1 ? 0 : 2);
    }
    expect_well(child);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 1);
}
