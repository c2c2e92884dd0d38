/* SPDX-License-Identifier: MIT
 *
 * A part of aistrace.h: what a compiler that optimises may inline, the name of a span and its attributes. With a
 * constant key an attribute is then a handful of stores. The library has every function as well; these never become
 * symbols. The items written here are those of the record's format, as the library checks when it is built.
 */
#ifndef AISTRACE_INLINE_H
#define AISTRACE_INLINE_H

#ifndef AISTRACE_H
#error "include aistrace.h"
#endif

#define AISTRACE_FAST extern inline __attribute__((gnu_inline, always_inline))

enum {
    AISTRACE_FAST_NAME = 1, /* tags of items */
    AISTRACE_FAST_ATTRIBUTE = 4,
    AISTRACE_FAST_ITEM_BYTES = 8,
    AISTRACE_FAST_RECORDING = 1, /* state of a span: of another, nothing is written */
    AISTRACE_FAST_TEXT_MAX = 64  /* of names and keys that are copied in line */
};

AISTRACE_FAST void aistrace_fast_copy(uint8_t *to, const void *from, size_t bytes)
{
    const uint8_t *at = AISTRACE_CAST(const uint8_t *, from);
    if (__builtin_constant_p(bytes) || bytes > 32) {
        memcpy(to, at, bytes);
    } else if (bytes >= 16) {
        memcpy(to, at, 16);
        memcpy(to + bytes - 16, at + bytes - 16, 16);
    } else if (bytes >= 8) {
        memcpy(to, at, 8);
        memcpy(to + bytes - 8, at + bytes - 8, 8);
    } else if (bytes >= 4) {
        memcpy(to, at, 4);
        memcpy(to + bytes - 4, at + bytes - 4, 4);
    } else if (bytes) {
        to[0] = at[0];
        to[bytes / 2] = at[bytes / 2];
        to[bytes - 1] = at[bytes - 1];
    }
}

/* -> false: the library has to look, or the span does not record; nothing was written. */
AISTRACE_FAST bool aistrace_fast_item(struct aistrace_span *span, unsigned tag, enum aistrace_type type,
                                      const char *key, size_t key_bytes, const void *value, size_t value_bytes)
{
    const size_t bytes = AISTRACE_FAST_ITEM_BYTES + key_bytes + value_bytes;
    const uint64_t type_bits = AISTRACE_CAST(uint64_t, type), key_bits = key_bytes, value_bits = value_bytes;
    const uint64_t head = tag | type_bits << 8 | key_bits << 16 | value_bits << 32;
    uint8_t *const at = span->end;
    if (__builtin_expect(value_bytes > (1u << 30) || span->limit - at < AISTRACE_CAST(ptrdiff_t, bytes), 0))
        return false;
    span->end = at + bytes;
    memcpy(at, &head, sizeof(head));
    memcpy(at + AISTRACE_FAST_ITEM_BYTES, key, key_bytes);
    aistrace_fast_copy(at + AISTRACE_FAST_ITEM_BYTES + key_bytes, value, value_bytes);
    return true;
}

/* Whether the library has to look after aistrace_fast_item has written nothing: if not, tracing is off. Without the
 * barrier gcc keeps span->limit over that way, which costs an instruction for each attribute on the usual one. */
AISTRACE_FAST bool aistrace_fast_is_recording(const struct aistrace_span *span)
{
    const bool is_recording = span->state == AISTRACE_FAST_RECORDING;
    __asm__ volatile("" ::: "memory");
    return is_recording;
}

AISTRACE_FAST void aistrace_fast_set(struct aistrace_span *span, enum aistrace_type type, const char *key,
                                     const void *value, size_t value_bytes)
{
    const char *const text = key ? key : "";
    const size_t key_bytes = strlen(text);
    if (__builtin_constant_p(key_bytes) && key_bytes > 0 && key_bytes <= AISTRACE_FAST_TEXT_MAX &&
        aistrace_fast_item(span, AISTRACE_FAST_ATTRIBUTE, type, text, key_bytes, value, value_bytes))
        return;
    if (aistrace_fast_is_recording(span))
        aistrace_span_put(span, type, text, key_bytes, value, value_bytes);
}

/* A copy of the value that only the library's call needs in memory. */
AISTRACE_FAST void aistrace_fast_set_number(struct aistrace_span *span, enum aistrace_type type, const char *key,
                                            uint64_t value, size_t value_bytes)
{
    const char *const text = key ? key : "";
    const size_t key_bytes = strlen(text);
    if (__builtin_constant_p(key_bytes) && key_bytes > 0 && key_bytes <= AISTRACE_FAST_TEXT_MAX &&
        aistrace_fast_item(span, AISTRACE_FAST_ATTRIBUTE, type, text, key_bytes, &value, value_bytes))
        return;
    if (aistrace_fast_is_recording(span)) {
        const uint64_t copy = value;
        aistrace_span_put(span, type, text, key_bytes, &copy, value_bytes);
    }
}

AISTRACE_FAST void aistrace_span_start(struct aistrace_span *span, const char *name,
                                       const struct aistrace_span_options *options)
{
    const char *const text = name ? name : "";
    const size_t bytes = strlen(text);
    aistrace_span_begin(span, options);
    if (__builtin_constant_p(bytes) && bytes <= AISTRACE_FAST_TEXT_MAX &&
        aistrace_fast_item(span, AISTRACE_FAST_NAME, AISTRACE_CAST(enum aistrace_type, 0), "", 0, text, bytes))
        return;
    if (aistrace_fast_is_recording(span))
        aistrace_span_put_name(span, text, bytes);
}

AISTRACE_FAST void aistrace_span_set_int(struct aistrace_span *span, const char *key, int64_t value)
{
    aistrace_fast_set_number(span, AISTRACE_INT, key, AISTRACE_CAST(uint64_t, value), sizeof(value));
}

AISTRACE_FAST void aistrace_span_set_double(struct aistrace_span *span, const char *key, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    aistrace_fast_set_number(span, AISTRACE_DOUBLE, key, bits, sizeof(bits));
}

AISTRACE_FAST void aistrace_span_set_bool(struct aistrace_span *span, const char *key, bool value)
{
    aistrace_fast_set_number(span, AISTRACE_BOOL, key, value, 1);
}

AISTRACE_FAST void aistrace_span_set_text(struct aistrace_span *span, const char *key, const char *value, size_t bytes)
{
    aistrace_fast_set(span, AISTRACE_STRING, key, value ? value : "", value ? bytes : 0);
}

AISTRACE_FAST void aistrace_span_set_string(struct aistrace_span *span, const char *key, const char *value)
{
    aistrace_fast_set(span, AISTRACE_STRING, key, value ? value : "", value ? strlen(value) : 0);
}

#undef AISTRACE_FAST

#endif
