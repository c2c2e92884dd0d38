/* SPDX-License-Identifier: MIT
 *
 * Spans made of calls in random order, in buffers of random size and place: whatever is called, the daemon takes the
 * record, and nothing is written beside the buffer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aistrace.h"
#include "span/record_decode.h"
#include "support/span_model.h"
#include "support/span_set.h"
#include "support/test.h"

enum { SPANS = 2000, SPANS_AT_A_TIME = 20, LONG = 60000, GUARD_BYTES = 64, GUARD = 0x55 };

static char *dir;
static char text[LONG + 1];
static struct model_random randoms = {71};

static void start(void)
{
    dir = span_set_dir_new();
    memset(text, 'x', LONG);
    ck_assert_int_eq(
        aistrace_start(&(struct aistrace_options){.role = "target", .ring_dir = dir, .ring_bytes = 4 << 20}), 0);
}

static void stop(void)
{
    aistrace_stop();
    span_set_dir_remove(dir);
}

FIXTURE(start, stop);

static size_t below(size_t bound)
{
    return model_below(&randoms, bound);
}

/* With an end of its own; mostly short. */
static const char *some_text(size_t longest)
{
    return text + LONG - below(below(4) ? 40 : longest);
}

static const char *some_key(size_t keys)
{
    static char key[24];

    sprintf(key, "%zx", below(keys));
    return key;
}

/* Of any type, also of none, with or without a value. */
static struct aistrace_attribute some_attribute(size_t keys)
{
    static const char *const strings[] = {"a", NULL, ""};
    struct aistrace_attribute attribute = {below(9) ? some_key(keys) : NULL, (enum aistrace_type)below(9), {0}, 0};
    bool is_array = attribute.type == AISTRACE_STRING_ARRAY;

    attribute.count = below(is_array ? COUNT(strings) + 1 : 100);
    if (is_array)
        attribute.value.items = below(4) ? strings : NULL;
    else if (attribute.type == AISTRACE_STRING || attribute.type == AISTRACE_BYTES)
        attribute.value.data = below(4) ? text : NULL;
    else
        attribute.value.integer = (int64_t)model_next(&randoms);
    return attribute;
}

/* As a program may make it: sound, or of anything. */
static struct aistrace_context some_context(void)
{
    struct aistrace_context context = {.trace_id = {1}, .span_id = {2}, .trace_flags = (uint8_t)below(256)};

    if (below(4) == 0)
        context.sampling = (uint8_t)below(256);
    if (below(8) == 0)
        context.trace_id[0] = 0;
    if (below(2)) {
        context.trace_state = below(2) ? "a=1,b=2" : below(2) ? text : NULL;
        context.trace_state_bytes = below(2) ? 7 : (uint16_t)below(1000);
        if (context.trace_state != text && context.trace_state_bytes > 7 && context.trace_state_bytes <= 512)
            context.trace_state_bytes = 7;
    }
    return context;
}

static void call(struct aistrace_span *span, size_t keys)
{
    const char *const strings[] = {"a", NULL, some_text(200)};
    const struct aistrace_attribute attributes[] = {aistrace_attr_int("i", 1), some_attribute(keys),
                                                    some_attribute(keys)};
    struct aistrace_context other = some_context();

    switch (below(24)) {
    case 0:
        aistrace_span_set_name(span, some_text(1500));
        break;
    case 1:
        aistrace_span_put_name(span, below(2) ? text : NULL, below(5000));
        break;
    case 2:
        aistrace_span_set_status(span, AISTRACE_STATUS_ERROR, some_text(300));
        break;
    case 3:
        aistrace_span_add_event(span, some_text(300), attributes, below(4));
        break;
    case 4:
        aistrace_span_add_link(span, below(2) ? aistrace_span_context(span) : &other, attributes, below(4));
        break;
    case 5:
        aistrace_span_set_bytes(span, some_key(keys), text, below(LONG));
        break;
    case 6:
        aistrace_span_set_strings(span, some_key(keys), strings, below(4));
        break;
    case 7:
        aistrace_span_set_string(span, below(2) ? NULL : "", NULL);
        break;
    case 20:
    case 21:
        aistrace_span_put(span, (enum aistrace_type)below(9), some_key(keys), below(4), below(9) ? text : NULL,
                          below(12));
        break;
    case 22:
        aistrace_span_set(span, &attributes[1]);
        break;
    case 23:
        aistrace_span_set_status(span, (enum aistrace_status)below(5), some_text(20));
        break;
    case 8:
        aistrace_span_set_bool(span, "constant", true);
        break;
    case 9:
    case 10:
    case 11:
        aistrace_span_set_int(span, some_key(keys), 1);
        break;
    default:
        aistrace_span_set_text(span, some_key(keys), text, below(below(10) ? 8 : 3000));
    }
}

static void make_span(void)
{
    static const size_t keys[] = {5, 200, 100000}, sizes[] = {900, 3000, 40000};
    size_t bytes = below(sizes[below(3)]), skew = below(17), few = keys[below(3)];
    size_t calls = below(below(2) ? 30 : 400);
    uint8_t *memory = malloc(GUARD_BYTES + bytes + GUARD_BYTES), *buffer = memory + skew;
    struct aistrace_context parent = some_context();
    struct aistrace_span span;

    ck_assert_ptr_nonnull(memory);
    memset(memory, GUARD, GUARD_BYTES + bytes + GUARD_BYTES);
    aistrace_span_start(&span, some_text(2000),
                        &(struct aistrace_span_options){.kind = (enum aistrace_kind)below(8),
                                                        .parent = below(2) ? &parent : NULL,
                                                        .buffer = buffer,
                                                        .buffer_bytes = bytes});
    for (size_t i = 0; i < calls; i++)
        call(&span, few);
    aistrace_span_end(&span);
    call(&span, few);
    for (uint8_t *at = memory; at < buffer; at++)
        ck_assert_uint_eq(*at, GUARD);
    for (uint8_t *at = buffer + bytes; at < memory + GUARD_BYTES + bytes + GUARD_BYTES; at++)
        ck_assert_uint_eq(*at, GUARD);
    free(memory);
}

static void check_record(const struct span_set_span *span)
{
    size_t bytes = sizeof(span->fixed) + span->items_bytes;
    uint8_t *record = malloc(bytes);
    struct span_view view;
    const char *problem = "";

    ck_assert_ptr_nonnull(record);
    memcpy(record, &span->fixed, sizeof(span->fixed));
    if (span->items_bytes)
        memcpy(record + sizeof(span->fixed), span->items, span->items_bytes);
    if (record_decode(record, bytes, AISTRACE_RECORD_SPAN, span->flags, &view, &problem) != 0)
        ck_abort_msg("the daemon refuses it: %s", problem);
    ck_assert_uint_le(span_set_items(span, AISTRACE_ITEM_ATTRIBUTE), AISTRACE_MAX_ATTRIBUTES);
    free(record);
}

static void check_resource(void)
{
    struct span_set set = {0};
    const char *problem = "";

    span_set_drain(&set, dir);
    ck_assert_uint_eq(set.segments, 1);
    if (record_check_resource(set.resource, set.resource_bytes, &problem) != 0)
        ck_abort_msg("the daemon refuses the segment: %s", problem);
    span_set_done(&set);
}

TEST(the_daemon_takes_every_resource_whatever_was_given)
{
    static struct aistrace_attribute attributes[400];
    static char resource_keys[COUNT(attributes)][24];

    for (int i = 0; i < 50; i++) {
        struct aistrace_options options = {.ring_dir = dir, .ring_bytes = 65536, .attributes = attributes};
        size_t few = below(2) ? 10 : 100000;
        options.attribute_count = below(COUNT(attributes));
        for (size_t k = 0; k < options.attribute_count; k++) {
            attributes[k] = some_attribute(few);
            if (attributes[k].key)
                attributes[k].key = strcpy(resource_keys[k], attributes[k].key);
        }
        *(below(2) ? &options.role : &options.service_name) = some_text(i % 4 ? 40 : 9000);
        aistrace_stop();
        span_set_dir_clear(dir);
        if (aistrace_start(&options) == 0)
            check_resource();
    }
}

TEST(a_resource_is_cut_at_its_limit)
{
    static struct aistrace_attribute attributes[130];
    static char resource_keys[COUNT(attributes)][16];
    struct span_set set = {0};
    struct span_set_item item;
    size_t count = 0;

    for (size_t i = 0; i < COUNT(attributes); i++) {
        sprintf(resource_keys[i], "label.%zu", i);
        attributes[i] = aistrace_attr_string(resource_keys[i], "v");
    }
    aistrace_stop();
    span_set_dir_clear(dir);
    ck_assert_int_eq(
        aistrace_start(&(struct aistrace_options){
            .role = "target", .ring_dir = dir, .attributes = attributes, .attribute_count = COUNT(attributes)}),
        0);
    check_resource();
    span_set_drain(&set, dir);
    const uint8_t *cursor = set.resource, *end = cursor + set.resource_bytes;
    while (span_set_item_next(&cursor, end, &item))
        count += item.head.tag == AISTRACE_ITEM_ATTRIBUTE;
    ck_assert_uint_eq(count, AISTRACE_MAX_ATTRIBUTES);
    ck_assert(span_set_item(set.resource, set.resource_bytes, AISTRACE_ITEM_ATTRIBUTE, "label.100", &item));
    span_set_done(&set);
}

TEST(names_and_messages_are_not_heaped_up)
{
    enum { TIMES = 33000, BYTES = 900000 }; /* with each text an item: 99,000 items */
    struct aistrace_span span;
    struct span_set set = {0};
    void *buffer = malloc(BYTES);

    ck_assert_ptr_nonnull(buffer);
    aistrace_span_start(&span, "", &(struct aistrace_span_options){.buffer = buffer, .buffer_bytes = BYTES});
    for (int i = 0; i < TIMES; i++) {
        aistrace_span_set_name(&span, "n");
        aistrace_span_put_name(&span, "p", 1);
        aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, "m");
    }
    aistrace_span_end(&span);
    free(buffer);
    span_set_drain(&set, dir);
    ck_assert_uint_eq(set.count, 1);
    check_record(&set.spans[0]);
    span_set_done(&set);
}

TEST(the_daemon_takes_every_span_whatever_was_called)
{
    size_t seen = 0;

    while (seen < SPANS) {
        struct span_set set = {0};
        for (int i = 0; i < SPANS_AT_A_TIME; i++)
            make_span();
        span_set_drain(&set, dir);
        ck_assert_uint_eq(set.count, SPANS_AT_A_TIME);
        for (size_t i = 0; i < set.count; i++)
            check_record(&set.spans[i]);
        seen += set.count;
        span_set_done(&set);
    }
}
