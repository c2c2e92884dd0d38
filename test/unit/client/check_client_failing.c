/* SPDX-License-Identifier: MIT
 *
 * Includes the sources it tests, so that their allocations and system calls can be made to fail: the host goes on
 * without spans, or with them, and is told.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "support/counter.h"
#include "support/failing.h"

#include "clock.c"
#include "ids.c"
#include "lock.c"
#include "process.c"
#include "resource.c"
#include "thread.c"
#include "tracer.c"

#include "support/client_fixture.h"
#include "support/test.h"

FIXTURE(client_fixture_init, client_fixture_done);

static const struct aistrace_options options_of_proxy = {.role = "proxy"};

static int start_here(void)
{
    struct aistrace_options options = options_of_proxy;

    options.ring_dir = client.dir;
    return aistrace_start(&options);
}

static void one_span(uint8_t id[8])
{
    struct aistrace_span span;

    aistrace_span_start(&span, "span", NULL);
    memcpy(id, aistrace_span_context(&span)->span_id, 8);
    aistrace_span_end(&span);
}

static void expect_spans(size_t count)
{
    uint8_t id[8];

    for (size_t i = 0; i < count; i++)
        one_span(id);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, count);
}

/* ---- start ---- */

static const struct {
    const char *call;
    int err;
} starts[] = {
    {"pthread_key_create", EAGAIN},
    {"strdup", ENOMEM},
};

LOOP_TEST(a_start_that_fails_says_so_and_records_nothing, COUNT(starts))
{
    uint8_t id[8];

    errno = 12345;
    has_exit_key = false; /* when the library was loaded there was none either */
    fail_call(starts[_i].call, 0, starts[_i].err);
    ck_assert_int_eq(start_here(), -starts[_i].err);
    ck_assert(failed());
    ck_assert_int_eq(failing.held, 0);
    one_span(id);
    ck_assert_int_eq(aistrace_thread_attach(), -ENODEV);
    ck_assert_int_eq(errno, 12345);
    ck_assert_int_eq(start_here(), 0);
    expect_spans(3);
    aistrace_stop();
    ck_assert_int_eq(failing.held, 0);
}

/* A child would write into its parent's ring. */
TEST(a_library_whose_fork_handlers_could_not_be_registered_never_starts)
{
    uint8_t id[8];

    fail_call("pthread_atfork", 0, ENOMEM);
    watch(); /* as when the library is loaded */
    ck_assert(failed());
    ck_assert_int_eq(start_here(), -ENOMEM);
    ck_assert_int_eq(start_here(), -ENOMEM);
    one_span(id);
    ck_assert_int_eq(aistrace_thread_attach(), -ENODEV);
}

static const struct {
    const char *call;
    unsigned after;
    int err;
} harmless[] = {
    {"getrandom", 0, EAGAIN},
    {"getrandom", 0, 0}, /* half of it */
    {"gethostname", 0, ENAMETOOLONG},
};

LOOP_TEST(a_start_goes_on_without, COUNT(harmless))
{
    struct span_set_item item;

    fail_call(harmless[_i].call, harmless[_i].after, harmless[_i].err);
    ck_assert_int_eq(start_here(), 0);
    expect_spans(100);
    ck_assert(failed());
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
    bool has_host =
        span_set_item(client.set.resource, client.set.resource_bytes, AISTRACE_ITEM_ATTRIBUTE, "host.name", &item);
    ck_assert_int_eq(has_host, strcmp(harmless[_i].call, "gethostname") != 0);
}

/* The handlers of fork stay. The kernel says so, or it does not: emulators answer that all is well, and do nothing. */
LOOP_TEST(a_kernel_that_does_not_wipe_pages_in_a_child_is_done_without, 2)
{
    int status;

    if (_i == 0)
        fail_call("madvise", 0, EINVAL);
    watch();
    ck_assert(failed());
    ck_assert_int_eq(start_here(), 0);
    expect_spans(1);
    madvise((void *)((uintptr_t)&aistrace__fork_page.generation & ~4095ul), 4096, MADV_KEEPONFORK);
    pid_t child = fork();
    if (child == 0) {
        struct aistrace_counters counters;
        uint8_t id[8];
        one_span(id);
        aistrace_counters_read(&counters);
        _exit(counters.committed == 1 && counters.attempted == 1 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    one_span((uint8_t[8]){0});
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 3);
    ck_assert_uint_eq(client.set.segments, 2);
}

static const int errors[] = {EAGAIN, ENOSYS, 0 /* half of what was asked for */};

LOOP_TEST(ids_are_seeded_whole_though_the_kernel_gives_less, COUNT(errors))
{
    struct aistrace__ids ids = {0}, others = {0};

    fail_call("getrandom", 0, errors[_i]);
    aistrace__ids_seed(&ids);
    ck_assert(failed());
    fail_call("getrandom", 0, errors[_i]);
    aistrace__ids_seed(&others);
    ck_assert_uint_eq(ids.step & others.step & 1, 1);
    ck_assert_uint_ne(ids.step, 1);
    ck_assert_uint_ne(ids.step, others.step);
    ck_assert_uint_ne(ids.state, 0);
}

/* Time and thread have to do: two threads still have ids of their own. */
static void *spans_of_a_thread(void *unused)
{
    uint8_t id[8];

    (void)unused;
    fail_call("getrandom", 0, EAGAIN);
    for (int i = 0; i < 100; i++)
        one_span(id);
    ck_assert(failed());
    return NULL;
}

TEST(ids_without_the_kernels_random_numbers_differ_between_threads)
{
    enum { THREADS = 8 };

    ck_assert_int_eq(start_here(), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, spans_of_a_thread, NULL), 0);
        pthread_join(thread, NULL);
    }
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, THREADS * 100);
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
}

/* ---- threads ---- */

static const int refusals[] = {ENOMEM, EAGAIN};

/* At its end nothing would give the slot back: it takes none. */
LOOP_TEST(a_thread_whose_end_would_not_be_noticed_takes_no_slot, COUNT(refusals))
{
    struct aistrace_counters counters;
    uint8_t id[8];

    ck_assert_int_eq(start_here(), 0);
    fail_call("pthread_setspecific", 0, refusals[_i]);
    errno = 12345;
    one_span(id);
    ck_assert_int_eq(errno, 12345);
    ck_assert(failed());
    aistrace_counters_read(&counters);
    ck_assert_uint_eq(counters.no_memory + counters.no_file, 1);
    ck_assert_uint_eq(counters.attempted, 1);
    ck_assert_int_eq(aistrace_thread_attach(), 0);
    one_span(id);
    aistrace_counters_read(&counters);
    ck_assert_uint_eq(counters.committed, 1);
    struct shmring_reader *reader = span_set_open(client.dir);
    ck_assert_uint_eq(shmring_reader_slots(reader), 1); /* the same one */
    shmring_reader_close(reader);
}

/* ---- the clock ---- */

#if defined(__x86_64__)
static const struct {
    const char *call;
    int err;
} clocks[] = {{"prctl", EINVAL}, {"open", ENOENT}, {"read", EIO}};

/* What cannot be found out counts as unsound: the system's clock is asked. */
LOOP_TEST(a_counter_that_nothing_is_known_of_is_not_used, COUNT(clocks))
{
    unsetenv("AIS_TRACING_CLOCK");
    aistrace__clock_start();
    NEEDS(atomic_load(&aistrace__clock.ticks.renew_at_ns) != UINT64_MAX, "a sound counter of the CPU");
    counter_set_window(1000); /* a line that holds, of an earlier start */
    fail_call(clocks[_i].call, 0, clocks[_i].err);
    aistrace__clock_start();
    ck_assert(failed());
    ck_assert_uint_eq(atomic_load(&aistrace__clock.ticks.renew_at_ns), UINT64_MAX);
    ck_assert(!counter_is_used());
}
#endif
