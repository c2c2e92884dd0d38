/* SPDX-License-Identifier: MIT
 *
 * Spans while tracing is off: every one is counted, whoever reads the counts and whatever becomes of the thread.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/advice.h"
#include "support/client_fixture.h"
#include "support/test.h"
#include "tracer.h"

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER true
#else
#define THREAD_SANITIZER false
#endif

TIMEOUT(120);

FIXTURE(client_fixture_init, client_fixture_done);

static void write_spans(int count)
{
    for (int i = 0; i < count; i++) {
        struct aistrace_span span;
        aistrace_span_start(&span, "s", NULL);
        aistrace_span_set_int(&span, "i", i);
        aistrace_span_end(&span);
    }
}

static void publish(uint64_t flags)
{
    client_publish(SHMRING_CONTROL_PUBLISHED | flags, UINT64_C(1) << 63);
}

static uint64_t told(enum shmring_drop reason)
{
    struct shmring_reader *reader = span_set_open(client.dir);
    uint64_t dropped[SHMRING_DROP_REASONS];

    shmring_reader_counters(reader, dropped);
    shmring_reader_close(reader);
    return dropped[reason];
}

/* ---- ways of being off ---- */

static void not_started(void)
{
}

static void start_disabled(void)
{
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 8});
    publish(SHMRING_CONTROL_DISABLED);
}

static void start_attach_disable(void)
{
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 8});
    publish(0);
    ck_assert_int_eq(aistrace_thread_attach(), 0);
    publish(SHMRING_CONTROL_DISABLED);
}

/* The caller has the only one. */
static void start_with_one_slot(void)
{
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 1});
    ck_assert_int_eq(aistrace_thread_attach(), 0);
}

static const struct {
    void (*begin)(void);
    size_t counter;
} ways[] = {
    {not_started, offsetof(struct aistrace_counters, no_segment)},
    {start_disabled, offsetof(struct aistrace_counters, disabled)},
    {start_attach_disable, offsetof(struct aistrace_counters, disabled)},
    {start_with_one_slot, offsetof(struct aistrace_counters, no_slot)},
};

static void expect(int way, uint64_t count)
{
    struct aistrace_counters counters = client_counted();
    uint64_t value;

    memcpy(&value, (const char *)&counters + ways[way].counter, sizeof(value));
    ck_assert_uint_eq(value, count);
    ck_assert_uint_eq(counters.attempted - counters.committed, count);
}

/* ---- threads ---- */

static pthread_barrier_t all_wrote, all_checked;
static _Atomic(struct aistrace__tally *) tallies[64];
static atomic_int tally_count;

static void *write_and_wait(void *count)
{
    write_spans(*(int *)count);
    tallies[atomic_fetch_add(&tally_count, 1)] = aistrace__thread.tally;
    pthread_barrier_wait(&all_wrote);
    pthread_barrier_wait(&all_checked);
    return NULL;
}

static void *just_write(void *count)
{
    write_spans(*(int *)count);
    return NULL;
}

LOOP_TEST(each_thread_counts_for_itself_and_the_sum_is_exact_at_every_quiet_moment, COUNT(ways))
{
    enum { THREADS = 40 };
    pthread_t threads[THREADS];
    int spans = 1500;

    ways[_i].begin();
    pthread_barrier_init(&all_wrote, NULL, THREADS + 1);
    pthread_barrier_init(&all_checked, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_and_wait, &spans), 0);
    pthread_barrier_wait(&all_wrote);
    expect(_i, THREADS * 1500);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < i; k++)
            ck_assert_ptr_ne(tallies[i], tallies[k]);
    ck_assert_ptr_nonnull(tallies[0]);
    ck_assert_uint_eq((uintptr_t)tallies[0] % 128, 0);
    pthread_barrier_wait(&all_checked);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect(_i, THREADS * 1500);
}

TEST(threads_that_come_and_go_share_their_tallies)
{
    enum { THREADS = 200 };
    struct aistrace__tally *first;
    pthread_t thread;
    int spans = 3;

    write_spans(1);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, just_write, &spans), 0);
        pthread_join(thread, NULL);
    }
    first = aistrace__tally_take(); /* what the last of them left */
    ck_assert_uint_eq(aistrace__tally_add(first, AISTRACE__DROP_NO_SEGMENT), THREADS * 3);
    ck_assert_uint_eq(client_counted().no_segment, THREADS * 3 + 2);
}

static pthread_key_t late_key;

static void write_again(void *count)
{
    write_spans(*(int *)count);
    pthread_setspecific(late_key, count);
}

static void *write_to_the_very_end(void *count)
{
    pthread_setspecific(late_key, count);
    return NULL;
}

LOOP_TEST(spans_of_destructors_to_the_last_round_are_counted, COUNT(ways))
{
    enum { THREADS = 100, ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS };
    int spans = 3;

    NEEDS(!THREAD_SANITIZER, "no ThreadSanitizer, which has left the thread by the last round");
    ways[_i].begin();
    pthread_key_create(&late_key, write_again); /* runs after the library's own */
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, write_to_the_very_end, &spans), 0);
        pthread_join(thread, NULL);
    }
    expect(_i, (uint64_t)THREADS * ROUNDS * 3);
}

/* ---- signals ---- */

static volatile sig_atomic_t handled;

static void traced_handler(int number)
{
    (void)number;
    write_spans(2);
    handled++;
}

LOOP_TEST(handlers_between_the_spans_they_interrupt_are_counted, COUNT(ways))
{
    struct sigaction action = {.sa_handler = traced_handler, .sa_flags = SA_RESTART};
    uint64_t spans = 0;

    if (ways[_i].begin == start_with_one_slot)
        return; /* its spans are written */
    ways[_i].begin();
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 50}, {0, 50}}, NULL);
    while (handled < 2000 && spans < 100 * 1000 * 1000) {
        write_spans(1000);
        spans += 1000;
    }
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    ck_assert_int_gt(handled, 100);
    expect(_i, spans + 2 * (uint64_t)handled);
}

/* ---- processes ---- */

static pid_t plain_fork(void)
{
    return fork();
}

/* What no fork handler sees. */
static pid_t raw_clone(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static pid_t (*const forks[])(void) = {plain_fork, raw_clone};

LOOP_TEST(a_child_counts_from_nothing, COUNT(forks))
{
    NEEDS(forks[_i] == plain_fork || advice_wipes_on_fork(), "MADV_WIPEONFORK");
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 8});
    publish(SHMRING_CONTROL_DISABLED);
    write_spans(1500);
    pid_t child = forks[_i]();
    if (child == 0) {
        write_spans(3);
        struct aistrace_counters counters = client_counted();
        _exit(counters.attempted == 3 ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(client_counted().disabled, 1500);
}

static void *count_and_wait(void *reads)
{
    write_spans(1);
    if (reads)
        client_counted();
    tallies[atomic_fetch_add(&tally_count, 1)] = aistrace__thread.tally;
    pthread_barrier_wait(&all_wrote);
    pthread_barrier_wait(&all_checked);
    return NULL;
}

static void start_counting(bool reads)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, count_and_wait, reads ? &tallies : NULL) != 0)
        _exit(2);
    pthread_barrier_wait(&all_wrote);
}

/* No handler of such a fork has run. The first call that takes the mutex makes the state the child's own, in whichever
 * thread that is, while others count already. */
LOOP_TEST(threads_of_a_raw_clones_child_have_a_tally_each_whoever_reads_the_counters, 2)
{
    int status;

    NEEDS(advice_wipes_on_fork(), "MADV_WIPEONFORK");
    write_spans(1);
    pid_t child = raw_clone();
    if (child == 0) {
        pthread_barrier_init(&all_wrote, NULL, 2);
        pthread_barrier_init(&all_checked, NULL, 3);
        start_counting(_i == 0);
        if (_i == 1)
            client_counted();
        start_counting(false);
        struct aistrace__tally *mine = aistrace__thread.tally;
        _exit(tallies[0] != tallies[1] && tallies[0] != mine && tallies[1] != mine ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

TEST(a_start_counts_from_nothing)
{
    write_spans(5);
    ck_assert_uint_eq(client_counted().no_segment, 5);
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 10});
    ck_assert_uint_eq(client_counted().attempted, 0);
    write_spans(1);
    aistrace_stop();
    write_spans(7);
    ck_assert_uint_eq(client_counted().attempted, 8);
    ck_assert_uint_eq(client_counted().no_segment, 7);
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 10});
    ck_assert_uint_eq(client_counted().attempted, 0);
}

/* ---- what the daemon is told ---- */

TEST(the_segment_is_told_of_the_first_and_then_of_every_thousand)
{
    start_disabled();
    write_spans(1);
    ck_assert_uint_eq(told(SHMRING_DROP_DISABLED), 1);
    write_spans(1023);
    ck_assert_uint_eq(told(SHMRING_DROP_DISABLED), 1);
    write_spans(1);
    ck_assert_uint_eq(told(SHMRING_DROP_DISABLED), 1025);
    write_spans(100);
    ck_assert_uint_eq(client_counted().disabled, 1125); /* tells the segment as well */
    ck_assert_uint_eq(told(SHMRING_DROP_DISABLED), 1125);
}

TEST(the_segment_is_told_when_a_thread_ends_and_when_tracing_stops)
{
    int spans = 10;
    pthread_t thread;

    start_disabled();
    ck_assert_int_eq(pthread_create(&thread, NULL, just_write, &spans), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(told(SHMRING_DROP_DISABLED), 10);
    write_spans(20);
    aistrace_stop();
    ck_assert_uint_eq(told(SHMRING_DROP_DISABLED), 30);
}
