/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "endpoint/store/store.h"
#include "support/test.h"

enum { SPAN_BYTES = 200 };

static struct store *store;
static struct store_group *group;
static const struct store_origin origin = {
    .resource = {(const uint8_t *)"resource of shop", 16},
    .scope = {(const uint8_t *)"scope", 5},
    .service = {(const uint8_t *)"resource of shop" + 12, 0},
};

static void set_up_with(uint64_t bytes)
{
    ck_assert_int_eq(store_new(bytes, 42, &store), 0);
    ck_assert_int_eq(store_hold_group(store, &origin, &group), 0);
}

static void set_up(void)
{
    set_up_with(STORE_DEFAULT_BYTES);
}

static void tear_down(void)
{
    store_free(store);
}

FIXTURE(set_up, tear_down);

static struct store_span span_of(uint64_t trace, uint64_t number, size_t bytes)
{
    static const uint8_t message[8 << 20];
    struct store_span span = {.start_ns = 1000 * number, .end_ns = 1000 * number + 500, .message = {message, bytes}};
    memcpy(span.trace_id, &trace, sizeof(trace));
    memcpy(span.span_id, &number, sizeof(number));
    return span;
}

static int add(uint64_t trace, uint64_t number)
{
    struct store_span span = span_of(trace, number, SPAN_BYTES);
    return store_add(store, group, &span, number);
}

static struct store_stats stats(void)
{
    struct store_stats figures;
    store_get_stats(store, &figures);
    ck_assert_uint_eq(figures.received, figures.duplicates + figures.spans + figures.evicted_spans);
    ck_assert_uint_le(figures.bytes, figures.max_bytes);
    return figures;
}

static uint64_t number_of(const struct store_trace *trace)
{
    uint64_t number;
    memcpy(&number, trace->trace_id, sizeof(number));
    return number;
}

static const struct store_trace *find(uint64_t trace)
{
    uint8_t id[16] = {0};
    memcpy(id, &trace, sizeof(trace));
    return store_find(store, id);
}

TEST(spans_come_back_by_trace_in_the_order_of_arrival)
{
    for (uint64_t number = 1; number <= 30; number++)
        ck_assert_int_eq(add(number % 3, 31 - number), 1);
    ck_assert_uint_eq(stats().traces, 3);
    const struct store_trace *trace = find(2);
    ck_assert_uint_eq(trace->spans, 10);
    ck_assert_uint_eq(trace->start_ns, 2000);
    ck_assert_uint_eq(trace->end_ns, 29500);
    uint64_t expected = 29;
    for (const struct store_entry *entry = trace->first; entry; entry = entry->next, expected -= 3)
        ck_assert_uint_eq(entry->span.start_ns, 1000 * expected);
    ck_assert_ptr_null(find(3));
}

TEST(a_span_is_a_copy_and_its_name_points_into_it)
{
    uint8_t message[] = "..name..";
    struct store_span span = span_of(1, 1, 0);
    span.message = (struct wire_bytes){message, 8};
    span.name = (struct wire_bytes){message + 2, 4};
    ck_assert_int_eq(store_add(store, group, &span, 0), 1);
    memset(message, 'x', sizeof(message));
    const struct store_entry *entry = find(1)->first;
    ck_assert_mem_eq(entry->span.message.data, "..name..", 8);
    ck_assert_ptr_eq(entry->span.name.data, entry->span.message.data + 2);
    ck_assert_uint_eq(entry->span.name.len, 4);
}

TEST(a_duplicate_is_counted_and_the_first_one_stays)
{
    struct store_span second = span_of(1, 1, 10);
    ck_assert_int_eq(add(1, 1), 1);
    ck_assert_int_eq(store_add(store, group, &second, 0), 0);
    ck_assert_int_eq(add(2, 1), 1); /* the same span id in another trace is another span */
    ck_assert_uint_eq(stats().duplicates, 1);
    ck_assert_uint_eq(stats().spans, 2);
    ck_assert_uint_eq(find(1)->first->span.message.len, SPAN_BYTES);
}

TEST(newest_is_who_heard_last)
{
    add(1, 1), add(2, 2), add(3, 3), add(1, 4), add(2, 2); /* the last is a duplicate: no news */
    const uint64_t expected[] = {1, 3, 2};
    const struct store_trace *trace = store_newest(store);
    for (size_t i = 0; i < 3; i++, trace = store_older(trace))
        ck_assert_uint_eq(number_of(trace), expected[i]);
    ck_assert_ptr_null(trace);
}

TEST(over_the_bound_the_trace_quiet_for_longest_goes)
{
    tear_down();
    set_up_with(STORE_MIN_BYTES);
    add(1, 1);
    uint64_t number = 2;
    for (; stats().evicted_traces == 0; number++) {
        ck_assert_uint_lt(number, 100000);
        add(number, number);
        add(1, number); /* keeps trace 1 young */
    }
    ck_assert_ptr_null(find(2));
    ck_assert_ptr_nonnull(find(1));
    ck_assert_ptr_nonnull(find(3));
    ck_assert_uint_eq(stats().evicted_spans, 1);
    for (uint64_t more = 0; more < 20000; more++) {
        add(number + more, number + more);
        stats();
    }
    ck_assert_ptr_null(find(1));
    ck_assert_uint_gt(stats().spans, 1000);
}

TEST(an_evicted_span_may_come_again)
{
    tear_down();
    set_up_with(STORE_MIN_BYTES);
    for (uint64_t number = 1; number < 20000; number++)
        ck_assert_int_eq(add(number, number), 1);
    ck_assert_int_eq(add(1, 1), 1);
    ck_assert_uint_eq(stats().duplicates, 0);
}

TEST(what_is_larger_than_all_memory_leaves_nothing_behind)
{
    tear_down();
    set_up_with(STORE_MIN_BYTES);
    uint64_t before = stats().bytes;
    struct store_span span = span_of(1, 1, 4 << 20);
    ck_assert_int_eq(store_add(store, group, &span, 0), 1);
    ck_assert_uint_eq(stats().spans, 0);
    ck_assert_uint_eq(stats().evicted_spans, 1);
    ck_assert_uint_lt(stats().bytes, before + 4096); /* the tables' first buckets */
    ck_assert_ptr_null(store_newest(store));
}

TEST(a_pinned_trace_outlives_its_eviction)
{
    tear_down();
    set_up_with(STORE_MIN_BYTES);
    add(1, 1);
    const struct store_trace *pinned = find(1);
    store_pin(pinned);
    for (uint64_t number = 2; find(1); number++)
        add(number, number);
    ck_assert_uint_eq(number_of(pinned), 1);
    ck_assert_uint_eq(pinned->first->span.message.len, SPAN_BYTES);
    ck_assert_ptr_eq(store_group_origin(pinned->first->group)->resource.data, store_group_origin(group)->resource.data);
    store_unpin(store, pinned); /* valgrind and the address sanitizer see whether it is freed, and once */
}

TEST(equal_origins_are_kept_once_and_go_with_their_last_span)
{
    struct store_group *again, *other;
    struct store_origin differs = origin;
    differs.scope_schema_url = (struct wire_bytes){(const uint8_t *)"u", 1};
    ck_assert_int_eq(store_hold_group(store, &origin, &again), 0);
    ck_assert_ptr_eq(again, group);
    ck_assert_int_eq(store_hold_group(store, &differs, &other), 0);
    ck_assert_ptr_ne(other, group);
    ck_assert_ptr_eq(store_next_group(store, store_next_group(store, NULL)), group);
    store_release_group(store, other);
    ck_assert_ptr_eq(store_next_group(store, NULL), group);
    ck_assert_ptr_null(store_next_group(store, group));
    add(1, 1);
    store_release_group(store, again);
    store_release_group(store, group);
    ck_assert_ptr_eq(store_next_group(store, NULL), group); /* the span still holds it */
}

TEST(a_service_points_into_the_kept_resource)
{
    struct store_group *kept;
    uint8_t resource[] = "xxshop";
    struct store_origin named = {.resource = {resource, 6}, .service = {resource + 2, 4}};
    ck_assert_int_eq(store_hold_group(store, &named, &kept), 0);
    memset(resource, 0, sizeof(resource));
    const struct store_origin *is = store_group_origin(kept);
    ck_assert_ptr_eq(is->service.data, is->resource.data + 2);
    ck_assert_mem_eq(is->service.data, "shop", 4);
}

TEST(many_spans_are_all_found)
{
    for (uint64_t number = 1; number <= 100000; number++)
        ck_assert_int_eq(add(number / 10, number), 1);
    for (uint64_t number = 1; number <= 100000; number++)
        ck_assert_int_eq(add(number / 10, number), 0);
    ck_assert_uint_eq(stats().spans, 100000);
    ck_assert_uint_eq(stats().duplicates, 100000);
}

TEST(too_little_memory_is_refused)
{
    struct store *none = NULL;
    ck_assert_int_eq(store_new(STORE_MIN_BYTES - 1, 0, &none), -EINVAL);
    ck_assert_ptr_null(none);
    store_free(NULL);
}
