/* SPDX-License-Identifier: MIT */
#include "otlp_encode.h"

#include "base/otlp.h"
#include "key_set.h"
#include "otlp_wire.h"

enum { SCOPE_SPANS_SPANS = OTLP_TAG(OTLP_SCOPE_SPANS_SPANS, OTLP_BYTES) };
enum span_tag {
    SPAN_TRACE_ID = OTLP_TAG(OTLP_SPAN_TRACE_ID, OTLP_BYTES),
    SPAN_SPAN_ID = OTLP_TAG(OTLP_SPAN_SPAN_ID, OTLP_BYTES),
    SPAN_TRACE_STATE = OTLP_TAG(OTLP_SPAN_TRACE_STATE, OTLP_BYTES),
    SPAN_PARENT_SPAN_ID = OTLP_TAG(OTLP_SPAN_PARENT_SPAN_ID, OTLP_BYTES),
    SPAN_NAME = OTLP_TAG(OTLP_SPAN_NAME, OTLP_BYTES),
    SPAN_KIND = OTLP_TAG(OTLP_SPAN_KIND, OTLP_VARINT),
    SPAN_START_TIME = OTLP_TAG(OTLP_SPAN_START_TIME, OTLP_FIXED64),
    SPAN_END_TIME = OTLP_TAG(OTLP_SPAN_END_TIME, OTLP_FIXED64),
    SPAN_ATTRIBUTES = OTLP_TAG(OTLP_SPAN_ATTRIBUTES, OTLP_BYTES),
    SPAN_DROPPED_ATTRIBUTES = OTLP_TAG(OTLP_SPAN_DROPPED_ATTRIBUTES, OTLP_VARINT),
    SPAN_EVENTS = OTLP_TAG(OTLP_SPAN_EVENTS, OTLP_BYTES),
    SPAN_DROPPED_EVENTS = OTLP_TAG(OTLP_SPAN_DROPPED_EVENTS, OTLP_VARINT),
    SPAN_LINKS = OTLP_TAG(OTLP_SPAN_LINKS, OTLP_BYTES),
    SPAN_DROPPED_LINKS = OTLP_TAG(OTLP_SPAN_DROPPED_LINKS, OTLP_VARINT),
    SPAN_STATUS = OTLP_TAG(OTLP_SPAN_STATUS, OTLP_BYTES),
    SPAN_FLAGS = OTLP_LONG_TAG(OTLP_SPAN_FLAGS, OTLP_FIXED32),
};
enum event_tag {
    EVENT_TIME = OTLP_TAG(OTLP_EVENT_TIME, OTLP_FIXED64),
    EVENT_NAME = OTLP_TAG(OTLP_EVENT_NAME, OTLP_BYTES),
    EVENT_ATTRIBUTES = OTLP_TAG(OTLP_EVENT_ATTRIBUTES, OTLP_BYTES),
    EVENT_DROPPED_ATTRIBUTES = OTLP_TAG(OTLP_EVENT_DROPPED_ATTRIBUTES, OTLP_VARINT),
};
enum link_tag {
    LINK_TRACE_ID = OTLP_TAG(OTLP_LINK_TRACE_ID, OTLP_BYTES),
    LINK_SPAN_ID = OTLP_TAG(OTLP_LINK_SPAN_ID, OTLP_BYTES),
    LINK_TRACE_STATE = OTLP_TAG(OTLP_LINK_TRACE_STATE, OTLP_BYTES),
    LINK_ATTRIBUTES = OTLP_TAG(OTLP_LINK_ATTRIBUTES, OTLP_BYTES),
    LINK_DROPPED_ATTRIBUTES = OTLP_TAG(OTLP_LINK_DROPPED_ATTRIBUTES, OTLP_VARINT),
    LINK_FLAGS = OTLP_TAG(OTLP_LINK_FLAGS, OTLP_FIXED32),
};
enum status_tag {
    STATUS_MESSAGE = OTLP_TAG(OTLP_STATUS_MESSAGE, OTLP_BYTES),
    STATUS_CODE = OTLP_TAG(OTLP_STATUS_CODE, OTLP_VARINT),
};

/* Room for a span. Every head in the record, of an item (8 bytes) or of a string in an array (4), is at most three
 * times its size on the wire, every byte of text becomes at most three; the rest is the fixed part with its tags. */
enum { EXPANSION = 3, FIXED_MAX = 160 };

/* A span's fixed part with its tags: for guessing the width of its length. */
enum { FIXED_USUAL = 60 };

struct item_at {
    struct aistrace_item head;
    const uint8_t *key;
    const uint8_t *value;
};

static inline const uint8_t *next_item(const uint8_t *at, struct item_at *item)
{
    uint64_t head = otlp_load(at); /* one load: the loop waits for where the next item begins */
    size_t key_bytes = (uint16_t)(head >> 16), value_bytes = head >> 32;
    memcpy(&item->head, &head, sizeof(item->head));
    item->key = at + sizeof(head);
    item->value = item->key + key_bytes;
    return item->value + value_bytes;
}

/* Keys that a scope has shown so far: one bit each by a cheap hash. Two on one bit may be the same key. A key that is empty
 * counts as shown: such attributes are looked at one by one. */
struct key_filter {
    uint32_t words[16];
};

static inline bool filter_add(struct key_filter *filter, const struct item_at *item, const uint8_t *limit)
{
    uint64_t bytes = item->head.key_bytes, first = 0, last;
    if (__builtin_expect(bytes >= 8, 1)) {
        first = otlp_load(item->key);
        last = otlp_load(item->key + bytes - 8);
    } else if (bytes == 0) {
        return true;
    } else if ((size_t)(limit - item->key) >= 8) {
        last = otlp_load(item->key) & ((UINT64_C(1) << (8 * bytes)) - 1);
    } else {
        last = 0;
        memcpy(&last, item->key, bytes);
    }
    uint64_t hash = (first * UINT64_C(0x9e3779b97f4a7c15) ^ (last + bytes)) * UINT64_C(0xd6e8feb86659fd93);
    uint32_t *word = &filter->words[hash >> 60], bit = UINT32_C(1) << ((hash >> 55) & 31), was = *word;
    *word = was | bit;
    return was & bit;
}

/* OTLP wants a key that is not empty. Old programs wrote such attributes: they are dropped, and counted. */
static uint32_t count_keyless(const uint8_t *at, const uint8_t *end)
{
    struct item_at item;
    uint32_t count = 0;
    while (at < end) {
        at = next_item(at, &item);
        count += item.head.tag == AISTRACE_ITEM_ATTRIBUTE && item.head.key_bytes == 0;
    }
    return count;
}

/* The attributes of a scope in which keys may repeat or be empty: each once, with its last value. */
static __attribute__((noinline)) uint8_t *put_unique_attributes(uint8_t *out, uint8_t tag, const uint8_t *at,
                                                                const uint8_t *end, struct otlp_source *source)
{
    struct key_set keys;
    struct item_at last[AISTRACE_MAX_ATTRIBUTES + 1], item; /* one more: never used by a checked record */
    size_t count = 0;
    key_set_init(&keys);
    while (at < end) {
        at = next_item(at, &item);
        if (item.head.tag != AISTRACE_ITEM_ATTRIBUTE || item.head.key_bytes == 0)
            continue;
        size_t i = key_set_add(&keys, item.key, item.head.key_bytes);
        last[i] = item;
        if (i == count && i < AISTRACE_MAX_ATTRIBUTES)
            count++;
    }
    for (size_t i = 0; i < count; i++)
        out = otlp_wire_attribute(out, tag, last[i].head, last[i].key, source);
    return out;
}

/* A scope that has only attributes. Those without a key are added to *dropped. */
static uint8_t *put_attributes(uint8_t *out, uint8_t tag, const uint8_t *begin, const uint8_t *end,
                               struct otlp_source *source, uint32_t *dropped)
{
    struct key_filter filter = {0};
    uint8_t *restart = out;
    uint64_t invalid_text = source->invalid_text;
    const uint8_t *const limit = source->limit;
    for (const uint8_t *at = begin; at < end;) {
        struct item_at item;
        at = next_item(at, &item);
        if (filter_add(&filter, &item, limit)) {
            source->invalid_text = invalid_text;
            *dropped += count_keyless(begin, end);
            return put_unique_attributes(restart, tag, begin, end, source);
        }
        out = otlp_wire_attribute(out, tag, item.head, item.key, source);
    }
    return out;
}

static inline uint8_t *put_count(uint8_t *out, uint8_t tag, uint32_t count)
{
    if (count == 0)
        return out;
    *out++ = tag;
    return otlp_put_varint(out, count);
}

/* OTLP wants the names of spans and events not to be empty. */
static uint8_t *put_unknown(uint8_t *out, uint8_t tag)
{
    static const char unknown[] = "unknown";
    *out++ = tag;
    *out++ = sizeof(unknown) - 1;
    return memcpy(out, unknown, sizeof(unknown) - 1) + sizeof(unknown) - 1;
}

static uint8_t *put_event(uint8_t *out, const struct item_at *item, struct otlp_source *source)
{
    struct aistrace_event_value event;
    size_t predicted = (size_t)item->head.key_bytes + item->head.value_bytes;
    memcpy(&event, item->value, sizeof(event));
    uint8_t *begin = out = otlp_open(out, SPAN_EVENTS, predicted);
    *out++ = EVENT_TIME;
    out = otlp_put_fixed64(out, event.time_unix_ns);
    if (item->head.key_bytes > 0)
        out = otlp_wire_text(out, EVENT_NAME, item->key, item->head.key_bytes, source);
    else
        out = put_unknown(out, EVENT_NAME);
    out = put_attributes(out, EVENT_ATTRIBUTES, item->value + sizeof(event), item->value + item->head.value_bytes,
                         source, &event.dropped_attributes);
    out = put_count(out, EVENT_DROPPED_ATTRIBUTES, event.dropped_attributes);
    return otlp_close(begin, predicted, out);
}

static uint8_t *put_link(uint8_t *out, const struct item_at *item, struct otlp_source *source)
{
    struct aistrace_link_value link;
    size_t predicted = (size_t)item->head.key_bytes + item->head.value_bytes;
    memcpy(&link, item->value, sizeof(link));
    uint8_t *begin = out = otlp_open(out, SPAN_LINKS, predicted);
    *out++ = LINK_TRACE_ID;
    *out++ = sizeof(link.trace_id);
    out = memcpy(out, link.trace_id, sizeof(link.trace_id)) + sizeof(link.trace_id);
    *out++ = LINK_SPAN_ID;
    *out++ = sizeof(link.span_id);
    out = memcpy(out, link.span_id, sizeof(link.span_id)) + sizeof(link.span_id);
    if (item->head.key_bytes > 0)
        out = otlp_wire_text(out, LINK_TRACE_STATE, item->key, item->head.key_bytes, source);
    out = put_attributes(out, LINK_ATTRIBUTES, item->value + sizeof(link), item->value + item->head.value_bytes, source,
                         &link.dropped_attributes);
    out = put_count(out, LINK_DROPPED_ATTRIBUTES, link.dropped_attributes);
    *out++ = LINK_FLAGS;
    out =
        otlp_put_fixed32(out, link.trace_flags | OTLP_FLAGS_HAS_IS_REMOTE | (link.remote ? OTLP_FLAGS_IS_REMOTE : 0u));
    return otlp_close(begin, predicted, out);
}

static inline uint8_t *put_fixed_part(uint8_t *out, const struct span_view *span)
{
    const struct aistrace_span_record *fixed = &span->fixed;
    *out++ = SPAN_TRACE_ID;
    *out++ = sizeof(fixed->trace_id);
    out = memcpy(out, fixed->trace_id, sizeof(fixed->trace_id)) + sizeof(fixed->trace_id);
    *out++ = SPAN_SPAN_ID;
    *out++ = sizeof(fixed->span_id);
    out = memcpy(out, fixed->span_id, sizeof(fixed->span_id)) + sizeof(fixed->span_id);
    uint64_t parent = otlp_load(fixed->parent_span_id);
    out[0] = SPAN_PARENT_SPAN_ID;
    out[1] = sizeof(parent);
    otlp_put_fixed64(out + 2, parent);
    out += parent ? 2 + sizeof(parent) : 0;
    *out++ = SPAN_KIND;
    *out++ = fixed->kind;
    *out++ = SPAN_START_TIME;
    out = otlp_put_fixed64(out, fixed->start_unix_ns);
    uint64_t end = fixed->start_unix_ns + fixed->duration_ns;
    *out++ = SPAN_END_TIME;
    out = otlp_put_fixed64(out, end < fixed->start_unix_ns ? UINT64_MAX : end);
    if (fixed->dropped_attributes | fixed->dropped_events | fixed->dropped_links) {
        out = put_count(out, SPAN_DROPPED_ATTRIBUTES, fixed->dropped_attributes);
        out = put_count(out, SPAN_DROPPED_EVENTS, fixed->dropped_events);
        out = put_count(out, SPAN_DROPPED_LINKS, fixed->dropped_links);
    }
    uint16_t tag = SPAN_FLAGS;
    out = memcpy(out, &tag, sizeof(tag)) + sizeof(tag);
    bool remote = span->flags & AISTRACE_REMOTE_PARENT;
    return otlp_put_fixed32(out, fixed->trace_flags | OTLP_FLAGS_HAS_IS_REMOTE | (remote ? OTLP_FLAGS_IS_REMOTE : 0u));
}

struct text_item {
    const uint8_t *data;
    size_t bytes;
};

static uint8_t *put_status(uint8_t *out, uint8_t code, const struct text_item *message, struct otlp_source *source)
{
    if (code == OTLP_STATUS_UNSET)
        return out;
    size_t predicted = code == OTLP_STATUS_ERROR ? 5 + message->bytes : 2;
    uint8_t *begin = out = otlp_open(out, SPAN_STATUS, predicted);
    if (code == OTLP_STATUS_ERROR && message->bytes > 0)
        out = otlp_wire_text(out, STATUS_MESSAGE, message->data, message->bytes, source);
    *out++ = STATUS_CODE;
    *out++ = code;
    return otlp_close(begin, predicted, out);
}

/* texts: by tag; of several with one tag the last wins. skip_attributes: they have been written before.
 * -> the end, or NULL: a key may repeat */
static inline uint8_t *put_items(uint8_t *out, const struct span_view *span, bool skip_attributes,
                                 struct text_item texts[AISTRACE_ITEM_TRACE_STATE + 1], struct otlp_source *source)
{
    struct key_filter filter = {0};
    const uint8_t *const limit = source->limit; /* local: a store of bytes cannot change it */
    for (const uint8_t *at = span->items; at < limit;) {
        struct item_at item;
        at = next_item(at, &item);
        if (item.head.tag == AISTRACE_ITEM_ATTRIBUTE) {
            if (skip_attributes)
                continue;
            if (__builtin_expect(filter_add(&filter, &item, limit), 0))
                return NULL;
            out = otlp_put_attribute(out, SPAN_ATTRIBUTES, item.head, item.key, limit, source);
        } else if (item.head.tag == AISTRACE_ITEM_EVENT) {
            out = put_event(out, &item, source);
        } else if (item.head.tag == AISTRACE_ITEM_LINK) {
            out = put_link(out, &item, source);
        } else {
            texts[item.head.tag] = (struct text_item){item.value, item.head.value_bytes};
        }
    }
    return out;
}

int otlp_encode_span(struct buf *out, const struct span_view *span, uint64_t *invalid_text)
{
    int err = buf_reserve(out, FIXED_MAX + OTLP_WIRE_SLACK + EXPANSION * (size_t)span->items_bytes);
    if (err)
        return err;
    struct otlp_source source = {.limit = span->items + span->items_bytes};
    struct text_item texts[AISTRACE_ITEM_TRACE_STATE + 1] = {0};
    size_t predicted = FIXED_USUAL + (size_t)span->items_bytes;
    uint8_t *begin = otlp_open(out->data + out->len, SCOPE_SPANS_SPANS, predicted);
    uint8_t *items = put_fixed_part(begin, span);
    uint8_t *at = put_items(items, span, false, texts, &source);
    if (!at) {
        struct span_view counted = *span;
        counted.fixed.dropped_attributes += count_keyless(span->items, source.limit);
        source.invalid_text = 0;
        items = put_fixed_part(begin, &counted);
        at = put_unique_attributes(items, SPAN_ATTRIBUTES, span->items, source.limit, &source);
        at = put_items(at, span, true, texts, &source);
    }
    const struct text_item *name = &texts[AISTRACE_ITEM_NAME], *trace_state = &texts[AISTRACE_ITEM_TRACE_STATE];
    if (name->bytes > 0)
        at = otlp_wire_text(at, SPAN_NAME, name->data, name->bytes, &source);
    else
        at = put_unknown(at, SPAN_NAME);
    if (trace_state->bytes > 0)
        at = otlp_wire_text(at, SPAN_TRACE_STATE, trace_state->data, trace_state->bytes, &source);
    at = put_status(at, span->fixed.status, &texts[AISTRACE_ITEM_STATUS_MESSAGE], &source);
    at = otlp_close(begin, predicted, at);
    out->len = (size_t)(at - out->data);
    *invalid_text += source.invalid_text;
    return 0;
}
