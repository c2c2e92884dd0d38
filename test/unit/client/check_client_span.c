/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aistrace.h"
#include "support/counter.h"
#include "support/span_set.h"
#include "support/test.h"

static char *dir;
static struct span_set set;

/* Under the clock that the environment now allows. */
static void start_again(void)
{
    ck_assert_int_eq(aistrace_start(&(struct aistrace_options){.service_name = "test", .ring_dir = dir}), 0);
    if (!getenv("AIS_TRACING_CLOCK"))
        counter_hold();
}

/* By way of the CPU's counter, and by way of the system's clock: different code. */
static void start_by_counter(void)
{
    dir = span_set_dir_new();
    unsetenv("AIS_TRACING_CLOCK");
    start_again();
}

static void start_by_system(void)
{
    dir = span_set_dir_new();
    setenv("AIS_TRACING_CLOCK", "system", 1);
    start_again();
}

static void stop(void)
{
    aistrace_stop();
    span_set_done(&set);
    span_set_dir_remove(dir);
}

FIXTURE(start_by_counter, stop);
SECOND_FIXTURE(start_by_system, stop);

/* Ends the span and reads it back from the ring. */
static const struct span_set_span *written(struct aistrace_span *span)
{
    uint8_t id[8];
    const struct span_set_span *found;

    memcpy(id, aistrace_span_context(span)->span_id, 8);
    aistrace_span_end(span);
    span_set_drain(&set, dir);
    found = span_set_find(&set, id);
    ck_assert_ptr_nonnull(found);
    return found;
}

#define ATTRIBUTE(span, key, ...) span_set_is(span, AISTRACE_ITEM_ATTRIBUTE, key, __VA_ARGS__)
#define TEXT(span, key, text)     span_set_is_text(span, AISTRACE_ITEM_ATTRIBUTE, key, text)
#define NAME(span, text)          span_set_is_text(span, AISTRACE_ITEM_NAME, NULL, text)

static const uint8_t zeros[16];

TEST(a_root_span_is_written_whole)
{
    struct aistrace_span span;
    const struct span_set_span *seen;

    aistrace_span_start(&span, "GET /cart", NULL);
    ck_assert(aistrace_span_recording(&span));
    seen = written(&span);
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
    ck_assert_uint_eq(set.count, 1);
}

TEST(every_kind_is_kept_and_others_are_internal)
{
    static const int kinds[][2] = {{0, 1}, {1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 1}, {-1, 1}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        struct aistrace_span_options options = {.kind = (enum aistrace_kind)kinds[i][0]};
        struct aistrace_span span;
        aistrace_span_start(&span, "kind", &options);
        ck_assert_int_eq(written(&span)->fixed.kind, kinds[i][1]);
    }
}

TEST(attributes_of_every_type)
{
    static const char *items[] = {"one", "", NULL, "four"};
    static const uint8_t packed[] = {3, 0, 0, 0, 'o', 'n', 'e', 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 'f', 'o', 'u', 'r'};
    struct aistrace_span span;
    const struct span_set_span *seen;
    int64_t integer = INT64_MIN;
    double real = -0.5;
    uint8_t truth = 1;

    aistrace_span_start(&span, "types", NULL);
    aistrace_span_set_int(&span, "int", integer);
    aistrace_span_set_double(&span, "double", real);
    aistrace_span_set_bool(&span, "bool", true);
    aistrace_span_set_string(&span, "string", "gr\xc3\xbc\xc3\x9f");
    aistrace_span_set_text(&span, "text", "cut here", 3);
    aistrace_span_set_bytes(&span, "bytes", "\0\1\2", 3);
    aistrace_span_set_strings(&span, "strings", items, 4);
    aistrace_span_set_string(&span, "empty", "");
    aistrace_span_set_string(&span, "null", NULL);
    aistrace_span_set_text(&span, "null text", NULL, 7);
    aistrace_span_set_bytes(&span, "null bytes", NULL, 7);
    aistrace_span_set_strings(&span, "null strings", NULL, 7);
    aistrace_span_set_int(&span, NULL, 7);
    seen = written(&span);
    ck_assert(ATTRIBUTE(seen, "int", &integer, 8));
    ck_assert(ATTRIBUTE(seen, "double", &real, 8));
    ck_assert(ATTRIBUTE(seen, "bool", &truth, 1));
    ck_assert(TEXT(seen, "string", "gr\xc3\xbc\xc3\x9f"));
    ck_assert(TEXT(seen, "text", "cut"));
    ck_assert(ATTRIBUTE(seen, "bytes", "\0\1\2", 3));
    ck_assert(ATTRIBUTE(seen, "strings", packed, sizeof(packed)));
    ck_assert(TEXT(seen, "empty", "") && TEXT(seen, "null", "") && TEXT(seen, "null text", ""));
    ck_assert(TEXT(seen, "null bytes", "") && TEXT(seen, "null strings", ""));
    integer = 7;
    ck_assert(ATTRIBUTE(seen, "", &integer, 8));
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 13);
}

TEST(attribute_structs_write_what_the_setters_write)
{
    static const char *items[] = {"a", "bc"};
    struct aistrace_attribute attributes[] = {
        aistrace_attr_int("int", -1),
        aistrace_attr_double("double", 1e300),
        aistrace_attr_bool("bool", true),
        aistrace_attr_string("string", "text"),
        aistrace_attr_text("text", "abc", 2),
        aistrace_attr_bytes("bytes", "\0x", 2),
        aistrace_attr_strings("strings", items, 2),
        aistrace_attr_string("null", NULL),
    };
    struct aistrace_span one, other;
    const struct span_set_span *seen;
    uint32_t bytes;
    uint8_t *copy;

    aistrace_span_start(&one, "same", NULL);
    for (size_t i = 0; i < sizeof(attributes) / sizeof(*attributes); i++)
        aistrace_span_set(&one, &attributes[i]);
    seen = written(&one);
    bytes = seen->items_bytes;
    copy = malloc(bytes);
    memcpy(copy, seen->items, bytes);

    aistrace_span_start(&other, "same", NULL);
    aistrace_span_set_int(&other, "int", -1);
    aistrace_span_set_double(&other, "double", 1e300);
    aistrace_span_set_bool(&other, "bool", true);
    aistrace_span_set_string(&other, "string", "text");
    aistrace_span_set_text(&other, "text", "abc", 2);
    aistrace_span_set_bytes(&other, "bytes", "\0x", 2);
    aistrace_span_set_strings(&other, "strings", items, 2);
    aistrace_span_set_string(&other, "null", NULL);
    seen = written(&other);
    ck_assert_uint_eq(seen->items_bytes, bytes);
    ck_assert_mem_eq(seen->items, copy, bytes);
    free(copy);
}

TEST(what_is_inlined_writes_what_the_library_writes)
{
    void (*volatile set_int)(struct aistrace_span *, const char *, int64_t) = aistrace_span_set_int;
    void (*volatile set_double)(struct aistrace_span *, const char *, double) = aistrace_span_set_double;
    void (*volatile set_bool)(struct aistrace_span *, const char *, bool) = aistrace_span_set_bool;
    void (*volatile set_string)(struct aistrace_span *, const char *, const char *) = aistrace_span_set_string;
    void (*volatile set_text)(struct aistrace_span *, const char *, const char *, size_t) = aistrace_span_set_text;
    static char buffers[2][60000], value[200];
    struct aistrace_span inlined, called;

    aistrace_span_start(&inlined, "n", &(struct aistrace_span_options){.buffer = buffers[0], .buffer_bytes = 60000});
    aistrace_span_start(&called, "n", &(struct aistrace_span_options){.buffer = buffers[1], .buffer_bytes = 60000});
    for (int i = 0; i < 160; i++) { /* beyond the limits: what is dropped is the same, too */
        memset(value, 'v', sizeof(value));
        value[i] = '\0';
        switch (i % 5) {
        case 0:
            aistrace_span_set_int(&inlined, "int", i);
            set_int(&called, "int", i);
            break;
        case 1:
            aistrace_span_set_double(&inlined, "a double", i / 3.0);
            set_double(&called, "a double", i / 3.0);
            break;
        case 2:
            aistrace_span_set_bool(&inlined, "bool", i % 2);
            set_bool(&called, "bool", i % 2);
            break;
        case 3:
            aistrace_span_set_string(&inlined, "a string of some length", value);
            set_string(&called, "a string of some length", value);
            break;
        case 4:
            aistrace_span_set_text(&inlined, "", i % 2 ? NULL : value, 50);
            set_text(&called, "", i % 2 ? NULL : value, 50);
            break;
        }
        ck_assert_int_eq(inlined.end - inlined.body, called.end - called.body);
        ck_assert_mem_eq(inlined.body, called.body, (size_t)(called.end - called.body));
        ck_assert_uint_eq(inlined.dropped_attributes, called.dropped_attributes);
    }
    aistrace_span_set_text(&inlined, "huge", value, SIZE_MAX);
    aistrace_span_set_text(&inlined, "huge", value, SIZE_MAX - 20);
    ck_assert_uint_eq(inlined.dropped_attributes, called.dropped_attributes + 2);
    aistrace_span_end(&inlined);
    aistrace_span_end(&called);
}

TEST(strings_of_every_length_are_copied_right)
{
    static char buffer[4096];
    char text[301], key[301];

    for (size_t bytes = 0; bytes <= 300; bytes++) {
        struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizeof(buffer)};
        struct aistrace_span span;
        const struct span_set_span *seen;
        for (size_t i = 0; i < bytes; i++) {
            text[i] = (char)('a' + (i * 7 + bytes) % 26);
            key[i] = (char)('A' + (i * 5 + bytes) % 26);
        }
        text[bytes] = key[bytes] = '\0';
        aistrace_span_start(&span, text, &options);
        aistrace_span_set_string(&span, key, text);
        seen = written(&span);
        ck_assert(NAME(seen, text));
        ck_assert(TEXT(seen, key, text));
        span_set_done(&set);
    }
}

TEST(an_unknown_attribute_type_is_dropped_and_counted)
{
    struct aistrace_attribute bad = {"k", (enum aistrace_type)99, {0}, 0};
    struct aistrace_span span;
    const struct span_set_span *seen;

    aistrace_span_start(&span, "bad", NULL);
    aistrace_span_set(&span, &bad);
    seen = written(&span);
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 1);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 0);
}

TEST(the_last_value_of_a_key_wins)
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    int64_t last = 2;

    aistrace_span_start(&span, "again", NULL);
    aistrace_span_set_string(&span, "key", "first");
    aistrace_span_set_int(&span, "key", 2);
    seen = written(&span);
    ck_assert(ATTRIBUTE(seen, "key", &last, 8));
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 0);
}

TEST(a_key_set_for_ever_keeps_its_last_value)
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    int64_t last = 99999;

    aistrace_span_start(&span, "progress", NULL);
    aistrace_span_set_string(&span, "before", "b");
    for (int64_t i = 0; i <= last; i++)
        aistrace_span_set_int(&span, "progress", i);
    aistrace_span_set_string(&span, "after", "a");
    seen = written(&span);
    ck_assert(ATTRIBUTE(seen, "progress", &last, 8));
    ck_assert(TEXT(seen, "before", "b") && TEXT(seen, "after", "a") && NAME(seen, "progress"));
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 0);
}

TEST(more_than_128_attributes_are_counted_and_replacing_still_works)
{
    static char buffer[65536];
    struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizeof(buffer)};
    struct aistrace_span span;
    const struct span_set_span *seen;
    char key[16];
    int64_t value = 1000;

    aistrace_span_start(&span, "many", &options);
    for (int i = 0; i < 150; i++) {
        sprintf(key, "key%d", i);
        aistrace_span_set_int(&span, key, i);
    }
    aistrace_span_set_int(&span, "key5", 1000);
    aistrace_span_set_int(&span, "key140", 1000);
    seen = written(&span);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 128);
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 23);
    ck_assert(ATTRIBUTE(seen, "key5", &value, 8));
    value = 127;
    ck_assert(ATTRIBUTE(seen, "key127", &value, 8));
}

/* Attributes of no more than their heads, which pack most densely: as many as the limit lets pass uncounted. */
static void set_many_small(struct aistrace_span *span, int count)
{
    for (int i = 0; i < count; i++)
        aistrace_span_set_string(span, "", "");
}

LOOP_TEST(what_is_taken_out_makes_no_room_for_more_than_128_attributes, 2)
{
    static char buffer[4096], large[3900], name[400];
    struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizeof(buffer)};
    struct aistrace_span span;
    const struct span_set_span *seen;

    memset(large, 'x', sizeof(large) - 1);
    memset(name, 'n', sizeof(name) - 1);
    aistrace_span_start(&span, name, &options);
    if (_i == 0) { /* a value that was replaced, found when another does not fit */
        aistrace_span_set_text(&span, "key", large, 2500);
        aistrace_span_set_text(&span, "key", large, 1);
        set_many_small(&span, 20);
        aistrace_span_set_string(&span, "large", large);
    } else { /* a name, for a shorter one that does not fit beside it */
        set_many_small(&span, 100);
        aistrace_span_set_text(&span, "large", large, 2590);
        aistrace_span_set_name(&span, name);
        aistrace_span_set_text(&span, "more", large, 1);
        aistrace_span_set_name(&span, name + 100);
    }
    set_many_small(&span, _i == 0 ? 400 : 36);
    seen = written(&span);
    ck_assert_uint_le(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 128);
}

TEST(a_name_put_after_the_texts_took_their_room_stays_in_the_body)
{
    struct {
        char buffer[2000];
        uint8_t behind[2000];
    } memory;
    char large[3000];
    struct aistrace_span_options options = {.buffer = memory.buffer, .buffer_bytes = sizeof(memory.buffer)};
    struct aistrace_span span;

    memset(memory.behind, 0x55, sizeof(memory.behind));
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    aistrace_span_start(&span, large, &options);
    aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, "more than the attributes' room");
    aistrace_span_put_name(&span, large, 1500);
    aistrace_span_put_name(&span, NULL, 7);
    written(&span);
    for (size_t i = 0; i < sizeof(memory.behind); i++)
        ck_assert_int_eq(memory.behind[i], 0x55);
}

TEST(what_does_not_fit_is_counted_and_the_rest_is_kept)
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    char large[AISTRACE_SPAN_INLINE_BYTES + 1];

    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    aistrace_span_start(&span, "room", NULL);
    aistrace_span_set_string(&span, "small", "kept");
    aistrace_span_set_string(&span, "large", large);
    aistrace_span_set_string(&span, large, "large key");
    aistrace_span_set_bytes(&span, "huge", large, SIZE_MAX);
    aistrace_span_set_bytes(&span, "huge", large, SIZE_MAX - 8);
    aistrace_span_set_text(&span, "huge", large, (size_t)UINT32_MAX + 8);
    aistrace_span_add_event(&span, large, NULL, 0);
    aistrace_span_set_string(&span, "after", "kept too");
    seen = written(&span);
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 5);
    ck_assert_uint_eq(seen->fixed.dropped_events, 1);
    ck_assert(TEXT(seen, "small", "kept") && TEXT(seen, "after", "kept too"));
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 2);
}

TEST(a_value_that_does_not_fit_leaves_the_old_one)
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    char large[AISTRACE_SPAN_INLINE_BYTES + 1];

    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    aistrace_span_start(&span, "room", NULL);
    aistrace_span_set_string(&span, "key", "old");
    aistrace_span_set_string(&span, "key", large);
    large[500] = '\0';
    aistrace_span_set_string(&span, "swap", large);
    large[0] = 'y';
    aistrace_span_set_string(&span, "swap", large);
    seen = written(&span);
    ck_assert(TEXT(seen, "key", "old") && TEXT(seen, "swap", large));
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 1);
}

TEST(a_key_of_the_greatest_length_is_kept_and_a_longer_one_dropped)
{
    static char buffer[100000], key[AISTRACE_KEY_MAX + 2];
    struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizeof(buffer)};
    struct aistrace_span span;
    const struct span_set_span *seen;
    int64_t one = 1;

    memset(key, 'k', AISTRACE_KEY_MAX + 1);
    aistrace_span_start(&span, "keys", &options);
    aistrace_span_set_int(&span, key, 1);
    aistrace_span_add_event(&span, key, NULL, 0);
    key[AISTRACE_KEY_MAX] = '\0';
    aistrace_span_set_int(&span, key, 1);
    aistrace_span_add_event(&span, key, NULL, 0);
    seen = written(&span);
    ck_assert(ATTRIBUTE(seen, key, &one, 8));
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 1);
    ck_assert_uint_eq(seen->fixed.dropped_events, 1);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_EVENT), 1);
}

TEST(a_buffer_of_the_callers_holds_what_the_inline_one_cannot)
{
    static char buffer[9000], value[8000];
    struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizeof(buffer)};
    struct aistrace_span span;

    memset(value, 'v', sizeof(value) - 1);
    aistrace_span_start(&span, "large", &options);
    aistrace_span_set_string(&span, "value", value);
    ck_assert(TEXT(written(&span), "value", value));
}

TEST(a_buffer_smaller_than_the_inline_one_is_not_used)
{
    char buffer[16], value[600];
    struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizeof(buffer)};
    struct aistrace_span span;

    memset(buffer, 0x55, sizeof(buffer));
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    aistrace_span_start(&span, "small", &options);
    aistrace_span_set_string(&span, "value", value);
    ck_assert(TEXT(written(&span), "value", value));
    for (size_t i = 0; i < sizeof(buffer); i++)
        ck_assert_int_eq(buffer[i], 0x55);
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
    seen = written(&span);
    ck_assert(span_set_is(seen, AISTRACE_ITEM_TRACE_STATE, NULL, state, 512));
    ck_assert(NAME(seen, "short"));
    ck_assert(span_set_is_text(seen, AISTRACE_ITEM_STATUS_MESSAGE, NULL, "second"));

    aistrace_span_start(&span, "name", NULL);
    aistrace_span_set_name(&span, large);
    aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, large);
    seen = written(&span);
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
        seen = written(&span);
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
    ck_assert(NAME(written(&span), "new"));
    aistrace_span_start(&span, NULL, NULL);
    ck_assert(NAME(written(&span), ""));
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
    seen = written(&span);
    ck_assert_int_eq(seen->fixed.status, statuses[_i].status);
    span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_STATUS_MESSAGE, NULL, &item);
    ck_assert_uint_eq(item.head.value_bytes, strlen(statuses[_i].message));
    if (item.head.value_bytes)
        ck_assert_mem_eq(item.value, statuses[_i].message, item.head.value_bytes);
}

TEST(events_carry_time_and_attributes)
{
    struct aistrace_attribute attributes[] = {aistrace_attr_int("n", 5), aistrace_attr_string("s", "text")};
    struct aistrace_span span;
    const struct span_set_span *seen;
    struct span_set_item item, inner;
    struct aistrace_event_value event;

    aistrace_span_start(&span, "events", NULL);
    aistrace_span_add_event(&span, "plain", NULL, 0);
    aistrace_span_add_event(&span, "rich", attributes, 2);
    seen = written(&span);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_EVENT), 2);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_EVENT, "rich", &item));
    memcpy(&event, item.value, sizeof(event));
    ck_assert_uint_ge(event.time_unix_ns, seen->fixed.start_unix_ns);
    ck_assert_uint_le(event.time_unix_ns, seen->fixed.start_unix_ns + seen->fixed.duration_ns);
    ck_assert_uint_eq(event.dropped_attributes, 0);
    ck_assert(span_set_item(item.value + sizeof(event), item.head.value_bytes - sizeof(event), AISTRACE_ITEM_ATTRIBUTE,
                            "s", &inner));
    ck_assert_mem_eq(inner.value, "text", 4);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_EVENT, "plain", &item));
    ck_assert_uint_eq(item.head.value_bytes, sizeof(event));
}

TEST(events_and_links_have_limits_that_count)
{
    static char buffer[100000];
    static struct aistrace_attribute attributes[200];
    struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizeof(buffer)};
    struct aistrace_span span;
    const struct span_set_span *seen;
    struct span_set_item item;
    struct aistrace_event_value event;
    struct aistrace_link_value link;

    for (int i = 0; i < 200; i++)
        attributes[i] = aistrace_attr_int("k", i);
    aistrace_span_start(&span, "limits", &options);
    for (int i = 0; i < 130; i++) {
        aistrace_span_add_event(&span, i ? "e" : "first", attributes, i ? 1 : 200);
        aistrace_span_add_link(&span, aistrace_span_context(&span), attributes, i ? 1 : 200);
    }
    seen = written(&span);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_EVENT), 128);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_LINK), 128);
    ck_assert_uint_eq(seen->fixed.dropped_events, 2);
    ck_assert_uint_eq(seen->fixed.dropped_links, 2);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_EVENT, "first", &item));
    memcpy(&event, item.value, sizeof(event));
    ck_assert_uint_eq(event.dropped_attributes, 72);

    aistrace_span_start(&span, "limits", &options);
    aistrace_span_add_link(&span, aistrace_span_context(&span), attributes, 200);
    seen = written(&span);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_LINK, NULL, &item));
    memcpy(&link, item.value, sizeof(link));
    ck_assert_uint_eq(link.dropped_attributes, 72);
}

TEST(an_event_keeps_the_attributes_that_fit)
{
    char large[AISTRACE_SPAN_INLINE_BYTES] = "";
    struct aistrace_attribute attributes[3];
    struct aistrace_span span;
    const struct span_set_span *seen;
    struct span_set_item item, inner;
    struct aistrace_event_value event;

    memset(large, 'x', sizeof(large) - 1);
    attributes[0] = aistrace_attr_int("a", 1);
    attributes[1] = aistrace_attr_string("large", large);
    attributes[2] = aistrace_attr_int("c", 3);
    aistrace_span_start(&span, "events", NULL);
    aistrace_span_add_event(&span, "event", attributes, 3);
    seen = written(&span);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_EVENT, "event", &item));
    memcpy(&event, item.value, sizeof(event));
    ck_assert_uint_eq(event.dropped_attributes, 1);
    ck_assert(span_set_item(item.value + sizeof(event), item.head.value_bytes - sizeof(event), AISTRACE_ITEM_ATTRIBUTE,
                            "c", &inner));
    ck_assert_uint_eq(seen->fixed.dropped_events, 0);
}

TEST(links_carry_the_other_context)
{
    static const char parent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct aistrace_attribute attribute = aistrace_attr_bool("yes", true);
    struct aistrace_context remote, none = {0};
    struct aistrace_span span, other;
    const struct span_set_span *seen;
    struct span_set_item item;
    struct aistrace_link_value link;
    char kept[AISTRACE_TRACE_STATE_BYTES];

    ck_assert_int_eq(aistrace_context_parse(&remote, parent, 55, "v=1", 3, kept), 0);
    aistrace_span_start(&other, "other", NULL);
    aistrace_span_start(&span, "links", NULL);
    aistrace_span_add_link(&span, &remote, &attribute, 1);
    aistrace_span_add_link(&span, aistrace_span_context(&other), NULL, 0);
    aistrace_span_add_link(&span, &none, NULL, 0);
    aistrace_span_add_link(&span, NULL, NULL, 0);
    seen = written(&span);
    aistrace_span_end(&other);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_LINK), 2);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_LINK, "v=1", &item));
    memcpy(&link, item.value, sizeof(link));
    ck_assert_mem_eq(link.trace_id, remote.trace_id, 16);
    ck_assert_mem_eq(link.span_id, remote.span_id, 8);
    ck_assert_uint_eq(link.remote, 1);
    ck_assert_uint_eq(link.trace_flags, 1);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_LINK, "", &item));
    memcpy(&link, item.value, sizeof(link));
    ck_assert_mem_eq(link.span_id, other.context.span_id, 8);
    ck_assert_uint_eq(link.remote, 0);
    ck_assert_uint_eq(seen->fixed.dropped_links, 0);
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
    ck_assert_mem_eq(written(&innermost)->fixed.parent_span_id, inner.context.span_id, 8);
    aistrace_span_start(&innermost, "explicit", &(struct aistrace_span_options){.parent = &outer.context});
    ck_assert_mem_eq(written(&innermost)->fixed.parent_span_id, outer.context.span_id, 8);
    aistrace_span_start(&root, "root", &(struct aistrace_span_options){.parent = &outer.context, .root = true});
    ck_assert_mem_ne(root.context.trace_id, outer.context.trace_id, 16);
    ck_assert_mem_eq(written(&root)->fixed.parent_span_id, zeros, 8);
    ck_assert_ptr_eq(aistrace_set_current(between), aistrace_span_context(&inner));
    aistrace_span_end(&inner);
    ck_assert_ptr_eq(aistrace_set_current(before), aistrace_span_context(&outer));
    ck_assert_ptr_null(aistrace_current());
    ck_assert_mem_eq(written(&outer)->fixed.parent_span_id, zeros, 8);
}

TEST(a_parent_that_is_no_context_makes_a_root)
{
    struct aistrace_context none = {0};
    struct aistrace_span current, span;

    aistrace_span_start(&current, "current", NULL);
    aistrace_set_current(aistrace_span_context(&current));
    aistrace_span_start(&span, "span", &(struct aistrace_span_options){.parent = &none});
    ck_assert_mem_eq(written(&span)->fixed.parent_span_id, zeros, 8);
    ck_assert_mem_ne(span.context.trace_id, current.context.trace_id, 16);
    aistrace_set_current(&none);
    aistrace_span_start(&span, "span", NULL);
    ck_assert_mem_eq(written(&span)->fixed.parent_span_id, zeros, 8);
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
    ck_assert(span_set_is_text(written(&grandchild), AISTRACE_ITEM_TRACE_STATE, NULL, "a=1,b=2"));
    ck_assert(span_set_is_text(written(&child), AISTRACE_ITEM_TRACE_STATE, NULL, "a=1,b=2"));
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
    ck_assert(NAME(written(&child), "a name that fills the room"));
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
    seen = written(&child);
    ck_assert_uint_eq(seen->flags, sampled | AISTRACE_REMOTE_DECIDED | AISTRACE_REMOTE_PARENT);
    ck_assert_uint_eq(seen->fixed.trace_flags, sampled ? 1 : 0);
    ck_assert_mem_eq(seen->fixed.parent_span_id, remote.span_id, 8);
    seen = written(&grandchild);
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
    span_set_drain(&set, dir);
    ck_assert_uint_eq(set.count, 1);
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
    span_set_drain(&set, dir);
    seen = span_set_find(&set, span.context.span_id);
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
    span_set_drain(&set, dir);
    ck_assert_uint_eq(set.count, counters.committed);
    ck_assert_uint_eq(set.ring_full, counters.ring_full);
    aistrace_span_start(&span, "room again", NULL);
    ck_assert(NAME(written(&span), "room again"));
}

TEST(a_span_left_open_over_stop_and_start_is_not_written)
{
    struct aistrace_span old, new;
    struct aistrace_counters counters;

    aistrace_span_start(&old, "old", NULL);
    aistrace_stop();
    start_again();
    aistrace_span_start(&new, "new", NULL);
    aistrace_span_end(&new);
    aistrace_span_end(&old);
    span_set_drain(&set, dir);
    ck_assert_ptr_nonnull(span_set_find(&set, new.context.span_id));
    ck_assert_ptr_null(span_set_find(&set, old.context.span_id));
    aistrace_counters_read(&counters);
    ck_assert_uint_eq(counters.no_segment, 1);
    ck_assert_uint_eq(counters.committed, 1);
}
