/* SPDX-License-Identifier: MIT
 *
 * An export request into the embedded endpoint's store.
 */
#include "endpoint/ingest.h"
#include "fuzz.h"

static void seen(void *user, const struct store_span *span)
{
    size_t *spans = user;
    ++*spans;
    fuzz_read(span->name.data, span->name.len);
    fuzz_read(span->message.data, span->message.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *store;
    struct ingest_result result = {0};
    struct wire_bytes request = {data, size};
    size_t spans = 0;

    fuzz_check(store_new(STORE_MIN_BYTES, 1, &store) == 0);
    if (ingest(store, request, 1, seen, &spans, &result) == 0)
        fuzz_check(result.kept + result.duplicates == spans);
    store_free(store);
    return 0;
}
