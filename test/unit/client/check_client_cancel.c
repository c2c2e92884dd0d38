/* SPDX-License-Identifier: MIT
 *
 * A thread that is cancelled while it is in the library, or about to enter it: no call is where the thread ends, and
 * everything goes on for the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "support/client_fixture.h"
#include "support/test.h"

TIMEOUT(60);

FIXTURE(client_fixture_init, client_fixture_done);

static struct aistrace_options options = {.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 8};

/* ---- what a thread may be doing when it is cancelled ---- */

static void attach(void)
{
    aistrace_thread_attach();
}

static void start_again(void)
{
    aistrace_stop();
    options.ring_dir = client.dir;
    aistrace_start(&options);
}

static void start_in_vain(void)
{
    struct aistrace_options elsewhere = {.role = "proxy", .ring_dir = "/proc/version"};
    aistrace_stop();
    aistrace_start(&elsewhere); /* prints why */
    start_again();
}

static void read_counters(void)
{
    struct aistrace_counters counters;
    aistrace_counters_read(&counters);
}

static const struct {
    const char *what;
    void (*call)(void);
} calls[] = {
    {"first span", client_span},         {"attach", attach},          {"start", start_again},
    {"start that fails", start_in_vain}, {"counters", read_counters},
};

static void *do_it(void *call)
{
    (*(void (**)(void))call)();
    return NULL;
}

/* ---- and what must go on ---- */

static void fork_a_child(void)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        alarm(20);
        client_span();
        _exit(client_counted().committed == 1 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

static void expect_all_well(void)
{
    uint64_t before = client_counted().committed;
    void (*call)(void) = client_span;
    sigset_t blocked;
    pthread_t other;

    ck_assert_int_eq(pthread_create(&other, NULL, do_it, &call), 0);
    pthread_join(other, NULL);
    fork_a_child();
    client_span();
    ck_assert_uint_eq(client_counted().committed, before + 2);
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    ck_assert_int_eq(sigismember(&blocked, SIGUSR1), 0);
}

/* ---- deferred: the request is there before the call ---- */

static pthread_barrier_t go;
static atomic_bool came_through;

static void *cancelled_before(void *call)
{
    int state, type;
    sigset_t blocked;

    pthread_barrier_wait(&go);
    pthread_barrier_wait(&go); /* not a cancellation point */
    (*(void (**)(void))call)();
    /* And all is as it was: the state, the type, the mask. */
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    if (state == PTHREAD_CANCEL_ENABLE && type == PTHREAD_CANCEL_DEFERRED && sigismember(&blocked, SIGUSR1) == 0)
        atomic_store(&came_through, true);
#if defined(__SANITIZE_ADDRESS__)
    __asan_handle_no_return();
#endif
    pthread_testcancel();
    atomic_store(&came_through, false); /* nobody took the request away */
    return NULL;
}

LOOP_TEST(no_call_is_a_cancellation_point, COUNT(calls))
{
    void (*call)(void) = calls[_i].call, *result;
    pthread_t thread;

    setenv("AIS_TRACING_DEBUG", "1", 1); /* printing is one more */
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
    client_fixture_start(options);
    pthread_barrier_init(&go, NULL, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancelled_before, &call), 0);
    pthread_barrier_wait(&go);
    ck_assert_int_eq(pthread_cancel(thread), 0);
    pthread_barrier_wait(&go);
    pthread_join(thread, &result);
    ck_assert_msg(result == PTHREAD_CANCELED && atomic_load(&came_through), "%s", calls[_i].what);
    expect_all_well();
}

/* ---- asynchronous: the request comes at any instruction ---- */

static atomic_bool looping;

static void *cancelled_within(void *call)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &(int){0});
    atomic_store(&looping, true);
    for (;;)
        (*(void (**)(void))call)();
    return NULL;
}

/* start_again opens files and allocates all the time, under the mutex. */
LOOP_TEST(a_thread_that_is_cancelled_anywhere_leaves_nothing_locked, 100)
{
    void (*call)(void) = _i % 2 ? read_counters : start_again;
    pthread_t thread;

    NEEDS(!TEST_ADDRESS_SANITIZER,
          "no AddressSanitizer, which takes the frames of a thread that ends anywhere for live ones");

    client_fixture_start(options);
    ck_assert_int_eq(pthread_create(&thread, NULL, cancelled_within, &call), 0);
    while (!atomic_load(&looping))
        ;
    for (volatile int i = 0; i < _i * 997; i++)
        ;
    ck_assert_int_eq(pthread_cancel(thread), 0);
    pthread_join(thread, NULL);
    if (aistrace_thread_attach() == -ENODEV) /* between stop and start */
        client_fixture_start(options);
    expect_all_well();
}

/* ---- a thread's end is the library's business as well ---- */

static void *ends_by_cancellation(void *unused)
{
    client_span();
    pthread_barrier_wait(&go);
    for (;;)
        pause();
    return unused;
}

TEST(a_cancelled_thread_gives_its_slot_back)
{
    pthread_t thread;

    options.thread_slots = 1;
    client_fixture_start(options);
    pthread_barrier_init(&go, NULL, 2);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, ends_by_cancellation, NULL), 0);
        pthread_barrier_wait(&go);
        pthread_cancel(thread);
        pthread_join(thread, NULL);
    }
    ck_assert_uint_eq(client_counted().committed, 3);
    ck_assert_uint_eq(client_counted().attempted, 3);
}
