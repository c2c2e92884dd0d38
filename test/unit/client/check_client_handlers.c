/* SPDX-License-Identifier: MIT
 *
 * A signal handler takes the slot from its thread, at any instruction of a span: it stops the tracer, or starts it anew,
 * or detaches the thread. The span is written where it began, or not at all; no slot ever has two owners.
 */
#include <pthread.h>
#include <stdlib.h>

#include "support/client_fixture.h"
#include "support/single_step.h"
#include "support/test.h"

enum { INSTRUCTIONS_MOST = 20000 };

TIMEOUT(240);

static struct aistrace_options options = {.role = "proxy", .ring_bytes = 64 << 10, .thread_slots = 1};

static void by_counter(void)
{
    unsetenv("AIS_TRACING_CLOCK");
    client_fixture_init();
}

static void by_system(void)
{
    setenv("AIS_TRACING_CLOCK", "system", 1);
    client_fixture_init();
}

FIXTURE(by_counter, client_fixture_done);
SECOND_FIXTURE(by_system, client_fixture_done);

static void one_span(void *unused)
{
    struct aistrace_span span;

    (void)unused;
    aistrace_span_start(&span, "span", NULL);
    aistrace_span_end(&span);
}

/* ---- another thread, which has the only slot or finds it taken ---- */

static pthread_t other;
static pthread_barrier_t asked;
static bool other_has_it;

static void *ask_for_the_slot(void *unused)
{
    other_has_it = aistrace_thread_attach() == 0;
    pthread_barrier_wait(&asked);
    pthread_barrier_wait(&asked);
    return unused;
}

static void ask_in_another_thread(void)
{
    pthread_barrier_init(&asked, NULL, 2);
    ck_assert_int_eq(pthread_create(&other, NULL, ask_for_the_slot, NULL), 0);
    pthread_barrier_wait(&asked);
}

static void let_other_end(void)
{
    pthread_barrier_wait(&asked);
    pthread_join(other, NULL);
}

/* ---- the tracer goes ---- */

static void stop(void *unused)
{
    (void)unused;
    aistrace_stop();
}

static void start_anew(void *unused)
{
    aistrace_stop();
    client_fixture_start(options);
    one_span(unused);
}

static void start_without_slot(void *unused)
{
    aistrace_stop();
    client_fixture_start(options);
    ask_in_another_thread();
    one_span(unused);
    let_other_end();
}

static void (*const goings[])(void *) = {stop, start_anew, start_without_slot};

LOOP_TEST(a_span_survives_a_tracer_that_goes_meanwhile, COUNT(goings))
{
    bool came = true;

    NEEDS_SINGLE_STEP();
    for (unsigned at = 1; came; at += SINGLE_STEP_STRIDE) {
        client_fixture_start(options);
        one_span(NULL);
        came = single_step(at, one_span, goings[_i], NULL);
        aistrace_stop();
        span_set_drain(&client.set, client.dir);
        ck_assert_uint_ge(client.set.count, 1);
        ck_assert_uint_le(client.set.committed - client.set.count, 1); /* begun, and stopped */
        ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
        client_fixture_done();
        client_fixture_init();
        ck_assert_uint_lt(at, INSTRUCTIONS_MOST);
    }
}

/* ---- the slot goes ---- */

static uint64_t committed_before;

static void give_the_slot_away(void *unused)
{
    (void)unused;
    aistrace_thread_detach();
    ask_in_another_thread();
    committed_before = client_counted().committed;
}

TEST(a_slot_that_a_span_is_written_to_is_not_given_away)
{
    bool came = true;
    uint64_t given = 0, kept = 0;

    NEEDS_SINGLE_STEP();
    client_fixture_start(options);
    for (unsigned at = 1; came; at += SINGLE_STEP_STRIDE) {
        ck_assert_int_eq(aistrace_thread_attach(), 0);
        struct aistrace_counters before = client_counted();
        came = single_step(at, one_span, give_the_slot_away, NULL);
        if (!came)
            break;
        struct aistrace_counters now = client_counted();
        ck_assert_uint_eq(now.attempted, before.attempted + 1);
        ck_assert_uint_eq(now.attempted, now.committed + now.no_slot);
        if (other_has_it)
            ck_assert_uint_eq(now.committed, committed_before);
        given += other_has_it;
        kept += !other_has_it;
        let_other_end();
        span_set_drain(&client.set, client.dir);
        ck_assert_uint_eq(client.set.count, now.committed);
        ck_assert_uint_lt(at, INSTRUCTIONS_MOST);
    }
    ck_assert_uint_gt(given, 0);
    ck_assert_uint_gt(kept, 0);
}
