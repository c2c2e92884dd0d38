/* SPDX-License-Identifier: MIT
 *
 * An ExportTraceServiceRequest's bytes into the store. Pure.
 */
#ifndef INGEST_H
#define INGEST_H

#include "endpoint/store/store.h"

struct ingest_result {
    uint64_t kept;
    uint64_t duplicates;
    uint64_t rejected;   /* not spans: ids of wrong length or zero, an end before the start */
    const char *problem; /* of a rejected span; static text, or NULL */
};

/* Called with the ids of every span that is received, also of duplicates. */
typedef void ingest_seen_cb(void *user, const struct store_span *span);

/* -> 0; -EBADMSG: not such a message, nothing was stored; -ENOMEM: perhaps part of it was. seen may be NULL. */
int ingest(struct store *store, struct wire_bytes request, uint64_t now_ms, ingest_seen_cb *seen, void *user,
           struct ingest_result *out);

/* Reads what the store wants to know from a checked Span message. -> NULL, or what is wrong with it. */
const char *ingest_read_span(struct wire_bytes message, struct store_span *out);

#endif
