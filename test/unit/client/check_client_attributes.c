/* SPDX-License-Identifier: MIT
 *
 * A span's attributes: every type, the last value of a key, and what does not fit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/client_fixture.h"
#include "support/test.h"

FIXTURE(client_fixture_by_counter, client_fixture_done);
SECOND_FIXTURE(client_fixture_by_system, client_fixture_done);

#define ATTRIBUTE(span, key, ...) span_set_is(span, AISTRACE_ITEM_ATTRIBUTE, key, __VA_ARGS__)
#define TEXT(span, key, text)     span_set_is_text(span, AISTRACE_ITEM_ATTRIBUTE, key, text)
#define NAME(span, text)          span_set_is_text(span, AISTRACE_ITEM_NAME, NULL, text)

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
    seen = client_fixture_end(&span);
    ck_assert(ATTRIBUTE(seen, "int", &integer, 8));
    ck_assert(ATTRIBUTE(seen, "double", &real, 8));
    ck_assert(ATTRIBUTE(seen, "bool", &truth, 1));
    ck_assert(TEXT(seen, "string", "gr\xc3\xbc\xc3\x9f"));
    ck_assert(TEXT(seen, "text", "cut"));
    ck_assert(ATTRIBUTE(seen, "bytes", "\0\1\2", 3));
    ck_assert(ATTRIBUTE(seen, "strings", packed, sizeof(packed)));
    ck_assert(TEXT(seen, "empty", "") && TEXT(seen, "null", "") && TEXT(seen, "null text", ""));
    ck_assert(TEXT(seen, "null bytes", "") && TEXT(seen, "null strings", ""));
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 12);
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 1); /* the one without a key */
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
    for (size_t i = 0; i < COUNT(attributes); i++)
        aistrace_span_set(&one, &attributes[i]);
    seen = client_fixture_end(&one);
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
    seen = client_fixture_end(&other);
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
            aistrace_span_set_text(&inlined, "t", i % 2 ? NULL : value, 50);
            set_text(&called, "t", i % 2 ? NULL : value, 50);
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

    for (size_t bytes = 1; bytes <= 300; bytes++) {
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
        seen = client_fixture_end(&span);
        ck_assert(NAME(seen, text));
        ck_assert(TEXT(seen, key, text));
        span_set_done(&client.set);
    }
}

TEST(an_unknown_attribute_type_is_dropped_and_counted)
{
    struct aistrace_attribute bad = {"k", (enum aistrace_type)99, {0}, 0};
    struct aistrace_span span;
    const struct span_set_span *seen;

    aistrace_span_start(&span, "bad", NULL);
    aistrace_span_set(&span, &bad);
    seen = client_fixture_end(&span);
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 1);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 0);
}

static const struct {
    int type;
    const char *value;
    size_t bytes;
    bool fits;
} encoded[] = {
    {AISTRACE_STRING, "", 0, true},
    {AISTRACE_STRING, NULL, 5, true},
    {AISTRACE_BYTES, "\0\xff", 2, true},
    {AISTRACE_INT, "\1\0\0\0\0\0\0\0", 8, true},
    {AISTRACE_DOUBLE, "\0\0\0\0\0\0\xf8\x7f", 8, true},
    {AISTRACE_BOOL, "\0", 1, true},
    {AISTRACE_BOOL, "\1", 1, true},
    {AISTRACE_INT, "\1\0\0\0", 4, false},
    {AISTRACE_INT, "\1\0\0\0\0\0\0\0\0", 9, false},
    {AISTRACE_INT, NULL, 8, false},
    {AISTRACE_INT, "", 0, false},
    {AISTRACE_DOUBLE, "\0\0\0\0", 4, false},
    {AISTRACE_BOOL, "\2", 1, false},
    {AISTRACE_BOOL, "\xff", 1, false},
    {AISTRACE_BOOL, "\1\0", 2, false},
    {AISTRACE_BOOL, NULL, 1, false},
    {AISTRACE_STRING_ARRAY, "\1\0\0\0a", 5, false},
    {AISTRACE_STRING_ARRAY, "\xff\xff\xff\xff", 4, false},
    {0, "a", 1, false},
    {7, "a", 1, false},
    {-1, "a", 1, false},
    {256 + AISTRACE_STRING, "a", 1, false},
};

LOOP_TEST(a_value_that_is_not_encoded_is_dropped_and_counted, COUNT(encoded))
{
    struct aistrace_span span;
    const struct span_set_span *seen;

    aistrace_span_start(&span, "put", NULL);
    aistrace_span_put(&span, (enum aistrace_type)encoded[_i].type, "key", 3, encoded[_i].value, encoded[_i].bytes);
    aistrace_span_set_string(&span, "after", "kept");
    seen = client_fixture_end(&span);
    ck_assert(TEXT(seen, "after", "kept"));
    ck_assert_uint_eq(seen->fixed.dropped_attributes, !encoded[_i].fits);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), encoded[_i].fits ? 2 : 1);
}

TEST(a_bool_is_0_or_1_whatever_it_was_made_of)
{
    struct aistrace_attribute odd = {"odd", AISTRACE_BOOL, {.integer = 0x55}, 0};
    struct aistrace_span span;
    uint8_t truth = 1;

    aistrace_span_start(&span, "bool", NULL);
    aistrace_span_set(&span, &odd);
    ck_assert(ATTRIBUTE(client_fixture_end(&span), "odd", &truth, 1));
}

TEST(an_attribute_without_a_key_is_dropped_and_counted)
{
    static char empty[] = "";
    const struct aistrace_attribute attributes[] = {aistrace_attr_int("", 1), aistrace_attr_int("a", 2),
                                                    aistrace_attr_string(NULL, "x")};
    struct aistrace_span span;
    const struct span_set_span *seen;
    struct span_set_item item;
    struct aistrace_event_value event;
    struct aistrace_link_value link;

    aistrace_span_start(&span, "keys", NULL);
    aistrace_span_set_int(&span, "", 1);
    aistrace_span_set_bool(&span, empty, true);
    aistrace_span_set_string(&span, NULL, "x");
    aistrace_span_set_strings(&span, empty, NULL, 0);
    aistrace_span_put(&span, AISTRACE_STRING, "key", 0, "x", 1);
    aistrace_span_put(&span, AISTRACE_STRING, NULL, 3, "x", 1);
    aistrace_span_set(&span, &attributes[0]);
    aistrace_span_add_event(&span, "event", attributes, 3);
    aistrace_span_add_link(&span, aistrace_span_context(&span), attributes, 3);
    seen = client_fixture_end(&span);
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 7);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 0);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_EVENT, "event", &item));
    memcpy(&event, item.value, sizeof(event));
    ck_assert_uint_eq(event.dropped_attributes, 2);
    ck_assert_uint_eq(item.head.value_bytes, sizeof(event) + sizeof(item.head) + 1 + 8);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_LINK, NULL, &item));
    memcpy(&link, item.value, sizeof(link));
    ck_assert_uint_eq(link.dropped_attributes, 2);
}

TEST(the_last_value_of_a_key_wins)
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    int64_t last = 2;

    aistrace_span_start(&span, "again", NULL);
    aistrace_span_set_string(&span, "key", "first");
    aistrace_span_set_int(&span, "key", 2);
    seen = client_fixture_end(&span);
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
    seen = client_fixture_end(&span);
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
    seen = client_fixture_end(&span);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 128);
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 23);
    ck_assert(ATTRIBUTE(seen, "key5", &value, 8));
    value = 127;
    ck_assert(ATTRIBUTE(seen, "key127", &value, 8));
}

TEST(of_a_crowded_span_the_128th_attribute_is_kept)
{
    static char buffer[65536];
    struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizeof(buffer)};
    struct aistrace_span span;
    const struct span_set_span *seen;
    char key[16];

    aistrace_span_start(&span, "crowded", &options);
    aistrace_span_set_int(&span, "key0", -1);
    for (int i = 0; i < 129; i++) { /* the last but one crowds the span, by the value that was replaced */
        sprintf(key, "key%d", i);
        aistrace_span_set_int(&span, key, i);
        ck_assert_uint_eq(span.crowded, i >= 127);
    }
    seen = client_fixture_end(&span);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), 128);
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 1);
    ck_assert(ATTRIBUTE(seen, "key127", &(int64_t){127}, 8));
}

/* Attributes of no more than their heads, which pack most densely: as many as the limit lets pass uncounted. */
static void set_many_small(struct aistrace_span *span, int count)
{
    for (int i = 0; i < count; i++)
        aistrace_span_set_string(span, "k", "");
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
    seen = client_fixture_end(&span);
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
    client_fixture_end(&span);
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
    seen = client_fixture_end(&span);
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
    seen = client_fixture_end(&span);
    ck_assert(TEXT(seen, "key", "old") && TEXT(seen, "swap", large));
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 1);
}

TEST(a_value_takes_the_room_of_the_one_that_it_replaces)
{
    struct aistrace_span span;
    const struct span_set_span *seen;
    char large[601];

    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    aistrace_span_start(&span, "room", NULL);
    aistrace_span_set_text(&span, "swap", large, 500);
    aistrace_span_set_text(&span, "swap", large, 501); /* not beside the first: the span is crowded */
    ck_assert(span.crowded);
    aistrace_span_set_string(&span, "swap", large);
    seen = client_fixture_end(&span);
    ck_assert(TEXT(seen, "swap", large));
    ck_assert_uint_eq(seen->fixed.dropped_attributes, 0);
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
    seen = client_fixture_end(&span);
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
    ck_assert(TEXT(client_fixture_end(&span), "value", value));
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
    ck_assert(TEXT(client_fixture_end(&span), "value", value));
    for (size_t i = 0; i < sizeof(buffer); i++)
        ck_assert_int_eq(buffer[i], 0x55);
}
