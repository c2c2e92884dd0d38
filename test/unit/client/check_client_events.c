/* SPDX-License-Identifier: MIT
 *
 * A span's events and links.
 */
#include <string.h>

#include "support/client_fixture.h"
#include "support/test.h"

FIXTURE(client_fixture_by_counter, client_fixture_done);
SECOND_FIXTURE(client_fixture_by_system, client_fixture_done);

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
    seen = client_fixture_end(&span);
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
    seen = client_fixture_end(&span);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_EVENT), 128);
    ck_assert_uint_eq(span_set_items(seen, AISTRACE_ITEM_LINK), 128);
    ck_assert_uint_eq(seen->fixed.dropped_events, 2);
    ck_assert_uint_eq(seen->fixed.dropped_links, 2);
    ck_assert(span_set_item(seen->items, seen->items_bytes, AISTRACE_ITEM_EVENT, "first", &item));
    memcpy(&event, item.value, sizeof(event));
    ck_assert_uint_eq(event.dropped_attributes, 72);

    aistrace_span_start(&span, "limits", &options);
    aistrace_span_add_link(&span, aistrace_span_context(&span), attributes, 200);
    seen = client_fixture_end(&span);
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
    seen = client_fixture_end(&span);
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
    seen = client_fixture_end(&span);
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
