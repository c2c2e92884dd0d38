/* SPDX-License-Identifier: MIT
 *
 * Includes the sources it tests, so that threads can be stopped between two steps of theirs: no schedule of start, use,
 * fork and raw clone gives the mutex two owners, or none.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- the steps, and who stops there ---- */

enum role { NOBODY, READER, STARTER, FORKER, ADOPTER };

static _Thread_local enum role role;
static _Thread_local unsigned loads_left; /* of a reader, up to where it stops */
static _Thread_local bool holds;          /* the mutex: there a reader would keep the start out */
static atomic_bool reader_stopped, reader_waits, reader_done, starter_inside, starter_may_go, two_owners;
static atomic_int initialised, napping;
static bool stops_early;

static void wait_until(const atomic_bool *condition, const atomic_bool *or_this, const atomic_bool *or_that)
{
    while (!atomic_load_explicit(condition, memory_order_seq_cst) &&
           !atomic_load_explicit(or_this, memory_order_seq_cst) && !atomic_load_explicit(or_that, memory_order_seq_cst))
        sched_yield();
}

/* A reader stops where it has seen things as they were before the start, and goes on when the start has done all. */
static void at_load(void)
{
    if (role != READER || holds || loads_left == 0 || --loads_left > 0)
        return;
    atomic_store(&reader_stopped, true);
    wait_until(&starter_inside, &starter_inside, &starter_inside);
}

/* A starter stops here, with nothing done or with all done, until it may go on. */
static void starter_stops(void)
{
    atomic_store(&starter_inside, true);
    wait_until(&starter_may_go, &two_owners, &reader_done);
    atomic_store(&starter_inside, false);
    role = NOBODY;
}

static int lock_here(pthread_mutex_t *mutex)
{
    holds = true;
    if (role == READER || role == FORKER) {
        if (pthread_mutex_trylock(mutex) == 0) {
            if (atomic_load_explicit(&starter_inside, memory_order_seq_cst))
                atomic_store(&two_owners, true);
            return 0;
        }
        atomic_store(&reader_waits, true);
        atomic_store(&starter_may_go, true);
    }
    int err = pthread_mutex_lock(mutex);
    if (role == STARTER && stops_early)
        starter_stops();
    return err;
}

static int unlock_here(pthread_mutex_t *mutex)
{
    holds = false;
    if (role == STARTER)
        starter_stops();
    return pthread_mutex_unlock(mutex);
}

/* Two that both believe to be the first: each waits here for what the other does. */
static int init_here(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    int err = pthread_mutex_init(mutex, attributes);
    atomic_fetch_add(&initialised, 1);
    while (role == ADOPTER && atomic_load_explicit(&initialised, memory_order_seq_cst) < 2 &&
           atomic_load_explicit(&napping, memory_order_seq_cst) == 0)
        sched_yield();
    return err;
}

__attribute__((unused)) static int nap_here(const struct timespec *wait, struct timespec *rest)
{
    atomic_fetch_add(&napping, 1);
    return nanosleep(wait, rest);
}

#undef atomic_load
#define atomic_load(object)         (at_load(), atomic_load_explicit(object, memory_order_seq_cst))
#define pthread_mutex_lock(mutex)   lock_here(mutex)
#define pthread_mutex_unlock(mutex) unlock_here(mutex)
#define pthread_mutex_init(...)     init_here(__VA_ARGS__)
#define nanosleep(...)              nap_here(__VA_ARGS__)

#include "lock.c"
#include "process.c"
#include "thread.c"
#include "tracer.c"

#include "support/advice.h"
#include "support/client_fixture.h"
#include "support/test.h"

TIMEOUT(30);

/* The test's process is the child of a fork itself, and has to find that out. */
static void begin(void)
{
    struct aistrace_counters counters;

    client_fixture_init();
    aistrace_counters_read(&counters);
    initialised = 0;
}

FIXTURE(begin, client_fixture_done);

static void *starter(void *unused)
{
    struct aistrace_options options = {.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 8};

    options.ring_dir = client.dir;
    role = STARTER;
    return aistrace_start(&options) == 0 ? unused : client.dir;
}

/* ---- beside the first start ---- */

static void read_counters(void)
{
    client_counted();
}

static void attach_this(void)
{
    aistrace_thread_attach();
}

static void (*const calls[])(void) = {read_counters, attach_this, client_span};
enum { LOADS = 8 /* more than any of these has before it takes the mutex */ };

static struct {
    void (*call)(void);
    unsigned loads;
} reader_does;

static void *reader(void *unused)
{
    role = READER;
    loads_left = reader_does.loads;
    reader_does.call();
    role = NOBODY;
    atomic_store(&reader_done, true);
    return unused;
}

LOOP_TEST(the_mutex_has_one_owner_wherever_a_thread_was_when_the_first_start_came, LOADS *COUNT(calls))
{
    pthread_t reading, starting;
    void *err;

    reader_does.call = calls[_i % 3];
    reader_does.loads = (unsigned)_i / 3 + 1;
    ck_assert_int_eq(pthread_create(&reading, NULL, reader, NULL), 0);
    wait_until(&reader_stopped, &reader_done, &reader_done);
    ck_assert_int_eq(pthread_create(&starting, NULL, starter, NULL), 0);
    pthread_join(starting, &err);
    pthread_join(reading, NULL);
    ck_assert_ptr_null(err);
    ck_assert(!atomic_load(&two_owners));
    ck_assert_int_eq(initialised, 0);
    client_span();
    ck_assert_uint_ge(client_counted().committed, 1);
}

/* ---- a child of a process in whose first start another thread is ---- */

static pid_t plain_fork(void)
{
    role = FORKER;
    pid_t child = fork();
    role = NOBODY;
    return child;
}

static pid_t raw_clone(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static pid_t (*const ways[])(void) = {plain_fork, raw_clone};

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER true
#else
#define THREAD_SANITIZER false
#endif

LOOP_TEST(a_child_finds_no_mutex_that_nobody_will_give_back, 2 * COUNT(ways))
{
    pthread_t starting;
    int status;

    NEEDS(!THREAD_SANITIZER || ways[_i % 2] == plain_fork,
          "no ThreadSanitizer, for which the parent's mutex stays locked");
    NEEDS(ways[_i % 2] == plain_fork || advice_wipes_on_fork(), "MADV_WIPEONFORK");
    stops_early = _i / 2;
    ck_assert_int_eq(pthread_create(&starting, NULL, starter, NULL), 0);
    wait_until(&starter_inside, &starter_inside, &starter_inside);
    pid_t child = ways[_i % 2]();
    if (child == 0) {
        struct aistrace_counters counters;
        alarm(10);
        client_counted(); /* counts begin anew with the first call that takes the mutex */
        client_span();
        counters = client_counted();
        _exit(counters.attempted == 1 ? 0 : 1);
    }
    atomic_store(&starter_may_go, true);
    pthread_join(starting, NULL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    client_span();
    ck_assert_uint_eq(client_counted().committed, 1);
}

/* ---- the first calls of a raw clone's threads ---- */

static void *adopter(void *unused)
{
    role = ADOPTER;
    client_span();
    return unused;
}

TEST(one_thread_of_a_raw_clone_makes_the_state_its_own)
{
    NEEDS(advice_wipes_on_fork(), "MADV_WIPEONFORK");
    int status;

    atomic_store(&starter_may_go, true);
    ck_assert_ptr_null(starter(NULL));
    client_span();
    pid_t child = raw_clone();
    if (child == 0) {
        pthread_t threads[2];
        alarm(10);
        for (int i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, adopter, NULL);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        _exit(initialised == 1 && client_counted().committed == 2 && client_counted().attempted == 2 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 3);
    ck_assert_uint_eq(client.set.segments, 2);
}
