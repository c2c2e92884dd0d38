/* SPDX-License-Identifier: MIT */
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

static bool is_attribute(const struct aistrace_span *span, uint32_t at)
{
    return span->body[at + offsetof(struct aistrace_item, tag)] == AISTRACE_ITEM_ATTRIBUTE;
}

/* Tag and key_bytes, without the type between them. */
#define HEAD_MASK 0xffff00ffu

static uint32_t head_of(struct aistrace__text key)
{
    return AISTRACE_ITEM_ATTRIBUTE | (uint32_t)key.bytes << 16;
}

static bool has_key(const struct aistrace_span *span, uint32_t at, struct aistrace__text key)
{
    const uint8_t *own = span->body + at + AISTRACE__ITEM_BYTES;
    uint32_t head;
    memcpy(&head, span->body + at, sizeof(head));
    if ((head & HEAD_MASK) != head_of(key) || key.bytes == 0)
        return (head & HEAD_MASK) == head_of(key);
    size_t last = key.bytes - 1; /* keys that begin alike are common */
    return own[last] == (uint8_t)key.data[last] && memcmp(own, key.data, last) == 0;
}

static uint32_t next(const struct aistrace_span *span, uint32_t at)
{
    return at + (uint32_t)aistrace__item_size(span->body + at);
}

/* ---- index: key -> position of its attribute; filter: keys that may be there ---- */

/* A hash table with linear probing, in bytes that may not be aligned. A slot has a position + 1, or 0: free. */
enum { SLOTS = AISTRACE_SPAN_INLINE_BYTES / sizeof(uint32_t) };
static_assert(SLOTS > AISTRACE_MAX_ATTRIBUTES + AISTRACE_MAX_ATTRIBUTES / 2, "some slots stay free");

static bool has_index(const struct aistrace_span *span)
{
    return span->body != span->inline_body;
}

static uint32_t slot_get(const uint8_t *slots, size_t slot)
{
    uint32_t position;
    memcpy(&position, slots + slot * sizeof(position), sizeof(position));
    return position;
}

static void slot_set(uint8_t *slots, size_t slot, uint32_t position)
{
    memcpy(slots + slot * sizeof(position), &position, sizeof(position));
}

static uint64_t hash(struct aistrace__text key)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t h = key.bytes, word = 0;
    for (size_t i = 0; i + sizeof(word) < key.bytes; i += sizeof(word)) {
        memcpy(&word, key.data + i, sizeof(word));
        h = (h ^ word) * odd;
        h ^= h >> 32;
    }
    if (key.bytes >= sizeof(word)) /* the last bytes overlap */
        memcpy(&word, key.data + key.bytes - sizeof(word), sizeof(word));
    else
        for (size_t i = 0; i < key.bytes; i++)
            word = word << 8 | (uint8_t)key.data[i];
    h = (h ^ word) * odd;
    h = (h ^ h >> 32) * odd;
    h = (h ^ h >> 32) * odd;
    return h ^ h >> 29;
}

static void filter_add(struct aistrace_span *span, uint64_t hashed)
{
    span->keys[hashed >> 62] |= UINT64_C(1) << (hashed >> 56 & 63);
}

static bool filter_has(const struct aistrace_span *span, uint64_t hashed)
{
    return span->keys[hashed >> 62] >> (hashed >> 56 & 63) & 1;
}

/* -> the slot that has the key's position, or the free one for it. */
static size_t slot_of(const struct aistrace_span *span, const uint8_t *slots, struct aistrace__text key,
                      uint64_t hashed)
{
    size_t slot = (uint32_t)hashed % SLOTS;
    for (uint32_t position; (position = slot_get(slots, slot)) && !has_key(span, position - 1, key);)
        slot = slot + 1 < SLOTS ? slot + 1 : 0;
    return slot;
}

/* Fills index and filter anew. Attributes whose key comes again later lose their tag. -> how many are left. */
static uint8_t index_body(struct aistrace_span *span, uint8_t *slots)
{
    uint8_t count = 0;
    memset(slots, 0, AISTRACE_SPAN_INLINE_BYTES);
    memset(span->keys, 0, sizeof(span->keys));
    for (uint32_t at = 0; at < body_bytes(span); at = next(span, at)) {
        if (!is_attribute(span, at))
            continue;
        struct aistrace__text key = {(const char *)span->body + at + AISTRACE__ITEM_BYTES, item_at(span, at).key_bytes};
        uint64_t hashed = hash(key);
        size_t slot = slot_of(span, slots, key, hashed);
        uint32_t before = slot_get(slots, slot);
        if (before)
            span->body[before - 1 + offsetof(struct aistrace_item, tag)] = 0;
        slot_set(slots, slot, at + 1);
        filter_add(span, hashed);
        if (!before)
            count++;
    }
    return count;
}

static void index_shift(uint8_t *slots, uint32_t behind, uint32_t bytes)
{
    for (size_t slot = 0; slot < SLOTS; slot++) {
        uint32_t position = slot_get(slots, slot);
        slot_set(slots, slot, position > behind ? position - bytes : position);
    }
}

static uint32_t search(const struct aistrace_span *span, struct aistrace__text key)
{
    const uint8_t *at = span->body, *const end = span->end;
    uint64_t head;
    for (; at < end; at += AISTRACE__ITEM_BYTES + (uint16_t)(head >> 16) + (head >> 32)) {
        memcpy(&head, at, sizeof(head));
        if (((uint32_t)head & HEAD_MASK) == head_of(key) && has_key(span, (uint32_t)(at - span->body), key))
            break;
    }
    return (uint32_t)(at - span->body);
}

/* -> the key's position; the body's end: the key is not there. */
static uint32_t find(const struct aistrace_span *span, struct aistrace__text key, uint64_t hashed)
{
    if (!filter_has(span, hashed))
        return body_bytes(span);
    if (has_index(span)) {
        uint32_t position = slot_get(span->inline_body, slot_of(span, span->inline_body, key, hashed));
        return position ? position - 1 : body_bytes(span);
    }
    return search(span, key);
}

/* ---- removal ---- */

/* The trace state, to which the context points, is the first item and is never dropped: so only items behind it move.
 * The limit goes to the end: attributes written into the freed room must be counted again. */
static void drop_item(struct aistrace_span *span, uint32_t at)
{
    uint32_t after = next(span, at);
    memmove(span->body + at, span->body + after, body_bytes(span) - after);
    span->end -= after - at;
    span->limit = span->end;
    if (span->crowded && has_index(span) && at < body_bytes(span))
        index_shift(span->inline_body, at + 1, after - at);
}

/* Removes the items without a tag. */
static void close_gaps(struct aistrace_span *span)
{
    uint32_t to = 0;
    for (uint32_t at = 0, after; at < body_bytes(span); at = after) {
        after = next(span, at);
        if (!span->body[at + offsetof(struct aistrace_item, tag)])
            continue;
        memmove(span->body + to, span->body + at, after - at);
        to += after - at;
    }
    span->end = span->body + to;
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

/* ---- attributes ---- */

static size_t count_attributes(const struct aistrace_span *span)
{
    size_t count = 0;
    for (uint32_t at = 0; at < body_bytes(span); at = next(span, at))
        count += is_attribute(span, at);
    return count;
}

static __attribute__((noinline)) void crowd(struct aistrace_span *span)
{
    uint8_t for_now[AISTRACE_SPAN_INLINE_BYTES], *slots = has_index(span) ? span->inline_body : for_now;
    uint32_t bytes = body_bytes(span);
    span->attributes = index_body(span, slots);
    close_gaps(span);
    if (body_bytes(span) < bytes)
        index_body(span, slots);
    span->crowded = 1;
}

static uint8_t *append(struct aistrace_span *span, size_t bytes)
{
    uint8_t *at = span->end;
    span->end += bytes;
    return at;
}

static uint8_t *place_in_crowd(struct aistrace_span *span, struct aistrace__text key, size_t bytes)
{
    uint64_t hashed = hash(key);
    uint32_t at = find(span, key, hashed);
    bool is_there = at < body_bytes(span);
    size_t had = is_there ? aistrace__item_size(span->body + at) : 0;
    if (is_there && had == bytes)
        return span->body + at;
    if (bytes > aistrace__room(span) + had || (!is_there && span->attributes == AISTRACE_MAX_ATTRIBUTES))
        return NULL;
    size_t slot = has_index(span) ? slot_of(span, span->inline_body, key, hashed) : 0;
    if (is_there)
        drop_item(span, at);
    else
        span->attributes++;
    filter_add(span, hashed);
    if (has_index(span))
        slot_set(span->inline_body, slot, body_bytes(span) + 1);
    uint8_t *place = append(span, bytes);
    span->limit = span->end;
    return place;
}

uint8_t *aistrace__attribute_place(struct aistrace_span *span, struct aistrace__text key, size_t bytes)
{
    if (!span->crowded) {
        size_t attributes = count_attributes(span);
        if (bytes <= aistrace__room(span) && attributes < AISTRACE_MAX_ATTRIBUTES) {
            aistrace__set_limit(span, attributes);
            return append(span, bytes);
        }
        crowd(span);
        span->limit = span->end;
    }
    return place_in_crowd(span, key, bytes);
}
