/* SPDX-License-Identifier: MIT */
#include "otlp_wire.h"

#include "utf8.h"

/* AnyValue's fields. */
enum {
    ANY_STRING = OTLP_TAG(1, OTLP_BYTES),
    ANY_BOOL = OTLP_TAG(2, OTLP_VARINT),
    ANY_INT = OTLP_TAG(3, OTLP_VARINT),
    ANY_DOUBLE = OTLP_TAG(4, OTLP_FIXED64),
    ANY_ARRAY = OTLP_TAG(5, OTLP_BYTES),
    ANY_BYTES = OTLP_TAG(7, OTLP_BYTES),
};
enum { KEY = OTLP_TAG(1, OTLP_BYTES), VALUE = OTLP_TAG(2, OTLP_BYTES), ARRAY_VALUES = OTLP_TAG(1, OTLP_BYTES) };

/* With texts up to this all lengths around them take one byte. */
enum { SHORT_BYTES = 127 - 6 };

/* Copies text; *high gets bits of OTLP_HIGH_BITS when it is not ASCII. Words overlap at the end, so that nothing
 * outside the text is read; only a text shorter than a word is read past its end, if limit allows. */
static inline uint8_t *copy_text(uint8_t *out, const uint8_t *text, size_t bytes, const uint8_t *limit, uint64_t *high)
{
    uint64_t seen = 0;
    if (bytes >= 8) {
        for (size_t i = 0; i + 8 < bytes; i += 8) {
            uint64_t word = otlp_load(text + i);
            otlp_put_fixed64(out + i, word);
            seen |= word;
        }
        uint64_t word = otlp_load(text + bytes - 8);
        otlp_put_fixed64(out + bytes - 8, word);
        seen |= word;
    } else if ((size_t)(limit - text) >= 8) {
        uint64_t word = otlp_load(text);
        otlp_put_fixed64(out, word);
        seen = word & ((UINT64_C(1) << (8 * bytes)) - 1);
    } else {
        for (size_t i = 0; i < bytes; i++) {
            out[i] = text[i];
            seen |= text[i];
        }
    }
    *high |= seen;
    return out + bytes;
}

struct text {
    const uint8_t *data;
    size_t bytes;
    size_t mended_bytes;
    size_t bad; /* sequences to mend */
};

static struct text measure(const uint8_t *data, size_t bytes)
{
    struct text text = {.data = data, .bytes = bytes};
    text.mended_bytes = utf8_mended_bytes(data, bytes, &text.bad);
    return text;
}

/* The field in full: tag, length, text. */
static size_t text_field_bytes(const struct text *text)
{
    return 1 + otlp_varint_bytes(text->mended_bytes) + text->mended_bytes;
}

static uint8_t *put_text(uint8_t *out, uint8_t tag, const struct text *text, struct otlp_source *source)
{
    *out++ = tag;
    out = otlp_put_varint(out, text->mended_bytes);
    if (text->bad) {
        source->invalid_text++;
        return utf8_mend(out, text->data, text->bytes);
    }
    memcpy(out, text->data, text->bytes);
    return out + text->bytes;
}

uint8_t *otlp_wire_text(uint8_t *out, uint8_t tag, const uint8_t *data, size_t bytes, struct otlp_source *source)
{
    if (bytes <= SHORT_BYTES) {
        uint64_t high = 0;
        out[0] = tag;
        out[1] = (uint8_t)bytes;
        uint8_t *end = copy_text(out + 2, data, bytes, source->limit, &high);
        if (!(high & OTLP_HIGH_BITS))
            return end;
    }
    struct text text = measure(data, bytes);
    return put_text(out, tag, &text, source);
}

static const uint8_t *next_string(const uint8_t *at, struct text *text)
{
    uint32_t bytes;
    memcpy(&bytes, at, sizeof bytes);
    *text = measure(at + sizeof bytes, bytes);
    return at + sizeof bytes + bytes;
}

static size_t array_bytes(const uint8_t *at, const uint8_t *end)
{
    size_t total = 0;
    for (struct text text; at < end;) {
        at = next_string(at, &text);
        size_t any = text_field_bytes(&text);
        total += 1 + otlp_varint_bytes(any) + any;
    }
    return total;
}

static uint8_t *put_array(uint8_t *out, const uint8_t *at, const uint8_t *end, struct otlp_source *source)
{
    for (struct text text; at < end;) {
        at = next_string(at, &text);
        *out++ = ARRAY_VALUES;
        out = otlp_put_varint(out, text_field_bytes(&text));
        out = put_text(out, ANY_STRING, &text, source);
    }
    return out;
}

static const bool is_scalar[] = {
    [AISTRACE_VALUE_BOOL] = true,
    [AISTRACE_VALUE_INT] = true,
    [AISTRACE_VALUE_DOUBLE] = true,
    [AISTRACE_VALUE_STRING_ARRAY] = false,
};

static inline uint64_t scalar(const struct aistrace_item *item, const uint8_t *value)
{
    return item->type == AISTRACE_VALUE_BOOL ? *value : otlp_load(value);
}

static inline size_t scalar_any_bytes(const struct aistrace_item *item, uint64_t number)
{
    return 1 + (item->type == AISTRACE_VALUE_DOUBLE ? sizeof number : otlp_varint_bytes(number));
}

static inline uint8_t *put_scalar(uint8_t *out, const struct aistrace_item *item, uint64_t number)
{
    if (item->type == AISTRACE_VALUE_DOUBLE) {
        *out++ = ANY_DOUBLE;
        return otlp_put_fixed64(out, number);
    }
    *out++ = item->type == AISTRACE_VALUE_BOOL ? ANY_BOOL : ANY_INT;
    return otlp_put_varint(out, number);
}

/* Any key, any value. */
static uint8_t *put_long_attribute(uint8_t *out, uint8_t tag, const struct aistrace_item *item, const uint8_t *key,
                                   struct otlp_source *source)
{
    const uint8_t *value = key + item->key_bytes;
    struct text key_text = measure(key, item->key_bytes), text = {0};
    size_t array = 0, any = 0;
    switch (item->type) {
    case AISTRACE_VALUE_STRING:
        text = measure(value, item->value_bytes);
        any = text_field_bytes(&text);
        break;
    case AISTRACE_VALUE_BYTES:
        any = 1 + otlp_varint_bytes(item->value_bytes) + item->value_bytes;
        break;
    case AISTRACE_VALUE_STRING_ARRAY:
        array = array_bytes(value, value + item->value_bytes);
        any = 1 + otlp_varint_bytes(array) + array;
        break;
    default:
        any = scalar_any_bytes(item, scalar(item, value));
        break;
    }
    *out++ = tag;
    out = otlp_put_varint(out, text_field_bytes(&key_text) + 1 + otlp_varint_bytes(any) + any);
    out = put_text(out, KEY, &key_text, source);
    *out++ = VALUE;
    out = otlp_put_varint(out, any);
    switch (item->type) {
    case AISTRACE_VALUE_STRING:
        return put_text(out, ANY_STRING, &text, source);
    case AISTRACE_VALUE_BYTES:
        *out++ = ANY_BYTES;
        out = otlp_put_varint(out, item->value_bytes);
        memcpy(out, value, item->value_bytes);
        return out + item->value_bytes;
    case AISTRACE_VALUE_STRING_ARRAY:
        *out++ = ANY_ARRAY;
        out = otlp_put_varint(out, array);
        return put_array(out, value, value + item->value_bytes, source);
    default:
        return put_scalar(out, item, scalar(item, value));
    }
}

/* Short ASCII, which is nearly all there is: the lengths are known at once, and the check is part of the copying. */
uint8_t *otlp_wire_attribute(uint8_t *out, uint8_t tag, const struct aistrace_item *item, const uint8_t *key,
                             struct otlp_source *source)
{
    size_t key_bytes = item->key_bytes, value_bytes = item->value_bytes;
    const uint8_t *value = key + key_bytes;
    uint64_t high = 0;
    uint8_t *end;
    if (item->type == AISTRACE_VALUE_STRING && key_bytes + value_bytes <= SHORT_BYTES) {
        uint8_t head[4] = {tag, (uint8_t)(6 + key_bytes + value_bytes), KEY, (uint8_t)key_bytes};
        uint8_t middle[4] = {VALUE, (uint8_t)(2 + value_bytes), ANY_STRING, (uint8_t)value_bytes};
        memcpy(out, head, sizeof head);
        end = copy_text(out + sizeof head, key, key_bytes, source->limit, &high);
        memcpy(end, middle, sizeof middle);
        end = copy_text(end + sizeof middle, value, value_bytes, source->limit, &high);
    } else if (is_scalar[item->type] && key_bytes <= SHORT_BYTES - OTLP_WIRE_VARINT_MAX) {
        uint64_t number = scalar(item, value);
        size_t any = scalar_any_bytes(item, number);
        uint8_t head[4] = {tag, (uint8_t)(4 + key_bytes + any), KEY, (uint8_t)key_bytes};
        uint8_t middle[2] = {VALUE, (uint8_t)any};
        memcpy(out, head, sizeof head);
        end = copy_text(out + sizeof head, key, key_bytes, source->limit, &high);
        memcpy(end, middle, sizeof middle);
        end = put_scalar(end + sizeof middle, item, number);
    } else {
        return put_long_attribute(out, tag, item, key, source);
    }
    if (__builtin_expect((high & OTLP_HIGH_BITS) != 0, 0))
        return put_long_attribute(out, tag, item, key, source);
    return end;
}
