/* SPDX-License-Identifier: MIT
 *
 * A full body: finds room for one more attribute, by removing values that were replaced.
 */
#include "body.h"

static uint32_t body_bytes(const struct aistrace_span *span)
{
    return (uint32_t)aistrace__body_bytes(span);
}

static struct aistrace_item item_at(const struct aistrace_span *span, uint32_t at)
{
    struct aistrace_item item;
    memcpy(&item, span->body + at, sizeof(item));
    return item;
}

static bool has_key(const struct aistrace_span *span, uint32_t at, struct aistrace__text key)
{
    struct aistrace_item item = item_at(span, at);
    return item.tag == AISTRACE_ITEM_ATTRIBUTE && item.key_bytes == key.bytes &&
           memcmp(span->body + at + sizeof(item), key.data, key.bytes) == 0;
}

static uint32_t next(const struct aistrace_span *span, uint32_t at)
{
    return at + (uint32_t)aistrace__item_size(span->body + at);
}

/* -> position of the first item at or after `at` that is an attribute of that key; the body's end: none. */
static uint32_t find(const struct aistrace_span *span, uint32_t at, struct aistrace__text key)
{
    while (at < body_bytes(span) && !has_key(span, at, key))
        at = next(span, at);
    return at;
}

/* The trace state, to which the context points, is the first item and is never dropped: so only items behind it move.
 * The limit goes to the end: attributes written into the freed room must be counted again. */
static void drop_item(struct aistrace_span *span, uint32_t at)
{
    uint32_t after = next(span, at);
    memmove(span->body + at, span->body + after, body_bytes(span) - after);
    span->end -= after - at;
    span->limit = span->end;
}

/* Removes attributes whose key comes again later. */
static void drop_replaced(struct aistrace_span *span)
{
    for (uint32_t at = 0; at < body_bytes(span);) {
        struct aistrace_item item = item_at(span, at);
        struct aistrace__text key = {(const char *)span->body + at + sizeof(item), item.key_bytes};
        if (item.tag == AISTRACE_ITEM_ATTRIBUTE && find(span, next(span, at), key) < body_bytes(span))
            drop_item(span, at);
        else
            at = next(span, at);
    }
}

static size_t count_attributes(const struct aistrace_span *span)
{
    size_t count = 0;
    for (uint32_t at = 0; at < body_bytes(span); at = next(span, at))
        count += item_at(span, at).tag == AISTRACE_ITEM_ATTRIBUTE;
    return count;
}

static bool fits(struct aistrace_span *span, size_t bytes)
{
    size_t attributes = count_attributes(span);
    if (bytes > aistrace__room(span) || attributes >= AISTRACE_MAX_ATTRIBUTES)
        return false;
    aistrace__set_limit(span, attributes);
    return true;
}

bool aistrace__make_room(struct aistrace_span *span, struct aistrace__text key, size_t bytes)
{
    if (fits(span, bytes))
        return true;
    drop_replaced(span);
    uint32_t at = find(span, 0, key);
    if (at < body_bytes(span)) {
        if (bytes > aistrace__room(span) + aistrace__item_size(span->body + at))
            return false;
        drop_item(span, at);
    }
    return fits(span, bytes);
}

void aistrace__drop_texts(struct aistrace_span *span, enum aistrace_item_tag tag)
{
    for (uint32_t at = 0; at < body_bytes(span);) {
        if (item_at(span, at).tag == tag)
            drop_item(span, at);
        else
            at = next(span, at);
    }
}
