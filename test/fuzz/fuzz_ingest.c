/* SPDX-License-Identifier: MIT
 *
 * An export request into the embedded endpoint's store.
 */
#include "endpoint/ingest.h"
#include "fuzz.h"

/* Reads every span that is kept. -> how many */
static size_t read_kept(const struct store *store)
{
    size_t spans = 0;
    for (const struct store_trace *trace = store_newest(store); trace; trace = store_older(trace)) {
        for (const struct store_entry *entry = trace->first; entry; entry = entry->next, spans++) {
            fuzz_read(entry->span.name.data, entry->span.name.len);
            fuzz_read(entry->span.message.data, entry->span.message.len);
        }
    }
    return spans;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ingest_result result = {0};
    struct wire_bytes request = {data, size};
    struct store *store;
    fuzz_check(store_new(STORE_MIN_BYTES, 1, &store) == 0);
    struct store_stats stats;
    if (ingest(store, request, 1, &result) == 0) {
        store_get_stats(store, &stats);
        fuzz_check(read_kept(store) == stats.spans && stats.spans + stats.evicted_spans == result.kept);
    }
    store_free(store);
    return 0;
}
