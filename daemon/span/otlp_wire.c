/* SPDX-License-Identifier: MIT */
#include "otlp_wire.h"

#include "base/utf8.h"

uint64_t otlp_wire_copy_last(uint8_t *out, const uint8_t *text, size_t bytes)
{
    if (bytes >= 8) {
        uint64_t first = otlp_load(text), last = otlp_load(text + bytes - 8);
        otlp_put_fixed64(out, first);
        otlp_put_fixed64(out + bytes - 8, last);
        return first | last;
    }
    uint64_t seen = 0;
    for (size_t i = 0; i < bytes; i++) {
        out[i] = text[i];
        seen |= text[i];
    }
    return seen;
}

struct text {
    const uint8_t *data;
    size_t bytes;
    size_t repaired_bytes;
    size_t bad; /* sequences to repair */
};

/* A field is first written as if its texts were ASCII, which keep their length; high then says whether they were. If
 * not, the field is written again with high NULL: each text is measured, and repaired. */
static inline struct text measure(const uint8_t *data, size_t bytes, const struct otlp_high *high)
{
    struct text text = {.data = data, .bytes = bytes, .repaired_bytes = bytes};
    if (!high)
        text.repaired_bytes = utf8_repaired_bytes(data, bytes, &text.bad);
    return text;
}

/* The field in full: tag, length, text. */
static inline size_t text_field_bytes(const struct text *text)
{
    return 1 + otlp_varint_bytes(text->repaired_bytes) + text->repaired_bytes;
}

static inline uint8_t *put_text(uint8_t *out, uint8_t tag, const struct text *text, struct otlp_high *high,
                                struct otlp_source *source)
{
    *out++ = tag;
    out = otlp_put_varint(out, text->repaired_bytes);
    if (high)
        return otlp_copy_text(out, text->data, text->bytes, source->limit, high);
    if (text->bad) {
        source->invalid_text++;
        return utf8_repair(out, text->data, text->bytes);
    }
    memcpy(out, text->data, text->bytes);
    return out + text->bytes;
}

uint8_t *otlp_wire_text(uint8_t *out, uint8_t tag, const uint8_t *data, size_t bytes, struct otlp_source *source)
{
    struct otlp_high high = {0};
    struct text text = measure(data, bytes, &high);
    uint8_t *end = put_text(out, tag, &text, &high, source);
    if (__builtin_expect(otlp_is_ascii(&high), 1))
        return end;
    text = measure(data, bytes, NULL);
    return put_text(out, tag, &text, NULL, source);
}

static inline const uint8_t *next_string(const uint8_t *at, struct text *text, const struct otlp_high *high)
{
    uint32_t bytes;
    memcpy(&bytes, at, sizeof(bytes));
    *text = measure(at + sizeof(bytes), bytes, high);
    return at + sizeof(bytes) + bytes;
}

static inline size_t array_bytes(const uint8_t *at, const uint8_t *end, const struct otlp_high *high)
{
    size_t total = 0;
    for (struct text text; at < end;) {
        at = next_string(at, &text, high);
        size_t any = text_field_bytes(&text);
        total += 1 + otlp_varint_bytes(any) + any;
    }
    return total;
}

static inline uint8_t *put_array(uint8_t *out, const uint8_t *at, const uint8_t *end, struct otlp_high *high,
                                 struct otlp_source *source)
{
    for (struct text text; at < end;) {
        at = next_string(at, &text, high);
        *out++ = OTLP_ARRAY_VALUES;
        out = otlp_put_varint(out, text_field_bytes(&text));
        out = put_text(out, OTLP_ANY_STRING, &text, high, source);
    }
    return out;
}

static inline __attribute__((always_inline)) uint8_t *put_any(uint8_t *out, uint8_t tag, struct aistrace_item item,
                                                              const uint8_t *key, struct otlp_high *high,
                                                              struct otlp_source *source)
{
    const uint8_t *value = key + item.key_bytes;
    struct text key_text = measure(key, item.key_bytes, high), text = {0};
    size_t array = 0, any = 0;
    switch (item.type) {
    case AISTRACE_VALUE_STRING:
        text = measure(value, item.value_bytes, high);
        any = text_field_bytes(&text);
        break;
    case AISTRACE_VALUE_BYTES:
        any = 1 + otlp_varint_bytes(item.value_bytes) + item.value_bytes;
        break;
    case AISTRACE_VALUE_STRING_ARRAY:
        array = array_bytes(value, value + item.value_bytes, high);
        any = 1 + otlp_varint_bytes(array) + array;
        break;
    default:
        any = otlp_scalar_bytes(item, otlp_scalar(item, value));
        break;
    }
    *out++ = tag;
    out = otlp_put_varint(out, text_field_bytes(&key_text) + 1 + otlp_varint_bytes(any) + any);
    out = put_text(out, OTLP_KEY, &key_text, high, source);
    *out++ = OTLP_VALUE;
    out = otlp_put_varint(out, any);
    switch (item.type) {
    case AISTRACE_VALUE_STRING:
        return put_text(out, OTLP_ANY_STRING, &text, high, source);
    case AISTRACE_VALUE_BYTES:
        *out++ = OTLP_ANY_BYTES;
        out = otlp_put_varint(out, item.value_bytes);
        memcpy(out, value, item.value_bytes);
        return out + item.value_bytes;
    case AISTRACE_VALUE_STRING_ARRAY:
        *out++ = OTLP_ANY_ARRAY;
        out = otlp_put_varint(out, array);
        return put_array(out, value, value + item.value_bytes, high, source);
    default:
        return otlp_put_scalar(out, item, otlp_scalar(item, value));
    }
}

uint8_t *otlp_wire_repaired_attribute(uint8_t *out, uint8_t tag, struct aistrace_item item, const uint8_t *key,
                                      struct otlp_source *source)
{
    return put_any(out, tag, item, key, NULL, source);
}

uint8_t *otlp_wire_any_attribute(uint8_t *out, uint8_t tag, struct aistrace_item item, const uint8_t *key,
                                 struct otlp_source *source)
{
    struct otlp_high high = {0};
    uint8_t *end = put_any(out, tag, item, key, &high, source);
    if (__builtin_expect(otlp_is_ascii(&high), 1))
        return end;
    return put_any(out, tag, item, key, NULL, source);
}

uint8_t *otlp_wire_attribute(uint8_t *out, uint8_t tag, struct aistrace_item item, const uint8_t *key,
                             struct otlp_source *source)
{
    return otlp_put_attribute(out, tag, item, key, source->limit, source);
}
