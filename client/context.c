/* SPDX-License-Identifier: MIT
 *
 * W3C Trace Context, level 2. Of a traceparent that is not valid nothing is used.
 */
#include "context.h"

#include <errno.h>

#include "tracestate.h"

/* version "-" trace-id "-" parent-id "-" flags */
enum { VERSION_AT = 0, TRACE_ID_AT = 3, SPAN_ID_AT = 36, FLAGS_AT = 53, TRACEPARENT_CHARS = 55 };
enum { REMOTE = AISTRACE__CONTEXT_MADE | AISTRACE_REMOTE_PARENT | AISTRACE_REMOTE_DECIDED };

/* ---- what a context says ---- */

static bool is_sound(const struct aistrace_context *context)
{
    return context && aistrace__is_context(context) && (context->sampling == 0 || aistrace__is_made(context));
}

static size_t read_trace_state(char out[AISTRACE_TRACE_STATE_BYTES], const struct aistrace_context *context)
{
    size_t bytes = context->trace_state ? context->trace_state_bytes : 0;
    if (bytes == 0 || bytes > AISTRACE_TRACE_STATE_BYTES)
        return 0;
    if (!aistrace__is_made(context))
        return aistrace__tracestate_parse(out, context->trace_state, bytes);
    memmove(out, context->trace_state, bytes);
    return bytes;
}

bool aistrace__context_read(struct aistrace_context *out, const struct aistrace_context *context,
                            char trace_state[AISTRACE_TRACE_STATE_BYTES])
{
    if (!is_sound(context))
        return false;
    size_t bytes = read_trace_state(trace_state, context);
    *out = *context;
    out->trace_flags &= AISTRACE__W3C_KNOWN;
    if (!aistrace__is_made(context))
        out->sampling = REMOTE;
    out->trace_state_bytes = (uint16_t)bytes;
    out->trace_state = bytes ? trace_state : NULL;
    return true;
}

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
    for (; text && bytes && aistrace__is_blank(*text); bytes--)
        text++;
    while (text && bytes && aistrace__is_blank(text[bytes - 1]))
        bytes--;
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
    out->trace_flags &= AISTRACE__W3C_KNOWN;
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
    if (!is_sound(context))
        return 0;
    uint8_t flags = context->trace_flags & AISTRACE__W3C_KNOWN;
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

/* ---- both headers ---- */

int aistrace_context_parse(struct aistrace_context *out, const char *traceparent, size_t traceparent_bytes,
                           const char *tracestate, size_t tracestate_bytes, char *trace_state)
{
    struct aistrace_context context = {.sampling = REMOTE};
    if (!parse_traceparent(&context, traceparent, traceparent_bytes))
        return -EINVAL;
    if (tracestate && trace_state) {
        context.trace_state_bytes = (uint16_t)aistrace__tracestate_parse(trace_state, tracestate, tracestate_bytes);
        context.trace_state = context.trace_state_bytes ? trace_state : NULL;
    }
    *out = context;
    return 0;
}

size_t aistrace_tracestate_write(const struct aistrace_context *context, char *out)
{
    size_t bytes = is_sound(context) ? read_trace_state(out, context) : 0;
    out[bytes] = '\0';
    return bytes;
}
