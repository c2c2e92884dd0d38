/* SPDX-License-Identifier: MIT
 *
 * W3C Baggage. Properties of a member (after ";") are not handed out.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "aistrace.h"

enum { MEMBERS_MAX = 64, BYTES_MAX = 8192 };

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!is_token_char(text[i]))
            return false;
    }
    return bytes > 0;
}

static bool is_value_char(char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- reading ---- */

/* Bytes of the well-formed UTF-8 sequence at text; 0: there is none. */
static size_t utf8_sequence(const uint8_t *text, size_t bytes)
{
    static const struct {
        uint8_t first, last, second_min, second_max, length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        size_t length = forms[i].length;
        if (text[0] < forms[i].first || text[0] > forms[i].last)
            continue;
        if (length > bytes || (length > 1 && (text[1] < forms[i].second_min || text[1] > forms[i].second_max)))
            return 0;
        for (size_t k = 2; k < length; k++) {
            if ((text[k] & 0xc0) != 0x80)
                return 0;
        }
        return length;
    }
    return 0;
}

/* Next byte of a percent-encoded value; -1: malformed, or a NUL, which a C string cannot hold. */
static int decode_byte(const char **cursor, const char *end)
{
    const char *at = *cursor;
    int byte = (uint8_t)*at;
    *cursor = at + 1;
    if (!is_value_char(*at))
        return -1;
    if (*at == '%') {
        if (end - at < 3 || hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
            return -1;
        byte = hex_digit(at[1]) << 4 | hex_digit(at[2]);
        *cursor = at + 3;
    }
    return byte ? byte : -1;
}

/* Decodes; octets that are not UTF-8 become U+FFFD each. -> false: malformed or too long. */
static bool decode(const char *text, size_t bytes, char *out, size_t capacity)
{
    const char *end = text + bytes;
    size_t length = 0;
    while (text < end) {
        uint8_t sequence[4] = {0};
        const char *after[5] = {text};
        size_t have = 0;
        while (have < sizeof(sequence) && after[have] < end) {
            const char *cursor = after[have];
            int byte = decode_byte(&cursor, end);
            if (byte < 0)
                return false;
            sequence[have++] = (uint8_t)byte;
            after[have] = cursor;
        }
        size_t whole = utf8_sequence(sequence, have);
        if (length + (whole ? whole : 3) >= capacity)
            return false;
        memcpy(out + length, whole ? (const char *)sequence : "\xef\xbf\xbd", whole ? whole : 3);
        length += whole ? whole : 3;
        text = after[whole ? whole : 1];
    }
    if (length >= capacity)
        return false;
    out[length] = '\0';
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Removes the white space around [*begin, *end). */
static void trim(const char **begin, const char **end)
{
    while (*begin < *end && is_blank(**begin))
        (*begin)++;
    while (*end > *begin && is_blank((*end)[-1]))
        (*end)--;
}

static bool parse_member(const char *begin, const char *end, char *key, size_t key_bytes, char *value,
                         size_t value_bytes)
{
    const char *properties = memchr(begin, ';', (size_t)(end - begin));
    if (properties)
        end = properties;
    const char *equals = memchr(begin, '=', (size_t)(end - begin));
    if (!equals)
        return false;
    const char *key_end = equals;
    const char *value_begin = equals + 1;
    trim(&begin, &key_end);
    trim(&value_begin, &end);
    if (!is_token(begin, (size_t)(key_end - begin)) || (size_t)(key_end - begin) >= key_bytes ||
        !decode(value_begin, (size_t)(end - value_begin), value, value_bytes))
        return false;
    memcpy(key, begin, (size_t)(key_end - begin));
    key[key_end - begin] = '\0';
    return true;
}

bool aistrace_baggage_next(const char **cursor, const char *end, char *key, size_t key_bytes, char *value,
                           size_t value_bytes)
{
    while (*cursor && *cursor < end) {
        const char *begin = *cursor, *after = memchr(begin, ',', (size_t)(end - begin));
        if (!after)
            after = end;
        *cursor = after < end ? after + 1 : end;
        if (parse_member(begin, after, key, key_bytes, value, value_bytes))
            return true;
    }
    return false;
}

/* ---- writing ---- */

static size_t encoded_bytes(const char *value)
{
    size_t bytes = 0;
    for (; *value && bytes <= BYTES_MAX; value++)
        bytes += is_value_char(*value) && *value != '%' ? 1 : 3;
    return bytes;
}

static void encode(char *out, const char *value)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *value; value++) {
        if (is_value_char(*value) && *value != '%') {
            *out++ = *value;
        } else {
            *out++ = '%';
            *out++ = digits[(uint8_t)*value >> 4];
            *out++ = digits[(uint8_t)*value & 15];
        }
    }
    *out = '\0';
}

static size_t members(const char *list)
{
    size_t count = *list != '\0';
    for (; *list; list++)
        count += *list == ',';
    return count;
}

int aistrace_baggage_append(char *out, size_t capacity, const char *key, const char *value)
{
    size_t used = strnlen(out, capacity), key_bytes = key ? strlen(key) : 0;
    if (!value)
        value = "";
    if (!key || !is_token(key, key_bytes))
        return -EINVAL;
    if (used >= capacity || used > BYTES_MAX || key_bytes > BYTES_MAX || members(out) >= MEMBERS_MAX)
        return -E2BIG;
    size_t bytes = used + (used > 0) + key_bytes + 1 + encoded_bytes(value);
    if (bytes > BYTES_MAX || bytes >= capacity)
        return -E2BIG;
    if (used)
        out[used++] = ',';
    memcpy(out + used, key, key_bytes);
    out[used + key_bytes] = '=';
    encode(out + used + key_bytes + 1, value);
    return 0;
}
