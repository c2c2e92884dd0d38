/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "support/client_fixture.h"
#include "support/test.h"

static volatile sig_atomic_t handled;
static volatile uint64_t handler_spans;

static void start(void)
{
    client_fixture_init();
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 32 << 20});
}

FIXTURE(start, client_fixture_done);

static void traced_handler(int number)
{
    struct aistrace_span outer, inner;

    (void)number;
    aistrace_span_start(&outer, "handler", NULL);
    aistrace_span_start(&inner, "handler's child", &(struct aistrace_span_options){.parent = &outer.context});
    aistrace_span_set_int(&inner, "n", handled);
    aistrace_span_end(&inner);
    aistrace_span_end(&outer);
    handler_spans += 2;
    handled++;
}

static void storm(const struct itimerval *interval)
{
    struct sigaction action = {.sa_handler = traced_handler, .sa_flags = SA_RESTART};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, interval, NULL);
}

TEST(handlers_with_spans_of_their_own_keep_the_identity)
{
    enum { SIGNALS = 3000, SPANS_MOST = 2000000 };
    struct aistrace_counters counters;
    uint64_t spans = 0;

    ck_assert_int_eq(aistrace_thread_attach(), 0);
    storm(&(struct itimerval){{0, 50}, {0, 50}});
    while (handled < SIGNALS && spans < SPANS_MOST) {
        struct aistrace_span span;
        aistrace_span_start(&span, "main", NULL);
        aistrace_span_set_string(&span, "key", "value");
        aistrace_span_end(&span);
        if (++spans % 20000 == 0) {
            span_set_drain(&client.set, client.dir);
        }
    }
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    aistrace_counters_read(&counters);
    span_set_drain(&client.set, client.dir);
    ck_assert_int_gt(handled, 100);
    ck_assert_uint_eq(counters.attempted, spans + handler_spans);
    ck_assert_uint_eq(counters.attempted, counters.committed + counters.ring_full + counters.nested);
    ck_assert_uint_eq(client.set.count, counters.committed);
    ck_assert_uint_eq(span_set_duplicates(&client.set), 0);
}

#ifndef __SANITIZE_THREAD__ /* which reports a handler's first span, because attaching allocates */
TEST(a_threads_first_span_in_a_handler_works_where_the_allocator_was_not_interrupted)
{
    struct aistrace_counters counters;

    storm(&(struct itimerval){{0, 0}, {0, 1000}});
    while (!handled)
        pause();
    aistrace_counters_read(&counters);
    ck_assert_uint_eq(counters.committed, 2);
}

TEST(signals_during_start_stop_and_attach_hang_nothing)
{
    struct aistrace_options options = {.role = "proxy", .ring_dir = client.dir, .ring_bytes = 64 << 10};

    storm(&(struct itimerval){{0, 100}, {0, 100}});
    for (int i = 0; i < 200; i++) {
        struct aistrace_counters counters;
        aistrace_stop();
        ck_assert_int_eq(aistrace_start(&options), 0);
        ck_assert_int_eq(aistrace_thread_attach(), 0);
        aistrace_counters_read(&counters);
    }
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    ck_assert_int_gt(handled, 0);
}
#endif
