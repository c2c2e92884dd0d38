/* SPDX-License-Identifier: MIT
 *
 * W3C Trace Context. The grammar is strict: of a header that is not valid nothing is used.
 */
#include <errno.h>

#include "span.h"

/* version "-" trace-id "-" parent-id "-" flags */
enum { VERSION_AT = 0, TRACE_ID_AT = 3, SPAN_ID_AT = 36, FLAGS_AT = 53, TRACEPARENT_CHARS = 55 };
enum { W3C_SAMPLED = 1, W3C_RANDOM = 2, W3C_KNOWN = W3C_SAMPLED | W3C_RANDOM };
enum { MEMBERS_MAX = 32, LARGE_MEMBER = 128, KEY_MAX = 256, TENANT_MAX = 241, SYSTEM_MAX = 14, VALUE_MAX = 256 };

/* ---- traceparent ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hex(uint8_t *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool parse_traceparent(struct aistrace_context *out, const char *text, size_t bytes)
{
    uint8_t version;
    if (!text || bytes < TRACEPARENT_CHARS || !parse_hex(&version, text + VERSION_AT, 1) || version == 0xff)
        return false;
    if (bytes > TRACEPARENT_CHARS && (version == 0 || text[TRACEPARENT_CHARS] != '-'))
        return false;
    if (text[TRACE_ID_AT - 1] != '-' || text[SPAN_ID_AT - 1] != '-' || text[FLAGS_AT - 1] != '-')
        return false;
    if (!parse_hex(out->trace_id, text + TRACE_ID_AT, sizeof(out->trace_id)) ||
        !parse_hex(out->span_id, text + SPAN_ID_AT, sizeof(out->span_id)) ||
        !parse_hex(&out->trace_flags, text + FLAGS_AT, 1))
        return false;
    /* Unknown flags are not passed on: what they promise may not be true of this process. */
    out->trace_flags &= W3C_KNOWN;
    return aistrace__is_context(out);
}

static char *write_hex(char *out, const uint8_t *data, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        *out++ = digits[data[i] >> 4];
        *out++ = digits[data[i] & 15];
    }
    return out;
}

size_t aistrace_traceparent_write(const struct aistrace_context *context, char out[AISTRACE_TRACEPARENT_BYTES])
{
    char *at = out;
    *out = '\0';
    if (!context || !aistrace__is_context(context))
        return 0;
    uint8_t flags = context->trace_flags & W3C_KNOWN;
    *at++ = '0';
    *at++ = '0';
    *at++ = '-';
    at = write_hex(at, context->trace_id, sizeof(context->trace_id));
    *at++ = '-';
    at = write_hex(at, context->span_id, sizeof(context->span_id));
    *at++ = '-';
    at = write_hex(at, &flags, 1);
    *at = '\0';
    return (size_t)(at - out);
}

/* ---- tracestate ---- */

struct member {
    const char *text;
    size_t bytes;
    size_t key_bytes;
};

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_lower_or_digit(char c)
{
    return is_lower(c) || (c >= '0' && c <= '9');
}

static bool are_key_chars(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!is_lower_or_digit(text[i]) && (text[i] == '\0' || !strchr("_-*/", text[i])))
            return false;
    }
    return true;
}

/* Either a letter and key characters, or tenant "@" system. */
static bool is_key(const char *key, size_t bytes)
{
    const char *at = memchr(key, '@', bytes);
    size_t tenant = at ? (size_t)(at - key) : 0, system = at ? bytes - tenant - 1 : 0;
    if (!at)
        return bytes >= 1 && bytes <= KEY_MAX && is_lower(*key) && are_key_chars(key, bytes);
    return tenant >= 1 && tenant <= TENANT_MAX && is_lower_or_digit(*key) && are_key_chars(key, tenant) &&
           system >= 1 && system <= SYSTEM_MAX && is_lower(at[1]) && are_key_chars(at + 1, system);
}

/* Printable ASCII but "," and "="; a trailing blank counts as white space around the member. */
static bool is_value(const char *value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (value[i] < ' ' || value[i] > '~' || value[i] == ',' || value[i] == '=')
            return false;
    }
    return bytes >= 1 && bytes <= VALUE_MAX;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool parse_member(struct member *out, const char *text, size_t bytes)
{
    const char *equals = memchr(text, '=', bytes);
    if (!equals)
        return false;
    *out = (struct member){text, bytes, (size_t)(equals - text)};
    return is_key(text, out->key_bytes) && is_value(equals + 1, bytes - out->key_bytes - 1);
}

static bool is_repeated(const struct member *members, size_t count)
{
    const struct member *last = &members[count];
    for (size_t i = 0; i < count; i++) {
        if (members[i].key_bytes == last->key_bytes && memcmp(members[i].text, last->text, last->key_bytes) == 0)
            return true;
    }
    return false;
}

/* -> how many members, none of them empty; -1: not a valid tracestate. */
static int parse_members(struct member members[MEMBERS_MAX], const char *text, size_t bytes)
{
    const char *end = text + bytes, *after;
    int count = 0;
    for (; text < end; text = after + 1) {
        after = memchr(text, ',', (size_t)(end - text));
        if (!after)
            after = end;
        const char *begin = text;
        text = after;
        while (begin < text && is_blank(*begin))
            begin++;
        while (text > begin && is_blank(text[-1]))
            text--;
        if (text == begin)
            continue;
        if (count == MEMBERS_MAX || !parse_member(&members[count], begin, (size_t)(text - begin)) ||
            is_repeated(members, (size_t)count))
            return -1;
        count++;
    }
    return count;
}

/* Length of the members that are left, with the commas between them. */
static size_t joined_bytes(const struct member *members, int count)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += members[i].bytes ? members[i].bytes + (bytes > 0) : 0;
    return bytes;
}

/* Large members go first, the last of them before the others; then whatever is last. */
static void shorten(struct member *members, int count)
{
    for (size_t keep = LARGE_MEMBER;; keep = 0) {
        for (int i = count - 1; i >= 0; i--) {
            if (joined_bytes(members, count) <= AISTRACE_TRACE_STATE_BYTES)
                return;
            if (members[i].bytes > keep)
                members[i].bytes = 0;
        }
        if (!keep)
            return;
    }
}

static uint16_t parse_tracestate(char out[AISTRACE_TRACE_STATE_BYTES], const char *text, size_t bytes)
{
    struct member members[MEMBERS_MAX];
    int count = parse_members(members, text, bytes);
    size_t length = 0;
    if (count <= 0)
        return 0;
    shorten(members, count);
    for (int i = 0; i < count; i++) {
        if (!members[i].bytes)
            continue;
        if (length)
            out[length++] = ',';
        memcpy(out + length, members[i].text, members[i].bytes);
        length += members[i].bytes;
    }
    return (uint16_t)length;
}

int aistrace_context_parse(struct aistrace_context *out, const char *traceparent, size_t traceparent_bytes,
                           const char *tracestate, size_t tracestate_bytes, char *trace_state)
{
    struct aistrace_context context = {0};
    if (!parse_traceparent(&context, traceparent, traceparent_bytes))
        return -EINVAL;
    context.sampling = AISTRACE_REMOTE_PARENT | AISTRACE_REMOTE_DECIDED;
    if (context.trace_flags & W3C_SAMPLED)
        context.sampling |= AISTRACE_SAMPLED;
    if (tracestate && trace_state) {
        context.trace_state_bytes = parse_tracestate(trace_state, tracestate, tracestate_bytes);
        context.trace_state = context.trace_state_bytes ? trace_state : NULL;
    }
    *out = context;
    return 0;
}

size_t aistrace_tracestate_write(const struct aistrace_context *context, char *out)
{
    size_t bytes = 0;
    if (context && context->trace_state && context->trace_state_bytes <= AISTRACE_TRACE_STATE_BYTES &&
        aistrace__is_context(context)) {
        bytes = context->trace_state_bytes;
        memcpy(out, context->trace_state, bytes);
    }
    out[bytes] = '\0';
    return bytes;
}
