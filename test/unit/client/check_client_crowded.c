/* SPDX-License-Identifier: MIT
 *
 * Spans with all the attributes that they may have, or no room for more: one more costs what the first did, and of each
 * key the last value is kept that was not counted as dropped. What is dropped had no room, or was the 129th.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "support/client_fixture.h"
#include "support/span_model.h"
#include "support/steps.h"
#include "support/test.h"

enum { KEYS = 1200, CALLS = 32, BUFFER_BYTES = 1 << 16 };

static char keys[KEYS][24];
static uint8_t buffer[BUFFER_BYTES];

static void start(void)
{
    client_fixture_by_counter();
    for (int i = 0; i < KEYS; i++)
        sprintf(keys[i], "key.number.%d", i);
}

FIXTURE(start, client_fixture_done);

/* ---- what it costs ---- */

static void fill(struct aistrace_span *span, bool by_number)
{
    struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizeof(buffer)};

    aistrace_span_start(span, "crowded", by_number ? &options : NULL);
    aistrace_span_set_int(span, keys[5], 5);
    for (int i = 0; by_number && i < AISTRACE_MAX_ATTRIBUTES; i++)
        aistrace_span_set_int(span, keys[i], i);
    for (int i = 0; !by_number && !span->dropped_attributes; i++)
        aistrace_span_set_bool(span, strrchr(keys[i], '.'), true); /* short ones: as many as there can be */
}

static void set_new(void *arg)
{
    for (int i = 0; i < CALLS; i++)
        aistrace_span_set_int(arg, keys[KEYS - 1 - i], i);
}

static void set_one(void *arg)
{
    for (int i = 0; i < CALLS; i++)
        aistrace_span_set_int(arg, keys[5], i);
}

static void set_old(void *arg)
{
    for (int i = 0; i < CALLS; i++)
        aistrace_span_set_int(arg, keys[i], -i);
}

static void set_growing(void *arg)
{
    static const char text[] = "a text that grows by a byte each time until it is as long as the text is";

    for (size_t i = 0; i < CALLS; i++)
        aistrace_span_set_text(arg, keys[5], text, i);
}

static void set_name(void *arg)
{
    for (int i = 0; i < CALLS; i++)
        aistrace_span_set_name(arg, "another name");
}

static void add_event(void *arg)
{
    for (int i = 0; i < CALLS; i++)
        aistrace_span_add_event(arg, "event", NULL, 0);
}

static const struct {
    const char *what;
    bool by_number; /* 128 attributes in a buffer; else the inline body used up */
    bool events;    /* 128 events as well */
    void (*run)(void *span);
    unsigned times; /* how many times that of the first attributes it may cost */
} costs[] = {
    {"new keys beyond 128", true, false, set_new, 3},
    {"new keys beyond 128, with 128 events", true, true, set_new, 3},
    {"one key again and again", true, true, set_one, 6},
    {"all keys again", true, true, set_old, 6},
    {"a value of another length", true, true, set_growing, 8},
    {"events beyond 128", true, true, add_event, 2},
    {"new keys without room", false, false, set_new, 5},
    {"one key again and again without room", false, false, set_one, 6},
    {"events without room", false, false, add_event, 2},
    {"names without room", false, false, set_name, 20},
};

LOOP_TEST(one_more_costs_what_the_first_did, COUNT(costs))
{
    struct aistrace_span span;
    uint64_t first, more;

    aistrace_span_start(&span, "new",
                        &(struct aistrace_span_options){.buffer = buffer, .buffer_bytes = sizeof(buffer)});
    first = steps_of(set_new, &span);
    NEEDS(first, "ptrace");
    aistrace_span_end(&span);
    fill(&span, costs[_i].by_number);
    for (int i = 0; costs[_i].events && i < AISTRACE_MAX_EVENTS; i++)
        aistrace_span_add_event(&span, "event", NULL, 0);
    aistrace_span_set_int(&span, keys[KEYS - 1], 1); /* the first that is refused may look at all the others */
    ck_assert_uint_ge(span.dropped_attributes, 1);
    more = steps_of(costs[_i].run, &span);
    ck_assert_msg(more <= first * costs[_i].times, "%s: %" PRIu64 " instructions each, the first %" PRIu64 " each",
                  costs[_i].what, more / CALLS, first / CALLS);
    aistrace_span_end(&span);
}

/* ---- what is kept ---- */

enum { TEXT_MAX = 60, MODEL_KEYS = 300 };

/* What the record has to say, by key: the last value that was not counted as dropped. */
static struct {
    bool is_set;
    size_t bytes;
    char text[TEXT_MAX];
} want[MODEL_KEYS];

static size_t item_bytes(size_t key, size_t value_bytes)
{
    return sizeof(struct aistrace_item) + strlen(keys[key]) + value_bytes;
}

/* Of names, messages and events: what these may be is another test's. */
static size_t bytes_of_others(const struct aistrace_span *span)
{
    size_t sum = 0, bytes;
    for (const uint8_t *at = span->body; at < span->end; at += bytes) {
        struct aistrace_item item;
        memcpy(&item, at, sizeof(item));
        bytes = sizeof(item) + item.key_bytes + item.value_bytes;
        sum += item.tag == AISTRACE_ITEM_ATTRIBUTE ? 0 : bytes;
    }
    return sum;
}

/* By the values that are kept: those that were replaced take no room. */
static bool must_fit(const struct aistrace_span *span, size_t key, size_t value_bytes)
{
    size_t used = bytes_of_others(span), count = 0;
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        if (!want[i].is_set)
            continue;
        used += item_bytes(i, want[i].bytes);
        count++;
    }
    size_t room = used < span->body_capacity ? span->body_capacity - used : 0;
    size_t had = want[key].is_set ? item_bytes(key, want[key].bytes) : 0;
    return item_bytes(key, value_bytes) <= room + had && (had > 0 || count < AISTRACE_MAX_ATTRIBUTES);
}

static void set_random(struct aistrace_span *span, struct model_random *randoms, size_t few)
{
    size_t key = model_below(randoms, few), bytes = model_below(randoms, 3) ? 8 : model_below(randoms, TEXT_MAX);
    uint32_t dropped = span->dropped_attributes;
    bool fits = must_fit(span, key, bytes);
    char text[TEXT_MAX];

    memset(text, (int)('a' + model_below(randoms, 26)), sizeof(text));
    aistrace_span_set_text(span, keys[key], text, bytes);
    ck_assert_uint_eq(span->dropped_attributes, dropped + !fits);
    if (!fits)
        return;
    want[key].is_set = true;
    want[key].bytes = bytes;
    memcpy(want[key].text, text, bytes);
}

/* was_crowded: each key once. */
static void check_want(const struct span_set_span *seen, bool was_crowded)
{
    size_t count = 0;

    for (size_t key = 0; key < MODEL_KEYS; key++) {
        struct span_set_item item;
        bool is_there = span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_ATTRIBUTE, keys[key], &item);
        ck_assert_int_eq(is_there, want[key].is_set);
        if (!is_there)
            continue;
        ck_assert_uint_eq(item.head.value_bytes, want[key].bytes);
        ck_assert_int_eq(memcmp(item.value, want[key].text, want[key].bytes), 0);
        count++;
    }
    ck_assert_uint_le(count, AISTRACE_MAX_ATTRIBUTES);
    if (was_crowded)
        ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), count);
}

LOOP_TEST(of_each_key_the_last_value_is_kept_that_was_not_dropped, 60)
{
    static const size_t sizes[] = {0, 1000, 3000, BUFFER_BYTES}, few[] = {5, 40, 140, MODEL_KEYS};
    struct model_random randoms = {(uint64_t)_i + 1};
    struct aistrace_span_options options = {.buffer = buffer, .buffer_bytes = sizes[_i % 4]};
    struct aistrace_span span;

    aistrace_span_start(&span, "model", &options);
    for (int i = 0; i < 2000; i++) {
        switch (model_below(&randoms, 40)) {
        case 0:
            aistrace_span_add_event(&span, "event", NULL, 0);
            break;
        case 1:
            aistrace_span_set_name(&span, keys[model_below(&randoms, KEYS)]);
            break;
        case 2:
            aistrace_span_set_status(&span, AISTRACE_STATUS_ERROR, keys[model_below(&randoms, KEYS)]);
            break;
        default:
            set_random(&span, &randoms, few[_i / 4 % 4]);
        }
    }
    aistrace_span_set_name(&span, "the last");
    const struct span_set_span *seen = client_fixture_end(&span);
    ck_assert(span_set_is_text(seen, AISTRACE_ITEM_NAME, NULL, "the last"));
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_NAME), 1);
    ck_assert_uint_le(span_set_items(seen, AISTRACE_ITEM_ATTRIBUTE), AISTRACE_MAX_ATTRIBUTES);
    ck_assert_uint_eq(span_set_items(seen, 0), 0);
    check_want(seen, span.crowded);
}

/* ---- what programs wrote that were compiled with an older aistrace.h ---- */

TEST(attributes_without_a_key_are_looked_at_as_others)
{
    const uint64_t item[2] = {AISTRACE_ITEM_ATTRIBUTE | AISTRACE_INT << 8 | (uint64_t)sizeof(uint64_t) << 32, 7};
    struct aistrace_span span;

    aistrace_span_start(&span, "old", NULL);
    for (int i = 0; i < 2; i++) {
        memcpy(span.end, item, sizeof(item));
        span.end += sizeof(item);
    }
    for (int i = 0; !span.dropped_attributes; i++)
        aistrace_span_set_int(&span, keys[i], i);
    ck_assert_ptr_nonnull(client_fixture_end(&span));
}
