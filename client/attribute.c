/* SPDX-License-Identifier: MIT
 *
 * Attributes of a span: appended to its body.
 */
#define AISTRACE_NO_INLINE
#include "body.h"
#include "likely.h"
#include "span.h"

/* The slow path. -> where the item goes, or NULL: the attribute is not written; if the span records, it is counted. */
static __attribute__((noinline)) uint8_t *place_slowly(struct aistrace_span *span, struct aistrace__text key,
                                                       size_t value_bytes)
{
    uint8_t *at = NULL;
    if (!aistrace__recording(span))
        return NULL;
    if (value_bytes <= AISTRACE__VALUE_MAX && aistrace__is_key(key))
        at = aistrace__attribute_place(span, key, AISTRACE__ITEM_BYTES + key.bytes + value_bytes);
    span->dropped_attributes += !at;
    return at;
}

/* -> where the value goes, or NULL. Does not look for the same key: the last attribute of a key wins. */
static inline uint8_t *begin(struct aistrace_span *span, enum aistrace_type type, struct aistrace__text key,
                             size_t value_bytes)
{
    size_t bytes = AISTRACE__ITEM_BYTES + key.bytes + value_bytes;
    uint8_t *at = span->end;
    if (likely(value_bytes <= AISTRACE__VALUE_MAX && aistrace__is_key(key) && span->limit - at >= (ptrdiff_t)bytes)) {
        span->end = at + bytes;
    } else {
        at = place_slowly(span, key, value_bytes);
        if (!at)
            return NULL;
    }
    return aistrace__item_begin(at, AISTRACE_ITEM_ATTRIBUTE, (enum aistrace_value_type)type, key, value_bytes);
}

static inline void put(struct aistrace_span *span, enum aistrace_type type, struct aistrace__text key, const void *data,
                       size_t bytes)
{
    uint8_t *value = begin(span, type, key, bytes);
    if (value)
        aistrace__copy(value, data, bytes);
}

static inline void set_data(struct aistrace_span *span, enum aistrace_type type, const char *key, const void *data,
                            size_t bytes)
{
    put(span, type, aistrace__text(key), data, bytes);
}

/* The daemon refuses a record with any other, so a caller's mistake would cost the span. */
static bool is_encoded(enum aistrace_type type, const uint8_t *value, size_t bytes)
{
    switch (type) {
    case AISTRACE_STRING:
    case AISTRACE_BYTES:
        return true;
    case AISTRACE_INT:
    case AISTRACE_DOUBLE:
        return bytes == sizeof(uint64_t);
    case AISTRACE_BOOL:
        return bytes == 1 && *value <= 1;
    case AISTRACE_STRING_ARRAY:
        break;
    }
    return false;
}

void aistrace_span_put(struct aistrace_span *span, enum aistrace_type type, const char *key, size_t key_bytes,
                       const void *value, size_t value_bytes)
{
    size_t bytes = value ? value_bytes : 0;
    if (likely(is_encoded(type, value, bytes)))
        put(span, type, (struct aistrace__text){key ? key : "", key ? key_bytes : 0}, value, bytes);
    else if (aistrace__recording(span))
        span->dropped_attributes++;
}

void aistrace_span_set_int(struct aistrace_span *span, const char *key, int64_t value)
{
    set_data(span, AISTRACE_INT, key, &value, sizeof(value));
}

void aistrace_span_set_double(struct aistrace_span *span, const char *key, double value)
{
    set_data(span, AISTRACE_DOUBLE, key, &value, sizeof(value));
}

void aistrace_span_set_bool(struct aistrace_span *span, const char *key, bool value)
{
    uint8_t byte = value;
    set_data(span, AISTRACE_BOOL, key, &byte, sizeof(byte));
}

void aistrace_span_set_string(struct aistrace_span *span, const char *key, const char *value)
{
    struct aistrace__text text = aistrace__text(value);
    set_data(span, AISTRACE_STRING, key, text.data, text.bytes);
}

void aistrace_span_set_text(struct aistrace_span *span, const char *key, const char *value, size_t bytes)
{
    set_data(span, AISTRACE_STRING, key, value, value ? bytes : 0);
}

void aistrace_span_set_bytes(struct aistrace_span *span, const char *key, const void *value, size_t bytes)
{
    set_data(span, AISTRACE_BYTES, key, value, value ? bytes : 0);
}

void aistrace_span_set_strings(struct aistrace_span *span, const char *key, const char *const *items, size_t count)
{
    struct aistrace_attribute attribute = aistrace_attr_strings(key, items, count);
    aistrace_span_set(span, &attribute);
}

void aistrace_span_set(struct aistrace_span *span, const struct aistrace_attribute *attribute)
{
    struct aistrace__text key = aistrace__text(attribute->key);
    size_t bytes = aistrace__value_bytes(attribute);
    uint8_t *value = begin(span, attribute->type, key, bytes);
    if (value)
        aistrace__value_write(value, attribute, bytes);
}
