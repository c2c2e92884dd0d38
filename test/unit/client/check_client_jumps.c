/* SPDX-License-Identifier: MIT
 *
 * A span is left at any of its instructions: by longjmp out of a signal handler, by pthread_exit in one, by asynchronous
 * cancellation. The thread goes on, or another takes its slot; no slot is damaged, no thread is silenced, and what the
 * library counts is what the rings hold.
 */
#include <pthread.h>
#include <stdio.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "support/client_fixture.h"
#include "support/single_step.h"
#include "support/test.h"

enum { INSTRUCTIONS_MOST = 20000, BETWEEN_CHECKS = 16, REFUSED_MOST = 16 };

TIMEOUT(240);

FIXTURE(client_fixture_by_counter, client_fixture_done);
SECOND_FIXTURE(client_fixture_by_system, client_fixture_done);

static struct aistrace_counters counters(void)
{
    struct aistrace_counters now;

    aistrace_counters_read(&now);
    return now;
}

static void span(const char *name)
{
    struct aistrace_span span;

    aistrace_span_start(&span, name, NULL);
    aistrace_span_set_string(&span, "k", "a value that makes it longer than the others are, so that ends differ");
    aistrace_span_end(&span);
}

static void stepped_span(void *unused)
{
    (void)unused;
    span("stepped");
}

/* in_progress: the last write may be left, and is not settled yet. */
static void check_counts(uint64_t in_progress)
{
    struct aistrace_counters now = counters();

    span_set_drain(&client.set, client.dir); /* aborts on a slot that is quarantined */
    ck_assert_uint_le(now.committed - client.set.count, in_progress);
    ck_assert_uint_eq(now.attempted, now.committed + now.nested);
}

/* ---- the thread goes on ---- */

TEST(a_thread_that_left_a_span_by_longjmp_goes_on_where_it_was)
{
    unsigned at = 1;

    for (;; at += SINGLE_STEP_STRIDE) {
        NEEDS_SINGLE_STEP();
        if (!single_step(at, stepped_span, single_step_jump, NULL))
            break;
        uint64_t before = counters().attempted;
        single_step(0, stepped_span, NULL, NULL);
        ck_assert_uint_le(counters().attempted - before, 1); /* 0: the one that was left had counted as begun */
        if (at / SINGLE_STEP_STRIDE % BETWEEN_CHECKS == 0)
            check_counts(0);
        ck_assert_uint_lt(at, INSTRUCTIONS_MOST);
    }
    check_counts(0);
    ck_assert_uint_eq(counters().nested, 0);
    ck_assert_uint_ge(client.set.count, at / SINGLE_STEP_STRIDE); /* all but the ones that were left */
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
    printf("left at %u instructions\n", at - 1);
}

static __attribute__((noinline)) void span_deeper(void)
{
    volatile char below[2048] = "";

    span("deeper");
    below[1] = below[0];
}

TEST(a_thread_that_left_a_span_by_longjmp_goes_on_elsewhere)
{
    unsigned at = 1;
    uint64_t worst = 0;

    for (;; at += SINGLE_STEP_STRIDE) {
        NEEDS_SINGLE_STEP();
        if (!single_step(at, stepped_span, single_step_jump, NULL))
            break;
        uint64_t before = counters().nested;
        for (int i = 0; i < REFUSED_MOST; i++)
            span_deeper();
        uint64_t refused = counters().nested - before, committed = counters().committed;
        span_deeper();
        ck_assert_uint_eq(counters().committed, committed + 1);
        ck_assert_uint_le(refused, REFUSED_MOST);
        worst = refused > worst ? refused : worst;
        if (at / SINGLE_STEP_STRIDE % BETWEEN_CHECKS == 0)
            check_counts(2);
        ck_assert_uint_lt(at, INSTRUCTIONS_MOST);
    }
    ck_assert_uint_eq(worst, REFUSED_MOST);
    check_counts(2); /* a slot each */
}

/* ---- the thread ends ---- */

static _Atomic bool came;
static unsigned leave_instruction;

/* AddressSanitizer knows of jumps, not of a thread that ends below functions of its own. */
static void forget_the_stack(void)
{
#if defined(__SANITIZE_ADDRESS__)
    __asan_handle_no_return();
#endif
}

static void exit_there(void *unused)
{
    (void)unused;
    came = true;
    forget_the_stack();
    pthread_exit(NULL);
}

static void cancel_there(void *unused)
{
    (void)unused;
    came = true;
    forget_the_stack();
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    pthread_cancel(pthread_self());
}

static void *ends_within(void *there)
{
    span("before");
    single_step(leave_instruction, stepped_span, (void (*)(void *))(uintptr_t)there, NULL);
    return NULL;
}

static void *takes_over(void *unused)
{
    span("of the next owner");
    return unused;
}

static void run(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, body, argument), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

static void (*const ways_to_end[])(void *) = {exit_there, cancel_there};

LOOP_TEST(a_slot_whose_thread_ended_within_a_span_is_taken_over, COUNT(ways_to_end))
{
    NEEDS_SINGLE_STEP();
    for (leave_instruction = 1, came = true; came; leave_instruction += SINGLE_STEP_STRIDE) {
        uint64_t before = counters().committed;
        came = false;
        run(ends_within, (void *)(uintptr_t)ways_to_end[_i]);
        run(takes_over, NULL);
        ck_assert_uint_ge(counters().committed, before + 2);
        ck_assert_uint_le(counters().committed, before + 3);
        if (leave_instruction / SINGLE_STEP_STRIDE % BETWEEN_CHECKS == 0)
            check_counts(0);
        ck_assert_uint_lt(leave_instruction, INSTRUCTIONS_MOST);
    }
    check_counts(0);
    ck_assert_uint_eq(counters().nested, 0);
    struct shmring_reader *reader = span_set_open(client.dir);
    ck_assert_uint_eq(shmring_reader_slots(reader), 1);
    shmring_reader_close(reader);
}
