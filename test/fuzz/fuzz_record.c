/* SPDX-License-Identifier: MIT
 *
 * A record's payload: what record_decode lets through, the encoder walks without a check. The first byte chooses
 * between a span and a resource.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "span/otlp_encode.h"
#include "span/otlp_resource.h"

static void try_span(const uint8_t *data, size_t size, struct buf *out)
{
    struct span_view span;
    const char *problem = NULL;
    uint64_t invalid_text = 0;
    if (record_decode(data, size, AISTRACE_RECORD_SPAN, 0, &span, &problem) == 0)
        fuzz_check(otlp_encode_span(out, &span, &invalid_text) == 0 && out->len > 0);
    else
        fuzz_check(problem);
}

static void try_resource(const uint8_t *data, size_t size, struct buf *out)
{
    static const struct resource_attribute attributes[] = {{"pod", "p"}};
    static const struct resource_settings settings = {"aistore", attributes, 1};
    const char *problem = NULL;
    uint64_t invalid_text = 0;
    if (record_check_resource(data, size, &problem) == 0)
        fuzz_check(otlp_encode_resource(out, data, size, &settings, &invalid_text) == 0 && out->len > 0);
    else
        fuzz_check(problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = {0};
    if (size < 1)
        return 0;
    /* a copy of the exact size, so that reading past its end is seen */
    uint8_t *exact = malloc(size > 1 ? size - 1 : 1);
    fuzz_check(exact);
    memcpy(exact, data + 1, size - 1);
    if (*data & 1)
        try_resource(exact, size - 1, &out);
    else
        try_span(exact, size - 1, &out);
    free(exact);
    buf_done(&out);
    return 0;
}
