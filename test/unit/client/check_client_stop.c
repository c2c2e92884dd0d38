/* SPDX-License-Identifier: MIT
 *
 * The library is stopped, or the program ends, while other threads trace: a server with a pool of threads does so.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/client_fixture.h"
#include "support/test.h"

TIMEOUT(120);

FIXTURE(client_fixture_init, client_fixture_done);

enum { WORKERS = 8 };

static struct aistrace_options options = {.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 16};

static void one_span(void)
{
    struct aistrace_span span;

    aistrace_span_start(&span, "span", NULL);
    aistrace_span_set_string(&span, "key", "value");
    aistrace_span_end(&span);
}

static atomic_bool enough;
static atomic_ulong spans; /* of all workers */

static void *work(void *unused)
{
    for (unsigned long i = 0; !atomic_load(&enough); i++) {
        one_span();
        atomic_fetch_add(&spans, 1);
    }
    return unused;
}

static void *one_span_of_a_thread(void *unused)
{
    one_span();
    return unused;
}

/* Threads that come, make a span or two, and go. */
static void *come_and_go(void *unused)
{
    while (!atomic_load(&enough)) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, one_span_of_a_thread, NULL) == 0)
            pthread_join(thread, NULL);
    }
    return unused;
}

static void start_workers(pthread_t *threads, void *(*what)(void *))
{
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, what, NULL), 0);
}

static void end_workers(const pthread_t *threads)
{
    atomic_store(&enough, true);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
}

static void wait_for_spans(unsigned long count)
{
    unsigned long begin = atomic_load(&spans);
    while (atomic_load(&spans) - begin < count)
        sched_yield();
}

/* What it said at the stop is what the file has. */
static void expect_exact(void)
{
    struct aistrace_counters counters = client_counted();

    ck_assert_uint_eq(counters.attempted, counters.committed + counters.ring_full + counters.oversize +
                                              counters.nested + counters.disabled + counters.no_slot +
                                              counters.no_memory + counters.no_segment);
    size_t before = client.set.count;
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count - before, counters.committed);
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
}

LOOP_TEST(stop_beside_threads_that_trace_spoils_nothing, 40)
{
    pthread_t threads[WORKERS];

    client_fixture_start(options);
    start_workers(threads, work);
    wait_for_spans((unsigned long)_i * 50 + 1);
    aistrace_stop();
    wait_for_spans(1000); /* late ones write into the void, the others nothing */
    expect_exact();
    end_workers(threads);
}

LOOP_TEST(stop_and_start_beside_threads_that_trace_spoil_nothing, 4)
{
    enum { ROUNDS = 10 };
    pthread_t threads[WORKERS];

    start_workers(threads, work);
    for (int round = 0; round < ROUNDS; round++) {
        client_fixture_start(options);
        ck_assert_uint_le(client_counted().no_segment, client_counted().attempted);
        wait_for_spans(200);
        aistrace_stop();
        expect_exact();
    }
    end_workers(threads);
    ck_assert_uint_gt(client.set.count, 0);
}

LOOP_TEST(stop_beside_threads_that_come_and_go_hangs_nowhere, 4)
{
    enum { ROUNDS = 10 };
    pthread_t threads[WORKERS];

    start_workers(threads, come_and_go);
    for (int round = 0; round < ROUNDS; round++) {
        client_fixture_start(options);
        for (int i = 0; i < 10; i++)
            one_span();
        aistrace_stop();
        expect_exact();
    }
    end_workers(threads);
}

/* ---- the program's end ---- */

static void late_spans(void)
{
    one_span();
}

static void *trace_for_ever(void *unused)
{
    for (;;)
        one_span();
    return unused;
}

static void end_by_return(void)
{
    exit(0);
}

static void end_at_once(void)
{
    _exit(0);
}

static void end_quickly(void)
{
    quick_exit(0);
}

static void (*const ends[])(void) = {end_by_return, end_at_once, end_quickly};

LOOP_TEST(a_program_may_end_while_threads_trace, 10 * COUNT(ends))
{
    struct span_set before = client.set;
    int status;

    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        alarm(60);
        client_fixture_start(options);
        atexit(late_spans);
        for (int i = 0; i < WORKERS; i++)
            pthread_create(&thread, NULL, trace_for_ever, NULL);
        while (client_counted().committed < 1 + (uint64_t)_i * 10)
            sched_yield();
        ends[(unsigned)_i % COUNT(ends)]();
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_gt(client.set.count, before.count);
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
}

/* ---- the same, of a child that is left as it was forked ---- */

TEST(a_childs_end_leaves_its_parents_segment_alone)
{
    int status;

    client_fixture_start(options);
    one_span();
    pid_t child = fork();
    if (child == 0)
        exit(0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    one_span();
    ck_assert_uint_eq(client_counted().committed, 2);
    aistrace_stop();
    expect_exact();
}
