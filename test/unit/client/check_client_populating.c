/* SPDX-License-Identifier: MIT
 *
 * What other threads may do while a thread's ring gets its memory: everything. Includes the source it tests, so that a
 * thread can be held there.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shmring.h"

static int populate_and_wait(struct shmring *ring, struct shmring_writer *taken);
#define shmring_slot_populate populate_and_wait

#include "thread.c"

#undef shmring_slot_populate

#include "support/advice.h"
#include "support/client_fixture.h"
#include "support/test.h"

static pthread_barrier_t is_populating, may_go_on;
static _Thread_local bool is_held;
static atomic_bool fails;
static atomic_int holds = 1; /* how often the thread is held */

static int populate_and_wait(struct shmring *ring, struct shmring_writer *taken)
{
    int err = shmring_slot_populate(ring, taken);
    if (is_held && atomic_fetch_sub(&holds, 1) > 0) {
        pthread_barrier_wait(&is_populating);
        pthread_barrier_wait(&may_go_on);
    }
    return fails ? -ENOSPC : err;
}

static void *write_one(void *unused)
{
    client_span();
    return unused;
}

static pthread_t held;

static void *populate(void *unused)
{
    is_held = true;
    client_span();
    return unused;
}

static void start(void)
{
    client_fixture_init();
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 8});
    pthread_barrier_init(&is_populating, NULL, 2);
    pthread_barrier_init(&may_go_on, NULL, 2);
    ck_assert_int_eq(pthread_create(&held, NULL, populate, NULL), 0);
    pthread_barrier_wait(&is_populating);
}

static void let_go(void)
{
    pthread_barrier_wait(&may_go_on);
    pthread_join(held, NULL);
}

FIXTURE(start, client_fixture_done);

TEST(other_threads_make_their_first_spans_and_end)
{
    pthread_t thread;

    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, write_one, NULL), 0);
        pthread_join(thread, NULL);
    }
    ck_assert_int_eq(aistrace_thread_attach(), 0);
    ck_assert_uint_eq(client_counted().committed, 20);
    let_go();
    ck_assert_uint_eq(client_counted().committed, 21);
    ck_assert_uint_eq(client_counted().attempted, 21);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 21);
}

TEST(a_fork_does_not_wait_and_its_child_is_traced)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        is_held = false;
        client_span();
        aistrace_stop();
        _exit(client_counted().committed == 1 && client_counted().attempted == 1 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    let_go();
    ck_assert_uint_eq(client_counted().committed, 1);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 2);
}

TEST(a_signal_waits)
{
    ck_assert_int_eq(pthread_kill(held, SIGUSR1), 0); /* which would end the program */
    signal(SIGUSR1, SIG_IGN);
    let_go();
    ck_assert_uint_eq(client_counted().committed, 1);
}

TEST(a_cancellation_waits_and_the_slot_comes_back)
{
    ck_assert_int_eq(pthread_cancel(held), 0);
    let_go();
    ck_assert_int_eq(aistrace_thread_attach(), 0);
    struct shmring_reader *reader = span_set_open(client.dir);
    ck_assert_uint_eq(shmring_reader_slots(reader), 1);
    shmring_reader_close(reader);
}

static void *stop(void *unused)
{
    aistrace_stop();
    return unused;
}

static void stop_meanwhile(pthread_t *stopper)
{
    ck_assert_int_eq(pthread_create(stopper, NULL, stop, NULL), 0);
    while (aistrace__generation() != 0)
        usleep(1000);
}

TEST(a_stop_waits_for_it_and_the_span_has_no_segment)
{
    pthread_t stopper;

    stop_meanwhile(&stopper);
    let_go();
    pthread_join(stopper, NULL);
    ck_assert_uint_eq(client_counted().no_segment, 1);
    ck_assert_uint_eq(client_counted().attempted, 1);
}

TEST(a_stop_and_a_start_meanwhile_leave_the_thread_in_the_new_segment)
{
    pthread_t stopper;

    holds = 1; /* once more */
    stop_meanwhile(&stopper);
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 8});
    pthread_barrier_wait(&may_go_on);
    pthread_barrier_wait(&is_populating); /* of the new one */
    let_go();
    pthread_join(stopper, NULL);
    ck_assert_uint_eq(client_counted().committed, 1);
    ck_assert_uint_eq(client_counted().attempted, 1);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 1);
}

TEST(a_lack_of_room_is_counted_and_the_slot_comes_back)
{
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    fails = true;
    let_go();
    fails = false;
    ck_assert_uint_eq(client_counted().no_memory, 1);
    for (int i = 0; i < 8; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, write_one, NULL), 0);
        pthread_join(thread, NULL);
    }
    ck_assert_uint_eq(client_counted().committed, 8);
}
