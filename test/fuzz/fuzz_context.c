/* SPDX-License-Identifier: MIT
 *
 * The headers of an incoming request: traceparent, tracestate, baggage, on a line each. What is read is
 * written again, and read the same.
 */
#include "aistrace.h"
#include "fuzz.h"

static void try_context(const char *parent, size_t parent_bytes, const char *state, size_t state_bytes)
{
    char kept[AISTRACE_TRACE_STATE_BYTES], again[AISTRACE_TRACE_STATE_BYTES];
    char parent_text[AISTRACE_TRACEPARENT_BYTES], state_text[AISTRACE_TRACE_STATE_BYTES + 1];
    struct aistrace_context context, same;
    if (aistrace_context_parse(&context, parent, parent_bytes, state, state_bytes, kept) != 0)
        return;
    fuzz_check(context.trace_state_bytes <= sizeof(kept));
    fuzz_check(aistrace_traceparent_write(&context, parent_text) == 55);
    size_t bytes = aistrace_tracestate_write(&context, state_text);
    fuzz_check(aistrace_context_parse(&same, parent_text, 55, state_text, bytes, again) == 0);
    fuzz_check(memcmp(context.trace_id, same.trace_id, 16) == 0 && memcmp(context.span_id, same.span_id, 8) == 0);
    fuzz_check(context.trace_state_bytes == same.trace_state_bytes && memcmp(kept, again, bytes) == 0);
}

static void try_baggage(const char *at, const char *end)
{
    char key[64], value[64], out[256] = "";
    while (aistrace_baggage_next(&at, end, key, sizeof(key), value, sizeof(value))) {
        fuzz_check(at <= end && strlen(key) < sizeof(key) && strlen(value) < sizeof(value));
        aistrace_baggage_append(out, sizeof(out), key, value);
        fuzz_check(strlen(out) < sizeof(out));
    }
}

static size_t part(const char **at, size_t *left, const char **out)
{
    const char *end = memchr(*at, '\n', *left);
    size_t bytes = end ? (size_t)(end - *at) : *left;
    *out = *at;
    *left -= bytes < *left ? bytes + 1 : bytes;
    *at += bytes + 1;
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* a copy of the exact size, so that reading past its end is seen */
    char *text = malloc(size + 1);
    fuzz_check(text);
    memcpy(text, data, size);
    text[size] = '\0';
    const char *at = text, *parent, *state, *baggage;
    size_t left = size;
    size_t parent_bytes = part(&at, &left, &parent);
    size_t state_bytes = left > 0 ? part(&at, &left, &state) : (state = NULL, 0);
    size_t baggage_bytes = left > 0 ? part(&at, &left, &baggage) : (baggage = text, 0);
    try_context(parent, parent_bytes, state, state_bytes);
    try_baggage(baggage, baggage + baggage_bytes);
    free(text);
    return 0;
}
