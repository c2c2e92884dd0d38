/* SPDX-License-Identifier: MIT */
#include "text.h"

#include "base/utf8.h"

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
        size_t taken = utf8_next(text + at, bytes - at, &character);
        if (character == UTF8_BAD || text_is_control(character) || character == '"' || character == '\\') {
            err = buf_append(out, text + plain, at - plain);
            if (!err)
                err = append_special(out, character == UTF8_BAD ? UTF8_REPLACEMENT : character);
            plain = at + taken;
        }
        at += taken;
    }
    if (!err && plain < bytes)
        err = buf_append(out, text + plain, bytes - plain);
    return err ? err : buf_append(out, "\"", 1);
}
