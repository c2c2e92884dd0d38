/* SPDX-License-Identifier: MIT */
#include "tracestate.h"

#include <string.h>

enum { MEMBERS_MAX = 32, LARGE_MEMBER = 128, KEY_MAX = 256, VALUE_MAX = 256 };

struct member {
    const char *text;
    size_t bytes; /* 0: cut */
    size_t key_bytes;
};

/* ---- grammar ---- */

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_key(const char *key, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!is_lower_or_digit(key[i]) && (i == 0 || key[i] == '\0' || !strchr("_-*/@", key[i])))
            return false;
    }
    return bytes >= 1 && bytes <= KEY_MAX;
}

/* Printable ASCII but "," and "="; a trailing blank is white space around the member. */
static bool is_value(const char *value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (value[i] < ' ' || value[i] > '~' || value[i] == ',' || value[i] == '=')
            return false;
    }
    return bytes >= 1 && bytes <= VALUE_MAX;
}

static bool parse_member(struct member *out, const char *text, size_t bytes)
{
    const char *equals = memchr(text, '=', bytes);
    if (!equals)
        return false;
    *out = (struct member){text, bytes, (size_t)(equals - text)};
    return is_key(text, out->key_bytes) && is_value(equals + 1, bytes - out->key_bytes - 1);
}

static bool is_repeated(const struct member *members, size_t count, const struct member *last)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i].key_bytes == last->key_bytes && memcmp(members[i].text, last->text, last->key_bytes) == 0)
            return true;
    }
    return false;
}

/* -> how many members, none of them empty or repeated; 0: none, or not a valid list. */
static size_t parse_members(struct member members[MEMBERS_MAX], const char *text, size_t bytes)
{
    const char *end = text + bytes, *after;
    size_t count = 0;
    for (; text < end; text = after + 1) {
        struct member member;
        after = memchr(text, ',', (size_t)(end - text));
        if (!after)
            after = end;
        const char *begin = text;
        text = after;
        while (begin < text && aistrace__is_blank(*begin))
            begin++;
        while (text > begin && aistrace__is_blank(text[-1]))
            text--;
        if (text == begin)
            continue;
        if (!parse_member(&member, begin, (size_t)(text - begin)))
            return 0;
        if (is_repeated(members, count, &member))
            continue;
        if (count == MEMBERS_MAX)
            return 0;
        members[count++] = member;
    }
    return count;
}

/* ---- length ---- */

/* Length of the members that are left, with the commas between them. */
static size_t joined_bytes(const struct member *members, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += members[i].bytes ? members[i].bytes + (bytes > 0) : 0;
    return bytes;
}

/* Large members go first, the last of them before the others; then whatever is last. */
static void shorten(struct member *members, size_t count)
{
    for (size_t keep = LARGE_MEMBER;; keep = 0) {
        for (size_t i = count; i-- > 0;) {
            if (joined_bytes(members, count) <= AISTRACE_TRACE_STATE_BYTES)
                return;
            if (members[i].bytes > keep)
                members[i].bytes = 0;
        }
        if (!keep)
            return;
    }
}

size_t aistrace__tracestate_parse(char out[AISTRACE_TRACE_STATE_BYTES], const char *text, size_t bytes)
{
    struct member members[MEMBERS_MAX];
    size_t count = parse_members(members, text, bytes), length = 0;
    shorten(members, count);
    for (size_t i = 0; i < count; i++) {
        if (!members[i].bytes)
            continue;
        if (length)
            out[length++] = ',';
        memmove(out + length, members[i].text, members[i].bytes);
        length += members[i].bytes;
    }
    return length;
}
