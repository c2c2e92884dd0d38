/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "support/client_fixture.h"
#include "support/test.h"

static void start(void)
{
    client_fixture_init();
    client_fixture_start((struct aistrace_options){.role = "proxy", .ring_bytes = 64 << 20});
}

static void start_by_counter(void)
{
    unsetenv("AIS_TRACING_CLOCK");
    start();
}

static void start_by_system(void)
{
    setenv("AIS_TRACING_CLOCK", "system", 1);
    start();
}

FIXTURE(start_by_counter, client_fixture_done);
SECOND_FIXTURE(start_by_system, client_fixture_done);

/* The formula in numbers alone: the last eight bytes of the trace id as a big-endian fraction of 2^63 after losing a
 * bit, against the probability. */
static bool formula(const uint8_t trace_id[16], long double probability)
{
    long double x = 0;

    for (int i = 8; i < 16; i++)
        x = x * 256 + trace_id[i];
    return (uint64_t)(x / 2) < (uint64_t)(probability * 9223372036854775808.0L);
}

static const struct {
    uint64_t threshold;
    long double probability;
    int roots;
    int least, most;
} shares[] = {
    {1ull << 61, 0.25L, 100000, 24000, 26000},
    {0, 0, 2000, 0, 0},
    {1ull << 63, 1, 2000, 2000, 2000},
    {1ull << 62, 0.5L, 20000, 9500, 10500},
};

LOOP_TEST(the_kept_roots_are_the_formulas, COUNT(shares))
{
    int kept = 0;

    client_publish(SHMRING_CONTROL_PUBLISHED, shares[_i].threshold);
    for (int i = 0; i < shares[_i].roots; i++) {
        struct aistrace_span span;
        aistrace_span_start(&span, "root", NULL);
        aistrace_span_end(&span);
    }
    span_set_drain(&client.set, client.dir);
    ck_assert_int_eq((int)client.set.count, shares[_i].roots);
    for (size_t i = 0; i < client.set.count; i++) {
        const struct span_set_span *span = &client.set.spans[i];
        bool keep = formula(span->fixed.trace_id, shares[_i].probability);
        ck_assert_int_eq(span->flags, keep ? AISTRACE_SAMPLED : 0);
        ck_assert_int_eq(span->fixed.trace_flags, keep ? 1 : 0);
        kept += keep;
    }
    ck_assert_int_ge(kept, shares[_i].least);
    ck_assert_int_le(kept, shares[_i].most);
}

TEST(descendants_share_the_roots_outcome)
{
    client_publish(SHMRING_CONTROL_PUBLISHED, 1ull << 62);
    for (int i = 0; i < 200; i++) {
        struct aistrace_span root, child, grandchild;
        aistrace_span_start(&root, "root", NULL);
        client_publish(SHMRING_CONTROL_PUBLISHED, i % 2 ? 1ull << 63 : 0);
        aistrace_span_start(&child, "child", &(struct aistrace_span_options){.parent = &root.context});
        aistrace_span_start(&grandchild, "grandchild", &(struct aistrace_span_options){.parent = &child.context});
        ck_assert_int_eq(child.context.sampling, root.context.sampling);
        ck_assert_int_eq(grandchild.context.sampling, root.context.sampling);
        ck_assert_int_eq(grandchild.context.trace_flags, root.context.trace_flags);
        aistrace_span_end(&grandchild);
        aistrace_span_end(&child);
        aistrace_span_end(&root);
        client_publish(SHMRING_CONTROL_PUBLISHED, 1ull << 62);
    }
}

TEST(a_trace_begun_before_the_first_publication_is_undecided_throughout)
{
    struct aistrace_span root, child;
    char header[AISTRACE_TRACEPARENT_BYTES];

    aistrace_span_start(&root, "root", NULL);
    client_publish(SHMRING_CONTROL_PUBLISHED, 0);
    aistrace_span_start(&child, "child", &(struct aistrace_span_options){.parent = &root.context});
    aistrace_traceparent_write(aistrace_span_context(&child), header);
    ck_assert_str_eq(header + 53, "01");
    aistrace_span_end(&child);
    aistrace_span_end(&root);
    aistrace_span_start(&root, "decided", NULL);
    ck_assert_int_eq(root.context.sampling & AISTRACE_UNDECIDED, 0);
    aistrace_traceparent_write(aistrace_span_context(&root), header);
    ck_assert_str_eq(header + 53, "00");
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 2);
    ck_assert_int_eq(client.set.spans[0].flags, AISTRACE_SAMPLED | AISTRACE_UNDECIDED);
    ck_assert_int_eq(client.set.spans[1].flags, AISTRACE_SAMPLED | AISTRACE_UNDECIDED);
}

TEST(disabled_spans_are_counted_and_pass_their_parent_on)
{
    static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct aistrace_context remote;
    struct aistrace_span span, other, begun_before;
    struct aistrace_counters counters;
    struct shmring_reader *reader;
    uint64_t dropped[SHMRING_DROP_REASONS];
    char kept[AISTRACE_TRACE_STATE_BYTES], header[AISTRACE_TRACEPARENT_BYTES];

    client_publish(SHMRING_CONTROL_PUBLISHED | SHMRING_CONTROL_DISABLED, 1ull << 63);
    ck_assert_int_eq(aistrace_context_parse(&remote, parent, 55, "a=1", 3, kept), 0);
    aistrace_span_start(&span, "off", &(struct aistrace_span_options){.parent = &remote});
    ck_assert(!aistrace_span_recording(&span));
    aistrace_traceparent_write(aistrace_span_context(&span), header);
    ck_assert_str_eq(header, parent);
    aistrace_tracestate_write(aistrace_span_context(&span), kept);
    ck_assert_str_eq(kept, "a=1");
    aistrace_span_set_int(&span, "k", 1);
    aistrace_span_set_string(&span, "k", "v");
    aistrace_span_add_event(&span, "e", NULL, 0);
    aistrace_span_end(&span);
    aistrace_span_end(&span);
    aistrace_span_start(&span, "off", NULL);
    ck_assert_uint_eq(aistrace_traceparent_write(aistrace_span_context(&span), header), 0);
    aistrace_span_end(&span);

    aistrace_counters_read(&counters);  /* tells the segment as well */
    reader = span_set_open(client.dir); /* the thread was not even attached */
    ck_assert_uint_eq(shmring_reader_slots(reader), 0);
    shmring_reader_counters(reader, dropped);
    ck_assert_uint_eq(dropped[SHMRING_DROP_DISABLED], 2);
    shmring_reader_close(reader);

    client_publish(SHMRING_CONTROL_PUBLISHED, 1ull << 63);
    aistrace_span_start(&begun_before, "on, then off", NULL);
    ck_assert(aistrace_span_recording(&begun_before));
    client_publish(SHMRING_CONTROL_PUBLISHED | SHMRING_CONTROL_DISABLED, 1ull << 63);
    aistrace_span_start(&other, "off, then on", NULL);
    aistrace_span_end(&begun_before);
    client_publish(SHMRING_CONTROL_PUBLISHED, 1ull << 63);
    aistrace_span_end(&other);
    aistrace_span_start(&span, "on", NULL);
    ck_assert(aistrace_span_recording(&span));
    aistrace_span_end(&span);

    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 1);
    aistrace_counters_read(&counters);
    ck_assert_uint_eq(counters.attempted, 5);
    ck_assert_uint_eq(counters.disabled, 4);
    ck_assert_uint_eq(counters.committed, 1);
}
