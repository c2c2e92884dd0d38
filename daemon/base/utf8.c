/* SPDX-License-Identifier: MIT */
#include "utf8.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

enum { REPLACEMENT_BYTES = 3 };
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "sequences are looked at as words");
#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Length of the sequence at text, or of the bad part there: its lead byte and the continuations that could follow. */
static size_t sequence(const uint8_t *text, size_t bytes, bool *good)
{
    uint8_t lead = text[0];
    size_t need = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    *good = need > 0;
    if (need == 0)
        return 1;
    /* The second byte's range is narrower after some lead bytes: overlong forms, surrogates, above U+10FFFF. */
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < need; i++) {
        if (i == bytes || text[i] < low || text[i] > high) {
            *good = false;
            return i;
        }
        low = 0x80;
        high = 0xbf;
    }
    return need;
}

size_t utf8_next(const uint8_t *text, size_t bytes, uint32_t *character)
{
    bool good;
    size_t part = sequence(text, bytes, &good);
    *character = part == 1 ? text[0] : text[0] & (0x7fu >> part);
    for (size_t i = 1; i < part; i++)
        *character = *character << 6 | (text[i] & 0x3f);
    if (!good)
        *character = UTF8_BAD;
    return part;
}

/* Length of a good sequence of more than one byte, or 0: anything else. Reads four bytes. */
static inline size_t good_sequence(const uint8_t *text)
{
    uint32_t word; /* little-endian: the lead byte is the lowest */
    memcpy(&word, text, sizeof(word));
    if ((word & 0x0000c0e0) == 0x000080c0) /* not c0, c1: overlong */
        return word & 0x1e ? 2 : 0;
    if ((word & 0x00c0c0f0) == 0x008080e0) { /* not overlong, not a surrogate */
        uint32_t high = word & 0x200f;
        return high != 0 && high != 0x200d ? 3 : 0;
    }
    if ((word & 0xc0c0c0f8) == 0x808080f0) { /* not overlong, not above U+10FFFF */
        bool overlong = !(word & 0x3007), above = (word & 0x04) && (word & 0x3003);
        return overlong || above ? 0 : 4;
    }
    return 0;
}

static size_t ascii_run(const uint8_t *text, size_t bytes)
{
    size_t i = 0;
    for (uint64_t word; bytes - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, text + i, sizeof(word));
        if (word & HIGH_BITS)
            break;
    }
    while (i < bytes && text[i] < 0x80)
        i++;
    return i;
}

size_t utf8_repaired_bytes(const uint8_t *text, size_t bytes, size_t *bad)
{
    size_t repaired = 0, replaced = 0;
    for (size_t i = 0; i < bytes;) {
        size_t run = ascii_run(text + i, bytes - i);
        i += run;
        repaired += run;
        while (i < bytes && text[i] >= 0x80) {
            bool good = true;
            size_t part = bytes - i >= sizeof(uint32_t) ? good_sequence(text + i) : 0;
            if (part == 0)
                part = sequence(text + i, bytes - i, &good);
            i += part;
            repaired += good ? part : REPLACEMENT_BYTES;
            replaced += !good;
        }
    }
    if (bad)
        *bad = replaced;
    return repaired;
}

uint8_t *utf8_repair(uint8_t *out, const uint8_t *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        bool good;
        size_t part = sequence(text + i, bytes - i, &good);
        const void *from = good ? (const void *)(text + i) : "\xef\xbf\xbd";
        size_t to = good ? part : REPLACEMENT_BYTES;
        memcpy(out, from, to);
        out += to;
        i += part;
    }
    return out;
}
