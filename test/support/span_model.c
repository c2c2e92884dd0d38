/* SPDX-License-Identifier: MIT */
#include "span_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* None begins with a continuation byte, which could make the piece before it valid. */
static const struct {
    const char *raw;
    const char *want;
} pieces[] = {
    {"a", "a"},
    {"http.request.method", "http.request.method"},
    {"\x01\x7f", "\x01\x7f"},
    {"\u00e4", "\u00e4"},
    {"\u20ac", "\u20ac"},
    {"\U0001f980", "\U0001f980"},
    {"\xef\xbf\xbd", "\xef\xbf\xbd"},
    {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    {"\xff", "\ufffd"},
    {"x\x80", "x\ufffd"},
    {"\xe2\x82", "\ufffd"},
    {"\xf0\x9f\xa6", "\ufffd"},
    {"\xc0\xaf", "\ufffd\ufffd"},
    {"\xe0\x80\x80", "\ufffd\ufffd\ufffd"},
    {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
    {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
};
enum { PIECES = sizeof(pieces) / sizeof(pieces[0]), GOOD_PIECES = 8, ASCII_PIECES = 3 };

uint64_t model_next(struct model_random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

size_t model_below(struct model_random *random, size_t bound)
{
    return bound ? model_next(random) % bound : 0;
}

static void must(int err)
{
    if (err)
        abort();
}

static void text_add(struct model_text *text, size_t piece)
{
    must(buf_append(&text->raw, pieces[piece].raw, strlen(pieces[piece].raw)));
    must(buf_append(&text->want, pieces[piece].want, strlen(pieces[piece].want)));
    text->bad = text->bad || piece >= GOOD_PIECES;
}

void model_text_set(struct model_text *text, const char *ascii)
{
    text->raw.len = text->want.len = 0;
    must(buf_append(&text->raw, ascii, strlen(ascii)));
    must(buf_append(&text->want, ascii, strlen(ascii)));
}

static void text_random(struct model_text *text, struct model_random *random, size_t most_pieces)
{
    size_t kinds = model_below(random, 8) == 0 ? PIECES : model_below(random, 3) == 0 ? GOOD_PIECES : ASCII_PIECES;
    size_t count = model_below(random, most_pieces + 1);
    for (size_t i = 0; i < count; i++)
        text_add(text, model_below(random, kinds));
    char digits[24];
    for (int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)model_next(random)) - 1;
         n >= 0 && model_below(random, 8); n--) {
        must(buf_append(&text->raw, &digits[n], 1));
        must(buf_append(&text->want, &digits[n], 1));
    }
}

static void text_done(struct model_text *text)
{
    buf_done(&text->raw);
    buf_done(&text->want);
}

static void attribute_random(struct model_attribute *attribute, struct model_random *random, int size)
{
    static const int64_t integers[] = {0, 1, 127, 128, 16383, 16384, -1, INT64_MAX, INT64_MIN};
    static const double reals[] = {0.0, -0.0, 1.5, -1e308, 5e-324};
    size_t long_text = size == 1 && model_below(random, 20) == 0 ? 3000 : 8;
    attribute->type = (uint8_t)(1 + model_below(random, 6));
    text_random(&attribute->key, random, 3);
    size_t pick = model_below(random, 12);
    attribute->integer = pick < 9 ? integers[pick] : (int64_t)(model_next(random) >> model_below(random, 64));
    attribute->real = reals[model_below(random, 5)];
    attribute->boolean = model_below(random, 2);
    if (attribute->type == AISTRACE_VALUE_STRING || attribute->type == AISTRACE_VALUE_BYTES)
        text_random(&attribute->text, random, long_text);
    if (attribute->type == AISTRACE_VALUE_STRING_ARRAY)
        attribute->string_count = model_below(random, MODEL_STRINGS_MAX + 1);
    for (size_t i = 0; i < attribute->string_count; i++)
        text_random(&attribute->strings[i], random, 6);
}

/* One in eight has the key of one before it. */
static void attributes_random(struct model_attributes *attributes, struct model_random *random, size_t count, int size)
{
    attributes->list = calloc(count ? count : 1, sizeof(*attributes->list));
    if (!attributes->list)
        abort();
    attributes->count = count;
    for (size_t i = 0; i < count; i++) {
        struct model_attribute *attribute = &attributes->list[i];
        attribute_random(attribute, random, size);
        if (i > 0 && model_below(random, 8) == 0) {
            const struct model_attribute *other = &attributes->list[model_below(random, i)];
            attribute->key.raw.len = attribute->key.want.len = 0;
            must(buf_append(&attribute->key.raw, other->key.raw.data, other->key.raw.len));
            must(buf_append(&attribute->key.want, other->key.want.data, other->key.want.len));
            attribute->key.bad = other->key.bad;
        }
    }
}

static void attributes_done(struct model_attributes *attributes)
{
    for (size_t i = 0; i < attributes->count; i++) {
        struct model_attribute *attribute = &attributes->list[i];
        text_done(&attribute->key);
        text_done(&attribute->text);
        for (size_t k = 0; k < attribute->string_count; k++)
            text_done(&attribute->strings[k]);
    }
    free(attributes->list);
}

static void id_random(uint8_t *id, size_t bytes, struct model_random *random)
{
    for (size_t i = 0; i < bytes; i++)
        id[i] = (uint8_t)model_next(random);
    id[model_below(random, bytes)] |= 1;
}

static uint32_t count_random(struct model_random *random)
{
    return model_below(random, 4) ? 0 : (uint32_t)(model_next(random) >> (32 + model_below(random, 32)));
}

void model_span_random(struct model_span *span, struct model_random *random, int size)
{
    static const size_t attribute_bounds[] = {9, 24, AISTRACE_MAX_ATTRIBUTES + 1};
    static const size_t nested_bounds[] = {1, 4, 12};
    *span = (struct model_span){0};
    struct aistrace_span_record *fixed = &span->fixed;
    id_random(fixed->trace_id, sizeof(fixed->trace_id), random);
    id_random(fixed->span_id, sizeof(fixed->span_id), random);
    if (model_below(random, 2))
        id_random(fixed->parent_span_id, sizeof(fixed->parent_span_id), random);
    fixed->start_unix_ns = model_below(random, 16) ? model_next(random) : UINT64_MAX - model_below(random, 10);
    fixed->duration_ns = model_next(random) >> model_below(random, 64);
    fixed->kind = (uint8_t)(1 + model_below(random, 5));
    fixed->status = (uint8_t)model_below(random, 3);
    fixed->trace_flags = (uint8_t)model_next(random);
    fixed->reserved0 = (uint8_t)model_next(random);
    fixed->dropped_attributes = count_random(random);
    fixed->dropped_events = count_random(random);
    fixed->dropped_links = count_random(random);
    span->flags = (uint16_t)model_below(random, 16);
    text_random(&span->name, random, 4);
    if (model_below(random, 2))
        text_random(&span->status_message, random, size ? 60 : 4);
    if (model_below(random, 3) == 0)
        text_random(&span->trace_state, random, 20);
    attributes_random(&span->attributes, random, model_below(random, attribute_bounds[size]), size);

    span->event_count = model_below(random, nested_bounds[size]);
    span->link_count = model_below(random, nested_bounds[size]);
    span->events = calloc(span->event_count + 1, sizeof(*span->events));
    span->links = calloc(span->link_count + 1, sizeof(*span->links));
    if (!span->events || !span->links)
        abort();
    for (size_t i = 0; i < span->event_count; i++) {
        struct model_event *event = &span->events[i];
        event->time_unix_ns = model_next(random);
        event->dropped_attributes = count_random(random);
        text_random(&event->name, random, 3);
        attributes_random(&event->attributes, random, model_below(random, size == 2 ? 40 : 5), size);
    }
    for (size_t i = 0; i < span->link_count; i++) {
        struct model_link *link = &span->links[i];
        id_random(link->fixed.trace_id, sizeof(link->fixed.trace_id), random);
        id_random(link->fixed.span_id, sizeof(link->fixed.span_id), random);
        link->fixed.trace_flags = (uint8_t)model_next(random);
        link->fixed.remote = (uint8_t)model_below(random, 2);
        link->fixed.reserved0 = (uint16_t)model_next(random);
        link->fixed.dropped_attributes = count_random(random);
        text_random(&link->trace_state, random, 3);
        attributes_random(&link->attributes, random, model_below(random, 4), size);
    }
}

void model_span_usual(struct model_span *span, uint64_t number)
{
    static const char *const strings[][2] = {
        {"http.request.method", "GET"},
        {"url.path", "/v1/objects/nnn/README.md"},
        {"ais.bucket.name", "ais://nnn"},
        {"ais.object.name", "README.md"},
    };
    struct model_random random = {.state = number};
    *span = (struct model_span){0};
    id_random(span->fixed.trace_id, sizeof(span->fixed.trace_id), &random);
    id_random(span->fixed.span_id, sizeof(span->fixed.span_id), &random);
    id_random(span->fixed.parent_span_id, sizeof(span->fixed.parent_span_id), &random);
    span->fixed.start_unix_ns = UINT64_C(1700000000000000000) + number;
    span->fixed.duration_ns = 12345;
    span->fixed.kind = 2;
    span->fixed.trace_flags = 1;
    span->flags = AISTRACE_SAMPLED;
    model_text_set(&span->name, "GET /v1/objects");
    span->attributes.list = calloc(6, sizeof(*span->attributes.list));
    if (!span->attributes.list)
        abort();
    span->attributes.count = 6;
    for (size_t i = 0; i < 4; i++) {
        struct model_attribute *attribute = &span->attributes.list[i];
        attribute->type = AISTRACE_VALUE_STRING;
        model_text_set(&attribute->key, strings[i][0]);
        model_text_set(&attribute->text, strings[i][1]);
    }
    span->attributes.list[4].type = span->attributes.list[5].type = AISTRACE_VALUE_INT;
    model_text_set(&span->attributes.list[4].key, "http.response.status_code");
    span->attributes.list[4].integer = 200;
    model_text_set(&span->attributes.list[5].key, "http.response.body.size");
    span->attributes.list[5].integer = (int64_t)(1000 + number % 100000);
}

void model_span_done(struct model_span *span)
{
    text_done(&span->name);
    text_done(&span->status_message);
    text_done(&span->trace_state);
    attributes_done(&span->attributes);
    for (size_t i = 0; i < span->event_count; i++) {
        text_done(&span->events[i].name);
        attributes_done(&span->events[i].attributes);
    }
    for (size_t i = 0; i < span->link_count; i++) {
        text_done(&span->links[i].trace_state);
        attributes_done(&span->links[i].attributes);
    }
    free(span->events);
    free(span->links);
    *span = (struct model_span){0};
}

void model_item(struct buf *out, uint8_t tag, uint8_t type, const void *key, size_t key_bytes, const void *value,
                size_t value_bytes)
{
    struct aistrace_item item = {tag, type, (uint16_t)key_bytes, (uint32_t)value_bytes};
    must(buf_append(out, &item, sizeof(item)));
    must(buf_append(out, key, key_bytes));
    must(buf_append(out, value, value_bytes));
}

void model_attribute_item(const struct model_attribute *attribute, struct buf *out)
{
    struct buf array = {0};
    uint8_t boolean = attribute->boolean;
    const void *value = attribute->text.raw.data;
    size_t bytes = attribute->text.raw.len;
    switch (attribute->type) {
    case AISTRACE_VALUE_INT:
        value = &attribute->integer;
        bytes = 8;
        break;
    case AISTRACE_VALUE_DOUBLE:
        value = &attribute->real;
        bytes = 8;
        break;
    case AISTRACE_VALUE_BOOL:
        value = &boolean;
        bytes = 1;
        break;
    case AISTRACE_VALUE_STRING_ARRAY:
        for (size_t i = 0; i < attribute->string_count; i++) {
            uint32_t string_bytes = (uint32_t)attribute->strings[i].raw.len;
            must(buf_append(&array, &string_bytes, sizeof(string_bytes)));
            must(buf_append(&array, attribute->strings[i].raw.data, string_bytes));
        }
        value = array.data;
        bytes = array.len;
        break;
    default:
        break;
    }
    model_item(out, AISTRACE_ITEM_ATTRIBUTE, attribute->type, attribute->key.raw.data, attribute->key.raw.len, value,
               bytes);
    buf_done(&array);
}

static void nested_item(struct buf *out, uint8_t tag, const struct model_text *key, const void *fixed, size_t bytes,
                        const struct model_attributes *attributes)
{
    struct buf value = {0};
    must(buf_append(&value, fixed, bytes));
    for (size_t i = 0; i < attributes->count; i++)
        model_attribute_item(&attributes->list[i], &value);
    model_item(out, tag, AISTRACE_VALUE_NONE, key->raw.data, key->raw.len, value.data, value.len);
    buf_done(&value);
}

static void text_item(struct buf *out, uint8_t tag, const struct model_text *text)
{
    model_item(out, tag, AISTRACE_VALUE_NONE, NULL, 0, text->raw.data, text->raw.len);
}

/* A name that is set late is an item after others; one replaced by it comes first. */
void model_span_record(const struct model_span *span, struct buf *out)
{
    must(buf_append(out, &span->fixed, sizeof(span->fixed)));
    bool renamed = span->fixed.start_unix_ns % 4 == 0;
    if (renamed)
        model_item(out, AISTRACE_ITEM_NAME, AISTRACE_VALUE_NONE, NULL, 0, "first name", 10);
    else
        text_item(out, AISTRACE_ITEM_NAME, &span->name);
    if (span->trace_state.raw.len > 0)
        text_item(out, AISTRACE_ITEM_TRACE_STATE, &span->trace_state);
    for (size_t i = 0; i < span->attributes.count || i < span->event_count || i < span->link_count; i++) {
        if (i < span->attributes.count)
            model_attribute_item(&span->attributes.list[i], out);
        if (i < span->event_count) {
            const struct model_event *event = &span->events[i];
            struct aistrace_event_value fixed = {event->time_unix_ns, event->dropped_attributes, UINT32_MAX};
            nested_item(out, AISTRACE_ITEM_EVENT, &event->name, &fixed, sizeof(fixed), &event->attributes);
        }
        if (i < span->link_count) {
            const struct model_link *link = &span->links[i];
            nested_item(out, AISTRACE_ITEM_LINK, &link->trace_state, &link->fixed, sizeof(link->fixed),
                        &link->attributes);
        }
    }
    if (span->status_message.raw.len > 0)
        text_item(out, AISTRACE_ITEM_STATUS_MESSAGE, &span->status_message);
    if (renamed)
        text_item(out, AISTRACE_ITEM_NAME, &span->name);
}
