/* SPDX-License-Identifier: MIT
 *
 * Reads the bytes of an ExportTraceServiceRequest into the store. Pure.
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

/* -> 0; -EBADMSG: not such a message, nothing was stored; -ENOMEM: part of it may have been stored. */
int ingest(struct store *store, struct wire_bytes request, uint64_t now_ms, struct ingest_result *out);

#endif
