/* SPDX-License-Identifier: MIT
 *
 * The context that a span begins below: in storage that is used again, in memory that was lent, made by hand.
 */
#include <string.h>

#include "support/client_fixture.h"
#include "support/test.h"

#define REMOTE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static const uint8_t zeros[16];

static void parse(struct aistrace_context *out, const char *state, char trace_state[AISTRACE_TRACE_STATE_BYTES])
{
    ck_assert_int_eq(aistrace_context_parse(out, REMOTE, strlen(REMOTE), state, strlen(state), trace_state), 0);
}

static void check_state(const struct aistrace_span *span, const char *expected)
{
    char out[AISTRACE_TRACE_STATE_BYTES + 1];

    aistrace_tracestate_write(aistrace_span_context(span), out);
    ck_assert_str_eq(out, expected);
}

/* ---- spans that do not record ---- */

static void publish(uint64_t flags)
{
    client_publish(flags, 1ull << 63);
}

/* Begins a span below a request's headers, which are then gone. */
static void begin_request(struct aistrace_span *span, const char *tracestate)
{
    char lent[AISTRACE_TRACE_STATE_BYTES];
    struct aistrace_context parent;

    parse(&parent, tracestate, lent);
    aistrace_span_start(span, "request", &(struct aistrace_span_options){.parent = &parent});
    memset(lent, 'S', sizeof(lent));
    memset(&parent, 'S', sizeof(parent));
}

static void check_lends_nothing(void)
{
    char state[AISTRACE_TRACE_STATE_BYTES + 1] = "a=", header[AISTRACE_TRACEPARENT_BYTES];
    struct aistrace_span span, child;

    memset(state + 2, 'v', 255);
    strcpy(state + 257, ",b=");
    memset(state + 260, 'v', 252);
    begin_request(&span, state);
    ck_assert(!aistrace_span_recording(&span));
    check_state(&span, state);
    aistrace_traceparent_write(aistrace_span_context(&span), header);
    ck_assert_str_eq(header, REMOTE);
    aistrace_span_start(&child, "child", &(struct aistrace_span_options){.parent = &span.context});
    aistrace_span_end(&span);
    memset(&span, 'S', sizeof(span));
    check_state(&child, state);
    /* in its own storage */
    aistrace_span_start(&child, "again", &(struct aistrace_span_options){.parent = &child.context});
    check_state(&child, state);
    aistrace_span_end(&child);
}

TEST(a_span_without_a_segment_keeps_no_pointer_to_what_was_lent)
{
    check_lends_nothing();
}

FIXTURE(client_fixture_by_counter, client_fixture_done);
SECOND_FIXTURE(client_fixture_by_system, client_fixture_done);

TEST(a_span_while_tracing_is_off_keeps_no_pointer_to_what_was_lent)
{
    publish(SHMRING_CONTROL_PUBLISHED | SHMRING_CONTROL_DISABLED);
    check_lends_nothing();
}

/* ---- storage that is used again ---- */

TEST(a_span_in_the_storage_of_its_parent_is_its_child)
{
    struct aistrace_span span;
    uint8_t trace_id[16], before[8];

    aistrace_span_start(&span, "first", NULL);
    memcpy(trace_id, span.context.trace_id, 16);
    for (int i = 0; i < 3; i++) {
        memcpy(before, span.context.span_id, 8);
        aistrace_span_end(&span);
        aistrace_span_start(&span, "next", &(struct aistrace_span_options){.parent = aistrace_span_context(&span)});
        const struct span_set_span *seen = client_fixture_end(&span);
        ck_assert_mem_eq(seen->fixed.trace_id, trace_id, 16);
        ck_assert_mem_eq(seen->fixed.parent_span_id, before, 8);
        ck_assert_mem_ne(seen->fixed.span_id, before, 8);
    }
}

TEST(a_span_in_the_storage_of_the_current_span_is_its_child)
{
    struct aistrace_span span;
    uint8_t before[8] = {0};

    for (int i = 0; i < 3; i++) { /* work items, of which none puts the current context back */
        aistrace_span_start(&span, "item", NULL);
        aistrace_set_current(aistrace_span_context(&span));
        const struct span_set_span *seen = client_fixture_end(&span);
        ck_assert_mem_eq(seen->fixed.parent_span_id, before, 8);
        memcpy(before, seen->fixed.span_id, 8);
    }
    aistrace_set_current(NULL);
}

LOOP_TEST(a_trace_state_goes_on_in_the_storage_of_the_parent, 2)
{
    static char buffer[3000];
    struct aistrace_span_options options = {.buffer = _i ? buffer : NULL, .buffer_bytes = _i ? sizeof(buffer) : 0};
    struct aistrace_span span;
    uint8_t before[8];

    begin_request(&span, "vendor=a-value-of-some-length,other=value");
    options.parent = aistrace_span_context(&span);
    for (int i = 0; i < 3; i++) {
        memcpy(before, span.context.span_id, 8);
        aistrace_span_end(&span);
        aistrace_span_start(&span, "next", &options);
        aistrace_span_set_string(&span, "key", "value");
        check_state(&span, "vendor=a-value-of-some-length,other=value");
        const struct span_set_span *seen = client_fixture_end(&span);
        ck_assert_mem_eq(seen->fixed.parent_span_id, before, 8);
        ck_assert(span_set_is_text(seen, AISTRACE_ITEM_TRACE_STATE, NULL, "vendor=a-value-of-some-length,other=value"));
    }
}

TEST(a_remote_parent_is_not_one_of_the_span_that_follows_in_its_storage)
{
    struct aistrace_span span;

    publish(SHMRING_CONTROL_PUBLISHED | SHMRING_CONTROL_DISABLED);
    begin_request(&span, ""); /* has the remote context itself */
    aistrace_span_end(&span);
    publish(SHMRING_CONTROL_PUBLISHED);
    aistrace_span_start(&span, "recorded", &(struct aistrace_span_options){.parent = aistrace_span_context(&span)});
    ck_assert_uint_eq(client_fixture_end(&span)->flags,
                      AISTRACE_SAMPLED | AISTRACE_REMOTE_DECIDED | AISTRACE_REMOTE_PARENT);
    aistrace_span_start(&span, "below", &(struct aistrace_span_options){.parent = aistrace_span_context(&span)});
    ck_assert_uint_eq(client_fixture_end(&span)->flags, AISTRACE_SAMPLED | AISTRACE_REMOTE_DECIDED);
}

TEST(a_link_to_the_span_itself_is_written_as_any)
{
    struct aistrace_span span;
    struct aistrace_link_value link;
    struct span_set_item item;

    begin_request(&span, "a=1");
    aistrace_span_add_link(&span, aistrace_span_context(&span), NULL, 0);
    const struct span_set_span *seen = client_fixture_end(&span);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_LINK, "a=1", &item));
    memcpy(&link, item.value, sizeof(link));
    ck_assert_mem_eq(link.span_id, seen->fixed.span_id, 8);
    ck_assert_uint_eq(link.remote, 0);
}

/* ---- made by hand ---- */

#define IDS         .trace_id = {1, 2, 3}, .span_id = {4, 5}
#define STATE(text) .trace_state = (text), .trace_state_bytes = sizeof(text) - 1

static const struct {
    struct aistrace_context context;
    const char *traceparent; /* "" for what is no context */
    const char *tracestate;
} made[] = {
    {{IDS, .trace_flags = 1}, "00-01020300000000000000000000000000-0405000000000000-01", ""},
    {{IDS}, "00-01020300000000000000000000000000-0405000000000000-00", ""},
    {{IDS, .trace_flags = 3}, "00-01020300000000000000000000000000-0405000000000000-03", ""},
    {{IDS, .trace_flags = 0xff}, "00-01020300000000000000000000000000-0405000000000000-03", ""},
    {{IDS, .trace_flags = 0xfc}, "00-01020300000000000000000000000000-0405000000000000-00", ""},
    {{IDS, .trace_flags = 1, STATE("a=1")}, "00-01020300000000000000000000000000-0405000000000000-01", "a=1"},
    {{IDS, STATE(" a=1 ,, b=2,a=3")}, "00-01020300000000000000000000000000-0405000000000000-00", "a=1,b=2"},
    {{IDS, STATE("no state")}, "00-01020300000000000000000000000000-0405000000000000-00", ""},
    {{IDS, STATE("a=1\r\nevil: yes")}, "00-01020300000000000000000000000000-0405000000000000-00", ""},
    {{IDS, .trace_state_bytes = 5}, "00-01020300000000000000000000000000-0405000000000000-00", ""},
    {{IDS, .trace_state = "a=1"}, "00-01020300000000000000000000000000-0405000000000000-00", ""},
    {{IDS, .trace_state = "a=1", .trace_state_bytes = AISTRACE_TRACE_STATE_BYTES + 1},
     "00-01020300000000000000000000000000-0405000000000000-00",
     ""},
    {{IDS, .trace_flags = 1, .sampling = 1}, "", ""},
    {{IDS, .trace_flags = 1, .sampling = 12}, "", ""},
    {{IDS, .trace_flags = 1, .sampling = 0x55}, "", ""},
    {{IDS, .trace_flags = 1, .sampling = 0xff}, "", ""},
    {{.span_id = {4, 5}, .trace_flags = 1}, "", ""},
    {{.trace_id = {1, 2, 3}, .trace_flags = 1, STATE("a=1")}, "", ""},
};

/* What a span's record says of its parent, and what goes out below it. */
static void check_child(const struct span_set_span *seen, const struct aistrace_span *span, int i)
{
    const struct aistrace_context *parent = &made[i].context;
    char header[AISTRACE_TRACEPARENT_BYTES];
    bool sampled = parent->trace_flags & 1;
    struct span_set_item item;

    if (!*made[i].traceparent) {
        ck_assert_mem_eq(seen->fixed.parent_span_id, zeros, 8);
        ck_assert_uint_eq(seen->flags, AISTRACE_SAMPLED | AISTRACE_UNDECIDED);
        ck_assert_uint_eq(span->context.trace_state_bytes, 0);
        return;
    }
    ck_assert_mem_eq(seen->fixed.trace_id, parent->trace_id, 16);
    ck_assert_mem_eq(seen->fixed.parent_span_id, parent->span_id, 8);
    ck_assert_uint_eq(seen->fixed.trace_flags, parent->trace_flags & 3);
    ck_assert_uint_eq(seen->flags, AISTRACE_REMOTE_DECIDED | AISTRACE_REMOTE_PARENT | (sampled ? AISTRACE_SAMPLED : 0));
    aistrace_traceparent_write(&span->context, header);
    ck_assert_int_eq(memcmp(header, made[i].traceparent, 36), 0);
    ck_assert_str_eq(header + 53, made[i].traceparent + 53);
    check_state(span, made[i].tracestate);
    ck_assert(*made[i].tracestate
                  ? span_set_is_text(seen, AISTRACE_ITEM_TRACE_STATE, NULL, made[i].tracestate)
                  : !span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_TRACE_STATE, NULL, &item));
}

LOOP_TEST(a_context_made_by_hand_is_right_or_refused, COUNT(made))
{
    const struct aistrace_context *parent = &made[_i].context;
    char header[AISTRACE_TRACEPARENT_BYTES], state[AISTRACE_TRACE_STATE_BYTES + 1];
    struct aistrace_span span, below;
    struct span_set_item item;

    aistrace_traceparent_write(parent, header);
    ck_assert_str_eq(header, made[_i].traceparent);
    aistrace_tracestate_write(parent, state);
    ck_assert_str_eq(state, made[_i].tracestate);
    if (_i % 2)
        aistrace_set_current(parent);
    aistrace_span_start(&span, "child", &(struct aistrace_span_options){.parent = _i % 2 ? NULL : parent});
    aistrace_set_current(NULL);
    aistrace_span_start(&below, "below", &(struct aistrace_span_options){.parent = &span.context});
    aistrace_span_add_link(&below, parent, NULL, 0);
    const struct span_set_span *seen = client_fixture_end(&below);
    ck_assert_uint_eq(seen->flags & AISTRACE_REMOTE_PARENT, 0);
    ck_assert_uint_eq(seen->flags & AISTRACE_SAMPLED, span.record_flags & AISTRACE_SAMPLED);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_LINK), *made[_i].traceparent ? 1 : 0);
    if (*made[_i].traceparent) {
        struct aistrace_link_value link;
        ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_LINK, made[_i].tracestate, &item));
        memcpy(&link, item.value, sizeof(link));
        ck_assert_uint_eq(link.remote, 1);
        ck_assert_uint_eq(link.trace_flags, parent->trace_flags & 3);
    }
    check_child(client_fixture_end(&span), &span, _i);
}

LOOP_TEST(a_context_made_by_hand_passes_a_span_that_does_not_record, COUNT(made))
{
    char header[AISTRACE_TRACEPARENT_BYTES];
    struct aistrace_span span, child;

    publish(SHMRING_CONTROL_DISABLED);
    aistrace_span_start(&span, "off", &(struct aistrace_span_options){.parent = &made[_i].context});
    aistrace_traceparent_write(&span.context, header);
    ck_assert_str_eq(header, made[_i].traceparent);
    check_state(&span, made[_i].tracestate);
    publish(0);
    aistrace_span_start(&child, "on", &(struct aistrace_span_options){.parent = &span.context});
    aistrace_span_end(&span);
    check_child(client_fixture_end(&child), &child, _i);
}

LOOP_TEST(flags_that_are_changed_decide_for_all_below, 2)
{
    char lent[AISTRACE_TRACE_STATE_BYTES];
    struct aistrace_context parent;
    struct aistrace_span span, below;

    parse(&parent, "", lent);
    parent.trace_flags = _i ? 0xff : 0;
    aistrace_span_start(&span, "child", &(struct aistrace_span_options){.parent = &parent});
    aistrace_span_start(&below, "below", &(struct aistrace_span_options){.parent = &span.context});
    const struct span_set_span *seen = client_fixture_end(&below);
    ck_assert_uint_eq(seen->flags, AISTRACE_REMOTE_DECIDED | (_i ? AISTRACE_SAMPLED : 0));
    ck_assert_uint_eq(seen->fixed.trace_flags, _i ? 3 : 0);
    aistrace_span_end(&span);
}
