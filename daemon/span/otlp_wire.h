/* SPDX-License-Identifier: MIT
 *
 * Protobuf's wire format for the encoder. Each function writes to a pointer into reserved memory and returns the end of
 * what it wrote; up to OTLP_WIRE_SLACK bytes beyond that end may be overwritten. Little-endian machines.
 *
 * The bodies stand in the header because they run for each attribute of each span: inlined, the constants of a call
 * (tag, type) fall away. As calls they cost measurably more; test/unit/client/check_instructions.py counts.
 */
#ifndef OTLP_WIRE_H
#define OTLP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/otlp.h"
#include "span_format.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are stored as they are");

enum { OTLP_WIRE_SLACK = 16, OTLP_WIRE_VARINT_MAX = 10 };
enum { OTLP_VARINT = 0, OTLP_FIXED64 = 1, OTLP_BYTES = 2, OTLP_FIXED32 = 5 };
#define OTLP_TAG(field, wire_type) ((uint8_t)((field) << 3 | (wire_type))) /* fields up to 15 */

/* The same for fields from 16 on: two bytes, to be stored as a little-endian word. */
#define OTLP_LONG_TAG(field, wire_type)                                                                                \
    ((((field) << 3 | (wire_type)) & 0x7f) | 0x80 | ((field) << 3 | (wire_type)) >> 7 << 8)

/* Tags of AnyValue, KeyValue and ArrayValue. */
enum {
    OTLP_ANY_STRING = OTLP_TAG(OTLP_ANY_VALUE_STRING, OTLP_BYTES),
    OTLP_ANY_BOOL = OTLP_TAG(OTLP_ANY_VALUE_BOOL, OTLP_VARINT),
    OTLP_ANY_INT = OTLP_TAG(OTLP_ANY_VALUE_INT, OTLP_VARINT),
    OTLP_ANY_DOUBLE = OTLP_TAG(OTLP_ANY_VALUE_DOUBLE, OTLP_FIXED64),
    OTLP_ANY_ARRAY = OTLP_TAG(OTLP_ANY_VALUE_ARRAY, OTLP_BYTES),
    OTLP_ANY_BYTES = OTLP_TAG(OTLP_ANY_VALUE_BYTES, OTLP_BYTES),
    OTLP_KEY = OTLP_TAG(OTLP_KEY_VALUE_KEY, OTLP_BYTES),
    OTLP_VALUE = OTLP_TAG(OTLP_KEY_VALUE_VALUE, OTLP_BYTES),
    OTLP_ARRAY_VALUES = OTLP_TAG(OTLP_ARRAY_VALUE_VALUES, OTLP_BYTES),
};

/* Around texts of at most so many bytes, every length takes one byte. */
enum { OTLP_SHORT_BYTES = 127 - 6 };

/* Where texts come from: nothing past limit may be read. Counts the bad sequences that were replaced. */
struct otlp_source {
    const uint8_t *limit;
    uint64_t invalid_text;
};

/* The KeyValue of a checked ATTRIBUTE item, as the field with this tag; key is where the item's key begins. */
uint8_t *otlp_wire_attribute(uint8_t *out, uint8_t tag, struct aistrace_item item, const uint8_t *key,
                             struct otlp_source *source);

/* The same, without the short ways for what is common. */
uint8_t *otlp_wire_any_attribute(uint8_t *out, uint8_t tag, struct aistrace_item item, const uint8_t *key,
                                 struct otlp_source *source);

/* The same for an attribute that is known not to be ASCII. */
uint8_t *otlp_wire_repaired_attribute(uint8_t *out, uint8_t tag, struct aistrace_item item, const uint8_t *key,
                                      struct otlp_source *source);

/* A string field; what is not UTF-8 is repaired. */
uint8_t *otlp_wire_text(uint8_t *out, uint8_t tag, const uint8_t *text, size_t bytes, struct otlp_source *source);

/* Copies a text shorter than 16 bytes, reading nothing beyond it. -> a word in which bit 7 of some byte is set exactly
 * when the text is not ASCII */
uint64_t otlp_wire_copy_last(uint8_t *out, const uint8_t *text, size_t bytes);

static inline uint64_t otlp_load(const uint8_t *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof(word));
    return word;
}

static inline uint8_t *otlp_put_fixed64(uint8_t *out, uint64_t value)
{
    memcpy(out, &value, sizeof(value));
    return out + sizeof(value);
}

static inline uint8_t *otlp_put_fixed32(uint8_t *out, uint32_t value)
{
    memcpy(out, &value, sizeof(value));
    return out + sizeof(value);
}

static inline size_t otlp_varint_bytes(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return (bits * 9 + 64) / 64;
}

static inline uint8_t *otlp_put_varint(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/* A nested message whose length is known only after it: begins with room for a length of the predicted size. */
static inline uint8_t *otlp_open(uint8_t *out, uint8_t tag, size_t predicted)
{
    *out++ = tag;
    return out + otlp_varint_bytes(predicted);
}

/* begin is what otlp_open returned for the same prediction. */
static inline uint8_t *otlp_close(uint8_t *begin, size_t predicted, uint8_t *end)
{
    size_t bytes = (size_t)(end - begin);
    size_t room = otlp_varint_bytes(predicted), need = otlp_varint_bytes(bytes);
    if (__builtin_expect(room != need, 0))
        memmove(begin - room + need, begin, bytes);
    otlp_put_varint(begin - room, bytes);
    return end - room + need;
}

/* The bytes that were copied, combined by OR: bit 7 of one is set when a text is not ASCII. */
struct otlp_high {
    uint64_t words __attribute__((vector_size(16)));
};

static inline bool otlp_is_ascii(const struct otlp_high *high)
{
#if defined(__SSE2__)
    typedef char bytes __attribute__((vector_size(16)));
    return __builtin_ia32_pmovmskb128((bytes)high->words) == 0;
#else
    return !((high->words[0] | high->words[1]) & UINT64_C(0x8080808080808080));
#endif
}

/* Copies text 16 bytes at a time and combines them into high. Blocks overlap at the end, so that nothing outside the
 * text is read; only a text shorter than a block is read past its end, if limit allows. */
static inline uint8_t *otlp_copy_text(uint8_t *out, const uint8_t *text, size_t bytes, const uint8_t *limit,
                                      struct otlp_high *high)
{
    static const uint8_t masks[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    enum { BLOCK = sizeof(high->words) };
    struct otlp_high block, mask;
    if (bytes > BLOCK) {
        for (size_t i = 0; i + BLOCK < bytes; i += BLOCK) {
            memcpy(&block, text + i, BLOCK);
            memcpy(out + i, &block, BLOCK);
            high->words |= block.words;
        }
        memcpy(&block, text + bytes - BLOCK, BLOCK);
        memcpy(out + bytes - BLOCK, &block, BLOCK);
        high->words |= block.words;
    } else if (__builtin_expect((size_t)(limit - text) >= BLOCK, 1)) {
        memcpy(&block, text, BLOCK);
        memcpy(&mask, masks + BLOCK - bytes, BLOCK);
        memcpy(out, &block, BLOCK);
        high->words |= block.words & mask.words;
    } else {
        high->words[0] |= otlp_wire_copy_last(out, text, bytes);
    }
    return out + bytes;
}

static inline bool otlp_is_scalar(struct aistrace_item item)
{
    return item.type >= AISTRACE_VALUE_BOOL && item.type <= AISTRACE_VALUE_DOUBLE;
}

static inline uint64_t otlp_scalar(struct aistrace_item item, const uint8_t *value)
{
    return item.type == AISTRACE_VALUE_BOOL ? *value : otlp_load(value);
}

/* The AnyValue of a scalar: its length, then its bytes. */
static inline size_t otlp_scalar_bytes(struct aistrace_item item, uint64_t number)
{
    return 1 + (item.type == AISTRACE_VALUE_DOUBLE ? sizeof(number) : otlp_varint_bytes(number));
}

static inline uint8_t *otlp_put_scalar(uint8_t *out, struct aistrace_item item, uint64_t number)
{
    if (item.type == AISTRACE_VALUE_DOUBLE) {
        *out++ = OTLP_ANY_DOUBLE;
        return otlp_put_fixed64(out, number);
    }
    *out++ = item.type == AISTRACE_VALUE_BOOL ? OTLP_ANY_BOOL : OTLP_ANY_INT;
    return otlp_put_varint(out, number);
}

/* Two tags, each with a length of one byte, in one store. */
static inline uint8_t *otlp_put_heads(uint8_t *out, uint8_t outer, size_t outer_bytes, uint8_t inner,
                                      size_t inner_bytes)
{
    return otlp_put_fixed32(out, (uint32_t)(outer | outer_bytes << 8 | (uint32_t)inner << 16 | inner_bytes << 24));
}

/* otlp_wire_attribute for the hot path; limit is source's. Nearly all texts are short and ASCII: their lengths are
 * known at once, and copying them checks them. */
static inline uint8_t *otlp_put_attribute(uint8_t *out, uint8_t tag, struct aistrace_item item, const uint8_t *key,
                                          const uint8_t *limit, struct otlp_source *source)
{
    size_t key_bytes = item.key_bytes, value_bytes = item.value_bytes;
    const uint8_t *value = key + key_bytes;
    struct otlp_high high = {0};
    uint8_t *end;
    if (item.type == AISTRACE_VALUE_STRING && key_bytes + value_bytes <= OTLP_SHORT_BYTES) {
        end = otlp_put_heads(out, tag, 6 + key_bytes + value_bytes, OTLP_KEY, key_bytes);
        end = otlp_copy_text(end, key, key_bytes, limit, &high);
        end = otlp_put_heads(end, OTLP_VALUE, 2 + value_bytes, OTLP_ANY_STRING, value_bytes);
        end = otlp_copy_text(end, value, value_bytes, limit, &high);
    } else if (otlp_is_scalar(item) && key_bytes <= OTLP_SHORT_BYTES - OTLP_WIRE_VARINT_MAX) {
        uint64_t number = otlp_scalar(item, value);
        size_t any = otlp_scalar_bytes(item, number);
        end = otlp_put_heads(out, tag, 4 + key_bytes + any, OTLP_KEY, key_bytes);
        end = otlp_copy_text(end, key, key_bytes, limit, &high);
        *end++ = OTLP_VALUE;
        *end++ = (uint8_t)any;
        end = otlp_put_scalar(end, item, number);
    } else {
        return otlp_wire_any_attribute(out, tag, item, key, source);
    }
    if (__builtin_expect(!otlp_is_ascii(&high), 0))
        return otlp_wire_repaired_attribute(out, tag, item, key, source);
    return end;
}

#endif
