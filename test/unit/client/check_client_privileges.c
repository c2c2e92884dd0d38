/* SPDX-License-Identifier: MIT
 *
 * What servers do between their start and their first worker takes no span: they become another user, change their root,
 * use all descriptors, lose their ring's name.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/advice.h"
#include "support/client_fixture.h"
#include "support/test.h"

enum { SPANS = 2000, NOBODY = 65534 };

FIXTURE(client_fixture_init, client_fixture_done);

/* ---- what a server does ---- */

static bool becomes_another_user(void)
{
    return setgid(NOBODY) == 0 && setuid(NOBODY) == 0;
}

static bool changes_its_root(void)
{
    return chroot(client.dir) == 0 && chdir("/") == 0;
}

static bool uses_all_descriptors(void)
{
    struct rlimit few = {.rlim_cur = 64, .rlim_max = 64};

    if (setrlimit(RLIMIT_NOFILE, &few) != 0)
        return false;
    while (dup(STDOUT_FILENO) >= 0)
        ;
    return errno == EMFILE;
}

static bool loses_its_rings_name(void)
{
    span_set_dir_clear(client.dir);
    return true;
}

static const struct {
    bool (*act)(void);
    bool wants_root, leaves_file;
} acts[] = {
    {becomes_another_user, true, true},
    {changes_its_root, true, true},
    {uses_all_descriptors, false, true},
    {loses_its_rings_name, false, false},
};

/* ---- the program ---- */

static void *write_spans(void *unused)
{
    for (int i = 0; i < SPANS; i++) {
        struct aistrace_span span;
        aistrace_span_start(&span, "request", NULL);
        aistrace_span_end(&span);
    }
    return unused;
}

/* In a process of its own. -> exit status */
static int start_and_act(bool (*act)(void), uint64_t committed)
{
    struct aistrace_counters counters;
    pthread_t worker;

    if (aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}) != 0)
        return 2;
    if (act && !act())
        return 3;
    if (pthread_create(&worker, NULL, write_spans, NULL) != 0 || pthread_join(worker, NULL) != 0)
        return 4;
    aistrace_counters_read(&counters);
    return counters.attempted == SPANS && counters.committed == committed && counters.no_file == SPANS - committed ? 0
                                                                                                                   : 5;
}

static void wait_for(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

LOOP_TEST(a_worker_begun_after_it_writes_all_its_spans, COUNT(acts))
{
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    NEEDS(!acts[_i].wants_root || geteuid() == 0, "root");
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(start_and_act(acts[_i].act, SPANS));
    wait_for(child);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, acts[_i].leaves_file ? SPANS : 0);
}

/* Where the address space is too little for the whole file, rings are opened by name. Then such a worker's spans are
 * counted as what they are; those of the last, who does nothing before, are written. */
LOOP_TEST(in_little_address_space_its_spans_have_their_own_count, COUNT(acts) + 1)
{
    struct rlimit little = {.rlim_cur = 400 << 20, .rlim_max = 400 << 20};
    bool acts_at_all = _i < (int)COUNT(acts);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    NEEDS(false, "a program without a sanitizer's memory");
#endif
    NEEDS(!acts_at_all || !acts[_i].wants_root || geteuid() == 0, "root");
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(setrlimit(RLIMIT_AS, &little) != 0
                  ? 1
                  : start_and_act(acts_at_all ? acts[_i].act : NULL, acts_at_all ? 0 : SPANS));
    wait_for(child);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, acts_at_all ? 0 : SPANS);
}

/* ---- a worker that is a process ---- */

/* -> exit status */
static int worker_process(void)
{
    struct aistrace_counters counters;

    if (!becomes_another_user())
        return 3;
    write_spans(NULL);
    aistrace_counters_read(&counters);
    return counters.attempted == SPANS && counters.committed + counters.no_segment == SPANS ? 0 : 5;
}

/* A child of a fork makes a segment of its own: where its user may, all is written, else counted. */
LOOP_TEST(a_forked_worker_of_another_user_writes_where_it_may, 2)
{
    bool may = _i == 1;

    NEEDS(geteuid() == 0, "root");
    ck_assert_int_eq(chmod(client.dir, may ? 0777 : 0700), 0);
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(worker_process());
    wait_for(child);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, may ? SPANS : 0);
}
