/* SPDX-License-Identifier: MIT
 *
 * A span as a whole: its name, kind and status, its place in the trace, and its end.
 */
#include <pthread.h>
#include <string.h>

#include "support/client_fixture.h"
#include "support/test.h"

FIXTURE(client_fixture_by_counter, client_fixture_done);
SECOND_FIXTURE(client_fixture_by_system, client_fixture_done);

#define TEXT(span, key, text) span_set_is_text(span, AISTRACE_ITEM_ATTRIBUTE, key, text)
#define NAME(span, text)      span_set_is_text(span, AISTRACE_ITEM_NAME, NULL, text)

static const uint8_t zeros[16];

TEST(a_root_span_is_written_whole)
{
    struct aistrace_span span;
    const struct span_set_span *seen;

    aistrace_span_start(&span, "GET /cart", NULL);
    ck_assert(aistrace_span_recording(&span));
    seen = client_fixture_end(&span);
    ck_assert(!aistrace_span_recording(&span));
    ck_assert(NAME(seen, "GET /cart"));
    ck_assert_mem_ne(seen->fixed.trace_id, zeros, 16);
    ck_assert_mem_ne(seen->fixed.span_id, zeros, 8);
    ck_assert_mem_eq(seen->fixed.parent_span_id, zeros, 8);
    ck_assert_mem_eq(seen->fixed.trace_id, span.context.trace_id, 16);
    ck_assert_uint_eq(seen->fixed.kind, AISTRACE_KIND_INTERNAL);
    ck_assert_uint_eq(seen->fixed.status, AISTRACE_STATUS_UNSET);
    ck_assert_uint_eq(seen->fixed.trace_flags, 1);
    ck_assert_uint_eq(seen->flags, AISTRACE_SAMPLED | AISTRACE_UNDECIDED);
    ck_assert_uint_eq(seen->fixed.dropped_attributes + seen->fixed.dropped_events + seen->fixed.dropped_links, 0);
    ck_assert_uint_eq(client.set.count, 1);
}

TEST(every_kind_is_kept_and_others_are_internal)
{
    static const int kinds[][2] = {{0, 1}, {1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 1}, {-1, 1}};

    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct aistrace_span_options options = {.kind = (enum aistrace_kind)kinds[i][0]};
        struct aistrace_span span;
        aistrace_span_start(&span, "kind", &options);
        ck_assert_int_eq(client_fixture_end(&span)->fixed.kind, kinds[i][1]);
    }
}

TEST(names_status_messages_and_trace_states_are_never_dropped)
{
    static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    char kept[AISTRACE_TRACE_STATE_BYTES], state[513] = "a=", large[2000];
    struct aistrace_context context;
    struct aistrace_span span;
    const struct span_set_span *seen;
    struct span_set_item item;

    memset(state + 2, 'v', 255);
    strcpy(state + 257, ",b=");
    memset(state + 260, 'v', 252);
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    ck_assert_int_eq(aistrace_context_parse(&context, parent, 55, state, 512, kept), 0);
    aistrace_span_start(&span, large, &(struct aistrace_span_options){.parent = &context});
    for (int i = 0; i < 1000; i++)
        aistrace_span_set_name(&span, i % 2 ? "short" : "the other name");
    aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, "first");
    aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, "second");
    seen = client_fixture_end(&span);
    ck_assert(span_set_is(seen, AISTRACE_ITEM_TRACE_STATE, NULL, state, 512));
    ck_assert(NAME(seen, "short"));
    ck_assert(span_set_is_text(seen, AISTRACE_ITEM_STATUS_MESSAGE, NULL, "second"));

    aistrace_span_start(&span, "name", NULL);
    aistrace_span_set_name(&span, large);
    aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, large);
    seen = client_fixture_end(&span);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_NAME, NULL, &item));
    ck_assert_uint_gt(item.head.value_bytes, 800);
}

TEST(a_name_is_cut_between_utf8_sequences)
{
    for (size_t shift = 0; shift < 4; shift++) {
        char name[1204] = "";
        struct aistrace_span span;
        const struct span_set_span *seen;
        struct span_set_item item;
        memset(name, 'x', shift);
        for (int i = 0; i < 300; i++)
            strcat(name, "\xf0\x9f\x98\x80");
        aistrace_span_start(&span, name, NULL);
        seen = client_fixture_end(&span);
        ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_NAME, NULL, &item));
        ck_assert_uint_eq((item.head.value_bytes - shift) % 4, 0);
        ck_assert_uint_gt(item.head.value_bytes, 780);
        ck_assert_mem_eq(item.value, name, item.head.value_bytes);
    }
}

TEST(set_name_replaces_the_name)
{
    struct aistrace_span span;

    aistrace_span_start(&span, "old", NULL);
    aistrace_span_set_name(&span, "new");
    ck_assert(NAME(client_fixture_end(&span), "new"));
    aistrace_span_start(&span, NULL, NULL);
    ck_assert(NAME(client_fixture_end(&span), ""));
}

static const struct {
    struct {
        enum aistrace_status status;
        const char *message;
    } sets[3];
    int status;
    const char *message;
} statuses[] = {
    {{{AISTRACE_STATUS_OK, NULL}}, 1, ""},
    {{{AISTRACE_STATUS_ERROR, "bad"}}, 2, "bad"},
    {{{AISTRACE_STATUS_ERROR, NULL}}, 2, ""},
    {{{AISTRACE_STATUS_OK, "ignored"}}, 1, ""},
    {{{AISTRACE_STATUS_OK, NULL}, {AISTRACE_STATUS_ERROR, "late"}}, 1, ""},
    {{{AISTRACE_STATUS_ERROR, "bad"}, {AISTRACE_STATUS_OK, NULL}}, 1, ""},
    {{{AISTRACE_STATUS_ERROR, "bad"}, {AISTRACE_STATUS_UNSET, "x"}}, 2, "bad"},
    {{{AISTRACE_STATUS_ERROR, "bad"}, {AISTRACE_STATUS_ERROR, "worse"}}, 2, "worse"},
    {{{AISTRACE_STATUS_ERROR, "bad"}, {AISTRACE_STATUS_ERROR, NULL}}, 2, ""},
    {{{AISTRACE_STATUS_ERROR, "bad"}, {(enum aistrace_status)7, "x"}}, 2, "bad"},
    {{{AISTRACE_STATUS_UNSET, "x"}}, 0, ""},
};

LOOP_TEST(status_follows_opentelemetrys_rules, COUNT(statuses))
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    struct span_set_item item = {0};

    aistrace_span_start(&span, "status", NULL);
    for (int i = 0; i < 3; i++)
        aistrace_span_set_status(&span, statuses[_i].sets[i].status, statuses[_i].sets[i].message);
    seen = client_fixture_end(&span);
    ck_assert_int_eq(seen->fixed.status, statuses[_i].status);
    span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_STATUS_MESSAGE, NULL, &item);
    ck_assert_uint_eq(item.head.value_bytes, strlen(statuses[_i].message));
    if (item.head.value_bytes)
        ck_assert_mem_eq(item.value, statuses[_i].message, item.head.value_bytes);
}

TEST(a_child_follows_its_parent_and_its_current_context)
{
    struct aistrace_span outer, inner, innermost, root;
    const struct aistrace_context *before, *between;

    ck_assert_ptr_null(aistrace_current());
    aistrace_span_start(&outer, "outer", NULL);
    before = aistrace_set_current(aistrace_span_context(&outer));
    ck_assert_ptr_null(before);
    aistrace_span_start(&inner, "inner", NULL);
    ck_assert_mem_eq(inner.context.trace_id, outer.context.trace_id, 16);
    ck_assert_mem_eq(inner.parent_span_id, outer.context.span_id, 8);
    between = aistrace_set_current(aistrace_span_context(&inner));
    ck_assert_ptr_eq(between, aistrace_span_context(&outer));
    aistrace_span_start(&innermost, "innermost", NULL);
    ck_assert_mem_eq(client_fixture_end(&innermost)->fixed.parent_span_id, inner.context.span_id, 8);
    aistrace_span_start(&innermost, "explicit", &(struct aistrace_span_options){.parent = &outer.context});
    ck_assert_mem_eq(client_fixture_end(&innermost)->fixed.parent_span_id, outer.context.span_id, 8);
    aistrace_span_start(&root, "root", &(struct aistrace_span_options){.parent = &outer.context, .root = true});
    ck_assert_mem_ne(root.context.trace_id, outer.context.trace_id, 16);
    ck_assert_mem_eq(client_fixture_end(&root)->fixed.parent_span_id, zeros, 8);
    ck_assert_ptr_eq(aistrace_set_current(between), aistrace_span_context(&inner));
    aistrace_span_end(&inner);
    ck_assert_ptr_eq(aistrace_set_current(before), aistrace_span_context(&outer));
    ck_assert_ptr_null(aistrace_current());
    ck_assert_mem_eq(client_fixture_end(&outer)->fixed.parent_span_id, zeros, 8);
}

TEST(a_parent_that_is_no_context_makes_a_root)
{
    struct aistrace_context none = {0};
    struct aistrace_span current, span;

    aistrace_span_start(&current, "current", NULL);
    aistrace_set_current(aistrace_span_context(&current));
    aistrace_span_start(&span, "span", &(struct aistrace_span_options){.parent = &none});
    ck_assert_mem_eq(client_fixture_end(&span)->fixed.parent_span_id, zeros, 8);
    ck_assert_mem_ne(span.context.trace_id, current.context.trace_id, 16);
    aistrace_set_current(&none);
    aistrace_span_start(&span, "span", NULL);
    ck_assert_mem_eq(client_fixture_end(&span)->fixed.parent_span_id, zeros, 8);
    aistrace_set_current(NULL);
    aistrace_span_end(&current);
}

TEST(trace_state_reaches_every_descendant)
{
    static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct aistrace_context remote;
    struct aistrace_span child, grandchild;
    char kept[AISTRACE_TRACE_STATE_BYTES], out[AISTRACE_TRACE_STATE_BYTES + 1];

    ck_assert_int_eq(aistrace_context_parse(&remote, parent, 55, "a=1 , b=2", 9, kept), 0);
    aistrace_span_start(&child, "child", &(struct aistrace_span_options){.parent = &remote});
    memset(kept, 'x', sizeof(kept)); /* the child has its own copy */
    aistrace_span_start(&grandchild, "grandchild", &(struct aistrace_span_options){.parent = &child.context});
    ck_assert_uint_eq(aistrace_tracestate_write(aistrace_span_context(&grandchild), out), 7);
    ck_assert_str_eq(out, "a=1,b=2");
    ck_assert(span_set_is_text(client_fixture_end(&grandchild), AISTRACE_ITEM_TRACE_STATE, NULL, "a=1,b=2"));
    ck_assert(span_set_is_text(client_fixture_end(&child), AISTRACE_ITEM_TRACE_STATE, NULL, "a=1,b=2"));
}

/* Of a context that the program has made itself: what is too long to be a trace state is none. */
TEST(a_trace_state_that_is_too_long_is_not_taken_over)
{
    static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    char kept[AISTRACE_TRACE_STATE_BYTES + 1], out[AISTRACE_TRACE_STATE_BYTES + 1] = "x";
    struct aistrace_context remote;
    struct aistrace_span child;
    struct span_set_item item;

    ck_assert_int_eq(aistrace_context_parse(&remote, parent, 55, "a=1", 3, kept), 0);
    memset(kept, 'x', sizeof(kept));
    remote.trace_state = kept;
    remote.trace_state_bytes = AISTRACE_TRACE_STATE_BYTES + 1;
    ck_assert_uint_eq(aistrace_tracestate_write(&remote, out), 0);
    ck_assert_str_eq(out, "");
    aistrace_span_start(&child, "child", &(struct aistrace_span_options){.parent = &remote});
    aistrace_span_add_link(&child, &remote, NULL, 0);
    ck_assert_uint_eq(aistrace_span_context(&child)->trace_state_bytes, 0);
    const struct span_set_span *seen = client_fixture_end(&child);
    ck_assert_mem_eq(seen->fixed.parent_span_id, remote.span_id, 8);
    ck_assert(!span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_TRACE_STATE, NULL, &item));
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_LINK, "", &item));
}

TEST(the_trace_state_stays_while_attributes_are_replaced)
{
    static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct aistrace_context remote;
    struct aistrace_span child;
    char kept[AISTRACE_TRACE_STATE_BYTES], out[AISTRACE_TRACE_STATE_BYTES + 1];

    ck_assert_int_eq(aistrace_context_parse(&remote, parent, 55, "a=1", 3, kept), 0);
    aistrace_span_start(&child, "child", &(struct aistrace_span_options){.parent = &remote});
    for (int i = 0; i < 1000; i++) {
        aistrace_span_set_name(&child, "a name that fills the room");
        aistrace_span_set_int(&child, i % 2 ? "odd" : "even", i);
    }
    aistrace_tracestate_write(aistrace_span_context(&child), out);
    ck_assert_str_eq(out, "a=1");
    ck_assert(NAME(client_fixture_end(&child), "a name that fills the room"));
}

LOOP_TEST(a_remote_parent_marks_its_child_only, 2)
{
    static const char *parents[] = {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"};
    unsigned sampled = _i == 0 ? AISTRACE_SAMPLED : 0;
    struct aistrace_context remote;
    struct aistrace_span child, grandchild;
    const struct span_set_span *seen;

    ck_assert_int_eq(aistrace_context_parse(&remote, parents[_i], 55, NULL, 0, NULL), 0);
    aistrace_span_start(&child, "child", &(struct aistrace_span_options){.parent = &remote});
    aistrace_span_start(&grandchild, "grandchild", &(struct aistrace_span_options){.parent = &child.context});
    seen = client_fixture_end(&child);
    ck_assert_uint_eq(seen->flags, sampled | AISTRACE_REMOTE_DECIDED | AISTRACE_REMOTE_PARENT);
    ck_assert_uint_eq(seen->fixed.trace_flags, sampled ? 1 : 0);
    ck_assert_mem_eq(seen->fixed.parent_span_id, remote.span_id, 8);
    seen = client_fixture_end(&grandchild);
    ck_assert_uint_eq(seen->flags, sampled | AISTRACE_REMOTE_DECIDED);
    ck_assert_uint_eq(seen->fixed.trace_flags, sampled ? 1 : 0);
}

TEST(ending_twice_writes_once)
{
    struct aistrace_span span;
    struct aistrace_counters counters;

    aistrace_span_start(&span, "once", NULL);
    aistrace_span_end(&span);
    aistrace_span_end(&span);
    aistrace_span_set_int(&span, "late", 1);
    aistrace_span_add_event(&span, "late", NULL, 0);
    aistrace_span_add_link(&span, aistrace_span_context(&span), NULL, 0);
    aistrace_span_set_name(&span, "late");
    aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, "late");
    ck_assert_uint_eq(span.status, 0);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, 1);
    aistrace_counters_read(&counters);
    ck_assert_uint_eq(counters.attempted, 1);
    ck_assert_uint_eq(counters.committed, 1);
}

TEST(a_buffer_is_not_touched_after_the_end)
{
    static char buffer[2000], copy[2000];
    struct aistrace_span span;

    aistrace_span_start(&span, "gone", &(struct aistrace_span_options){.buffer = buffer, .buffer_bytes = 2000});
    aistrace_span_end(&span);
    memcpy(copy, buffer, sizeof(buffer));
    aistrace_span_set_int(&span, "late", 1);
    aistrace_span_set_string(&span, "late", "late");
    aistrace_span_set_name(&span, "late");
    ck_assert_mem_eq(buffer, copy, sizeof(buffer));
}

static void *end_it(void *span)
{
    aistrace_span_set_string(span, "where", "there");
    aistrace_span_end(span);
    return NULL;
}

TEST(a_span_may_end_on_another_thread)
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    pthread_t thread;

    aistrace_span_start(&span, "handed over", NULL);
    aistrace_span_set_string(&span, "here", "here");
    ck_assert_int_eq(pthread_create(&thread, NULL, end_it, &span), 0);
    pthread_join(thread, NULL);
    span_set_drain(&client.set, client.dir);
    seen = span_set_find(&client.set, span.context.span_id);
    ck_assert_ptr_nonnull(seen);
    ck_assert(TEXT(seen, "here", "here") && TEXT(seen, "where", "there"));
}

TEST(an_oversize_span_is_counted)
{
    static char buffer[400000], value[300000];
    struct aistrace_span span;
    struct aistrace_counters counters;

    memset(value, 'v', sizeof(value) - 1);
    aistrace_span_start(&span, "big", &(struct aistrace_span_options){.buffer = buffer, .buffer_bytes = 400000});
    aistrace_span_set_string(&span, "value", value);
    aistrace_span_end(&span);
    aistrace_counters_read(&counters);
    ck_assert_uint_eq(counters.oversize, 1);
    ck_assert_uint_eq(counters.committed, 0);
    ck_assert_uint_eq(counters.attempted, 1);
}

TEST(a_full_ring_drops_the_newest_and_counts)
{
    struct aistrace_span span;
    struct aistrace_counters counters;

    for (int i = 0; i < 20000; i++) {
        aistrace_span_start(&span, "full", NULL);
        aistrace_span_end(&span);
    }
    aistrace_counters_read(&counters);
    ck_assert_uint_eq(counters.attempted, 20000);
    ck_assert_uint_eq(counters.committed + counters.ring_full, 20000);
    ck_assert_uint_gt(counters.ring_full, 0);
    span_set_drain(&client.set, client.dir);
    ck_assert_uint_eq(client.set.count, counters.committed);
    ck_assert_uint_eq(client.set.ring_full, counters.ring_full);
    aistrace_span_start(&span, "room again", NULL);
    ck_assert(NAME(client_fixture_end(&span), "room again"));
}

TEST(a_span_left_open_over_stop_and_start_is_not_written)
{
    struct aistrace_span old, new;
    struct aistrace_counters counters;

    aistrace_span_start(&old, "old", NULL);
    aistrace_stop();
    client_fixture_start((struct aistrace_options){.role = "test"});
    aistrace_span_start(&new, "new", NULL);
    aistrace_span_end(&new);
    aistrace_span_end(&old);
    span_set_drain(&client.set, client.dir);
    ck_assert_ptr_nonnull(span_set_find(&client.set, new.context.span_id));
    ck_assert_ptr_null(span_set_find(&client.set, old.context.span_id));
    aistrace_counters_read(&counters);
    ck_assert_uint_eq(counters.no_segment, 1);
    ck_assert_uint_eq(counters.committed, 1);
}
