/* SPDX-License-Identifier: MIT
 *
 * Protobuf wire format for the encoder. Everything writes to a pointer into reserved memory and returns the end of what
 * it wrote; up to OTLP_WIRE_SLACK bytes beyond it may be overwritten. Little-endian machines.
 */
#ifndef OTLP_WIRE_H
#define OTLP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "span_format.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are stored as they are");

enum { OTLP_WIRE_SLACK = 16, OTLP_WIRE_VARINT_MAX = 10 };
enum { OTLP_VARINT = 0, OTLP_FIXED64 = 1, OTLP_BYTES = 2, OTLP_FIXED32 = 5 };
#define OTLP_TAG(field, wire_type) ((uint8_t)((field) << 3 | (wire_type))) /* fields up to 15 */
#define OTLP_HIGH_BITS             UINT64_C(0x8080808080808080)

/* Where texts come from: nothing past limit may be read. What was mended is counted. */
struct otlp_source {
    const uint8_t *limit;
    uint64_t invalid_text;
};

/* The KeyValue of a checked ATTRIBUTE item, as the field with this tag; key is where the item's key begins. */
uint8_t *otlp_wire_attribute(uint8_t *out, uint8_t tag, const struct aistrace_item *item, const uint8_t *key,
                             struct otlp_source *source);

/* A string field, mended where it is not UTF-8. */
uint8_t *otlp_wire_text(uint8_t *out, uint8_t tag, const uint8_t *text, size_t bytes, struct otlp_source *source);

static inline uint64_t otlp_load(const uint8_t *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

static inline uint8_t *otlp_put_fixed64(uint8_t *out, uint64_t value)
{
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
}

static inline uint8_t *otlp_put_fixed32(uint8_t *out, uint32_t value)
{
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
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

#endif
