/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <string.h>

/* What the first byte says: length, and the range of the second byte (which keeps out overlong forms, surrogates and
 * what is above U+10FFFF). */
struct lead {
    uint8_t first, last, length, low, high;
};
static const struct lead leads[] = {
    {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f},
    {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

size_t text_next(const uint8_t *text, size_t bytes, uint32_t *out)
{
    const struct lead *lead = NULL;
    *out = text[0];
    if (text[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof(leads) / sizeof(*leads) && !lead; i++) {
        if (text[0] >= leads[i].first && text[0] <= leads[i].last)
            lead = &leads[i];
    }
    *out = TEXT_REPLACEMENT;
    if (!lead || bytes < 2 || text[1] < lead->low || text[1] > lead->high)
        return 1;
    uint32_t character = (uint32_t)(text[0] & (0xff >> (lead->length + 1))) << 6 | (text[1] & 0x3f);
    for (size_t i = 2; i < lead->length; i++) {
        if (i == bytes || (text[i] & 0xc0) != 0x80)
            return i;
        character = character << 6 | (text[i] & 0x3f);
    }
    *out = character;
    return lead->length;
}

int text_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0) ||
           (character >= 0x2028 && character <= 0x202e) || (character >= 0x2066 && character <= 0x2069) ||
           character == 0x200e || character == 0x200f || character == 0x061c || character == 0xfeff;
}

static int append_special(struct buf *out, uint32_t character)
{
    static const char shorts[][3] = {['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f",
                                     ['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\"};
    if (character < sizeof(shorts) / sizeof(*shorts) && shorts[character][0])
        return buf_append(out, shorts[character], 2);
    return buf_printf(out, "\\u%04x", (unsigned)character);
}

int text_append_json(struct buf *out, const uint8_t *text, size_t bytes)
{
    int err = buf_append(out, "\"", 1);
    size_t plain = 0;
    for (size_t at = 0; at < bytes && !err;) {
        uint32_t character;
        size_t taken = text_next(text + at, bytes - at, &character);
        int mended = character == TEXT_REPLACEMENT && !(taken == 3 && memcmp(text + at, "\xef\xbf\xbd", 3) == 0);
        if (mended || text_is_control(character) || character == '"' || character == '\\') {
            err = buf_append(out, text + plain, at - plain);
            if (!err)
                err = append_special(out, character);
            plain = at + taken;
        }
        at += taken;
    }
    if (!err)
        err = buf_append(out, text + plain, bytes - plain);
    return err ? err : buf_append(out, "\"", 1);
}
