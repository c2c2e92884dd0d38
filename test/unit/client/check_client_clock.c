/* SPDX-License-Identifier: MIT
 *
 * The clock of this machine, through the counter where that is sound; the wall clock can be set.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "support/client_fixture.h"
#include "support/counter.h"
#include "support/test.h"

#define BOUND_NS  1000ull
#define HOUR_NS   3600000000000ll
#define SECOND_NS 1000000000ull

static _Atomic int64_t wall_shift_ns;
static int (*libc_clock_gettime)(clockid_t clock, struct timespec *out);

/* Takes the place of the C library's, so that a test can set the wall clock. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    int64_t shift_ns = clock == CLOCK_REALTIME ? wall_shift_ns : 0;

    if (!libc_clock_gettime)
        *(void **)&libc_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int result = libc_clock_gettime(clock, out);
    out->tv_sec += shift_ns / (int64_t)SECOND_NS;
    return result;
}

static bool counter_forbidden;

/* Likewise: really forbidden, not even a sanitizer could read its clock. */
int prctl(int option, ...)
{
    va_list arguments;

    va_start(arguments, option);
    unsigned long second = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (option == PR_GET_TSC && counter_forbidden) {
        *(int *)second = PR_TSC_SIGSEGV;
        return 0;
    }
    return (int)syscall(SYS_prctl, option, second, 0, 0, 0);
}

static void start(void)
{
    client_fixture_init();
    unsetenv("AIS_TRACING_CLOCK");
}

FIXTURE(start, client_fixture_done);

static void start_tracing(void)
{
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.role = "proxy", .ring_dir = client.dir}), 0);
}

static bool by_counter(void)
{
    return counter_is_used();
}

/* For a second, so that the line is renewed thousands of times. */
static void *compare_with_the_kernel(void *unused)
{
    uint64_t begin_ns = aistrace__clock_read(CLOCK_MONOTONIC), after_ns = begin_ns;

    (void)unused;
    while (after_ns - begin_ns < SECOND_NS) {
        uint64_t before_ns = aistrace__clock_read(CLOCK_MONOTONIC);
        aistrace__counter_fence();
        uint64_t ns = aistrace__monotonic_ns();
        aistrace__counter_fence();
        after_ns = aistrace__clock_read(CLOCK_MONOTONIC);
        ck_assert_uint_ge(ns + BOUND_NS / 2, before_ns);
        ck_assert_uint_le(ns, after_ns + BOUND_NS / 2);
    }
    return NULL;
}

TEST(every_reading_of_every_thread_is_within_half_a_microsecond_of_the_kernels)
{
    pthread_t threads[4];

    start_tracing();
    counter_await();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, compare_with_the_kernel, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    aistrace_stop();
}

/* A span over a sleep, an event in it, and the kernel's own view of both. */
static void check_span(uint64_t sleep_us)
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    struct span_set_item item;
    struct aistrace_event_value event;
    uint64_t outer_ns = aistrace__clock_read(CLOCK_MONOTONIC), inner_ns, inner_end_ns, outer_end_ns;

    aistrace_span_start(&span, "sleep", NULL);
    inner_ns = aistrace__clock_read(CLOCK_MONOTONIC);
    usleep((useconds_t)sleep_us);
    aistrace_span_add_event(&span, "awake", NULL, 0);
    inner_end_ns = aistrace__clock_read(CLOCK_MONOTONIC);
    aistrace_span_end(&span);
    outer_end_ns = aistrace__clock_read(CLOCK_MONOTONIC);
    span_set_drain(&client.set, client.dir);

    seen = span_set_find(&client.set, span.context.span_id);
    ck_assert_ptr_nonnull(seen);
    ck_assert_uint_ge(seen->fixed.duration_ns + BOUND_NS, inner_end_ns - inner_ns);
    ck_assert_uint_le(seen->fixed.duration_ns, outer_end_ns - outer_ns + BOUND_NS);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_EVENT, NULL, &item));
    memcpy(&event, item.value, sizeof(event));
    ck_assert_uint_ge(event.time_unix_ns, seen->fixed.start_unix_ns + sleep_us * 1000 - BOUND_NS);
    ck_assert_uint_le(event.time_unix_ns, seen->fixed.start_unix_ns + seen->fixed.duration_ns + BOUND_NS);
}

TEST(durations_are_the_kernels_to_a_microsecond)
{
    start_tracing();
    counter_await();
    for (uint64_t us = 1; us < 1000000; us *= 4)
        check_span(us);
    aistrace_stop();
}

/* Both clocks at one moment, as close as this machine lets one have it. */
static int64_t wall_offset_ns(void)
{
    uint64_t best_ns = UINT64_MAX;
    int64_t offset_ns = 0;

    for (int i = 0; i < 1000; i++) {
        uint64_t before_ns = aistrace__clock_read(CLOCK_MONOTONIC), wall_ns = aistrace__clock_read(CLOCK_REALTIME);
        uint64_t took_ns = aistrace__clock_read(CLOCK_MONOTONIC) - before_ns;
        if (took_ns < best_ns) {
            best_ns = took_ns;
            offset_ns = (int64_t)(wall_ns - before_ns - took_ns / 2);
        }
    }
    return offset_ns;
}

static bool is_near(int64_t a, int64_t b)
{
    return a - b <= (int64_t)BOUND_NS && b - a <= (int64_t)BOUND_NS;
}

/* Every span is on the time of before the step or on that of after it; and what is drained later reads the same. */
LOOP_TEST(a_step_of_the_wall_clock_is_taken_up_between_two_spans, 2)
{
    int64_t old_ns, new_ns, offset_ns;
    uint64_t stepped_ns, deadline_ns;
    struct aistrace_span first, last;

    start_tracing();
    counter_await();
    aistrace_span_start(&first, "before", NULL);
    old_ns = wall_offset_ns();
    wall_shift_ns = _i == 0 ? HOUR_NS : -HOUR_NS;
    new_ns = wall_offset_ns();
    stepped_ns = aistrace__clock_read(CLOCK_MONOTONIC);
    deadline_ns = stepped_ns + 20 * SECOND_NS;
    do {
        usleep(500); /* the ring is to hold them all */
        aistrace_span_start(&last, "after", NULL);
        aistrace_span_end(&last);
        offset_ns = (int64_t)(last.start_unix_ns - last.start_monotonic_ns);
        ck_assert(is_near(offset_ns, old_ns) || is_near(offset_ns, new_ns));
        if (is_near(offset_ns, old_ns)) /* never later than this */
            ck_assert_uint_lt(last.start_monotonic_ns, stepped_ns + SECOND_NS + BOUND_NS);
        ck_assert_uint_lt(last.start_monotonic_ns, deadline_ns);
    } while (!is_near(offset_ns, new_ns));
    aistrace_span_end(&first);
    span_set_drain(&client.set, client.dir);

    const struct span_set_span *seen = span_set_find(&client.set, first.context.span_id);
    ck_assert_ptr_nonnull(seen);
    ck_assert(is_near((int64_t)(seen->fixed.start_unix_ns - first.start_monotonic_ns), old_ns));
    ck_assert_uint_lt(seen->fixed.duration_ns, 20 * SECOND_NS); /* it has no part of the hour */
    seen = span_set_find(&client.set, last.context.span_id);
    ck_assert_ptr_nonnull(seen);
    ck_assert(is_near((int64_t)(seen->fixed.start_unix_ns - last.start_monotonic_ns), new_ns));
    aistrace_stop();
}

static _Atomic uint64_t handed_over_ns;

static void *child_after_parent(void *unused)
{
    (void)unused;
    for (uint64_t parent_ns;;) {
        while ((parent_ns = handed_over_ns) == 0)
            sched_yield();
        if (parent_ns == UINT64_MAX)
            return NULL;
        aistrace__counter_fence();
        ck_assert_uint_ge(aistrace__monotonic_ns() + BOUND_NS, parent_ns);
        handed_over_ns = 0;
    }
}

TEST(a_child_on_another_thread_does_not_start_before_its_parent)
{
    pthread_t thread;

    start_tracing();
    counter_await();
    ck_assert_int_eq(pthread_create(&thread, NULL, child_after_parent, NULL), 0);
    for (int i = 0; i < 5000; i++) {
        handed_over_ns = aistrace__monotonic_ns();
        while (handed_over_ns != 0)
            sched_yield();
    }
    handed_over_ns = UINT64_MAX;
    pthread_join(thread, NULL);
    aistrace_stop();
}

TEST(a_forked_child_measures_anew)
{
    int status;

    start_tracing();
    counter_await();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        bool forgot = !by_counter() && aistrace__clock.renew_at_ns == 0;
        struct aistrace_span span;
        aistrace_span_start(&span, "child", NULL);
        aistrace_span_end(&span);
        _exit(forgot && is_near((int64_t)(span.start_unix_ns - span.start_monotonic_ns), wall_offset_ns()) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    aistrace_stop();
}

/* What the line of the parent would give is 1,000 s off there. */
TEST(a_child_in_another_time_namespace_has_the_time_of_that)
{
    int status, offsets;

    start_tracing();
    counter_hold();
    if (unshare(CLONE_NEWTIME) != 0) {
        test_skips(__func__, "a time namespace");
        aistrace_stop();
        return;
    }
    offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(offsets, 0);
    ck_assert_int_gt(dprintf(offsets, "monotonic 1000 0\n"), 0);
    close(offsets);
    uint64_t parent_ns = aistrace__clock_read(CLOCK_MONOTONIC);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct aistrace_span span;
        aistrace_span_start(&span, "child", NULL);
        aistrace_span_end(&span);
        bool there = span.start_monotonic_ns >= parent_ns + 1000 * SECOND_NS;
        _exit(there && is_near((int64_t)(span.start_unix_ns - span.start_monotonic_ns), wall_offset_ns()) ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    aistrace_stop();
}

LOOP_TEST(the_environment_and_prctl_can_forbid_the_counter, 2)
{
    if (_i == 0)
        setenv("AIS_TRACING_CLOCK", "system", 1);
    counter_forbidden = _i != 0;
    start_tracing();
    ck_assert_uint_eq(aistrace__clock.ticks.renew_at_ns, UINT64_MAX);
    compare_with_the_kernel(NULL);
    ck_assert(!by_counter());
    aistrace_stop();
    unsetenv("AIS_TRACING_CLOCK");
    counter_forbidden = false;
    start_tracing();
    counter_await(); /* a later life of the tracer may use it */
    aistrace_stop();
}

/* So nothing is lost by the counter. */
TEST(a_thread_that_may_not_read_the_counter_cannot_read_the_c_librarys_clock_either)
{
    int status;

    start_tracing();
    NEEDS(counter_await(), "a sound counter of the CPU");
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct timespec now;
        signal(SIGSEGV, SIG_DFL);
        prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
        clock_gettime(CLOCK_MONOTONIC, &now);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    aistrace_stop();
}
