/* SPDX-License-Identifier: MIT
 *
 * A virtual machine that goes on from a snapshot: the state of all ids is what it was, and so it is in every clone.
 * Setting back a thread's state stands for that.
 */
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "clock.h"
#include "support/client_fixture.h"
#include "support/test.h"
#include "tracer.h"

static bool stands_still;

/* Takes the place of the C library's: a clone's clocks go on from the snapshot as well. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
    if (!stands_still)
        return (int)syscall(SYS_clock_gettime, clock, out);
    *out = (struct timespec){1000, 0};
    return 0;
}

struct ids {
    uint8_t trace_id[16], root_id[8], child_id[8];
};

static struct ids write_trace(void)
{
    struct aistrace_span root, child;
    struct ids ids;

    aistrace_span_start(&root, "root", NULL);
    aistrace_span_start(&child, "child", &(struct aistrace_span_options){.parent = aistrace_span_context(&root)});
    memcpy(ids.trace_id, root.context.trace_id, sizeof(ids.trace_id));
    memcpy(ids.root_id, root.context.span_id, sizeof(ids.root_id));
    memcpy(ids.child_id, child.context.span_id, sizeof(ids.child_id));
    aistrace_span_end(&child);
    aistrace_span_end(&root);
    return ids;
}

static void expect_others(const struct ids *ids, const struct ids *of_clone)
{
    ck_assert_mem_ne(ids->trace_id, of_clone->trace_id, 8);
    ck_assert_mem_ne(ids->trace_id + 8, of_clone->trace_id + 8, 8);
    ck_assert_mem_ne(ids->root_id, of_clone->root_id, 8);
    ck_assert_mem_ne(ids->child_id, of_clone->child_id, 8);
}

static bool has_random_numbers(void)
{
#if defined(__x86_64__)
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_RDRND);
#else
    return false;
#endif
}

static void by_clock_that_stands(void)
{
    stands_still = true;
    client_fixture_by_system();
}

FIXTURE(client_fixture_by_system, client_fixture_done);

TEST(a_clone_at_another_time_has_other_ids)
{
    write_trace();
    for (int i = 0; i < 100; i++) {
        struct aistrace__ids snapshot = aistrace__thread.ids;
        struct ids ids = write_trace(), of_clone;
        aistrace__thread.ids = snapshot;
        of_clone = write_trace();
        expect_others(&ids, &of_clone);
        of_clone = write_trace();
        expect_others(&ids, &of_clone);
    }
}

FIXTURE(client_fixture_by_counter, client_fixture_done);

TEST(a_clone_by_the_cpus_counter_has_other_ids_when_it_reads_the_clock)
{
    write_trace();
    struct aistrace__ids snapshot = aistrace__thread.ids;
    struct ids ids = write_trace(), of_clone;
    aistrace__thread.ids = snapshot;
    atomic_store(&aistrace__clock.renew_at_ns, 0);
    of_clone = write_trace();
    expect_others(&ids, &of_clone);
}

FIXTURE(by_clock_that_stands, client_fixture_done);

TEST(a_clone_at_the_same_time_has_other_ids_from_the_next_second_on)
{
    NEEDS(has_random_numbers(), "a CPU with random numbers");
    write_trace();
    struct aistrace__ids snapshot = aistrace__thread.ids;
    struct ids ids = write_trace(), of_clone;
    aistrace__thread.ids = snapshot;
    of_clone = write_trace();
    ck_assert_mem_eq(&ids, &of_clone, sizeof(ids)); /* not covered; if it were, the text in ids.h should say so */
    aistrace__thread.ids = snapshot;
    atomic_store(&aistrace__clock.renew_at_ns, 0);
    of_clone = write_trace();
    expect_others(&ids, &of_clone);
}
