/* SPDX-License-Identifier: MIT
 *
 * Looks through a store for traces with a span that a query asks for, newest arrival first. A call does a bounded part
 * of the work; spans may be added between two calls. Pure.
 */
#ifndef TRACE_SEARCH_H
#define TRACE_SEARCH_H

#include "base/buf.h"
#include "trace_query.h"

enum { TRACE_SEARCH_PIECE_BYTES = 1 << 20 };

struct trace_search;

/* Borrows the query. Searches the traces that are in the store now. -> 0 or -ENOMEM. */
int trace_search_new(struct store *store, const struct trace_query *query, struct trace_search **out);

/* Must be called before the store is freed. Accepts NULL. */
void trace_search_free(struct trace_search *search);

/* Looks at about budget bytes of spans, at least one. -> 1: *out is the next trace, pinned for the caller; 0: nothing
 * found yet; -ENOENT: there are no more; -ENOMEM. */
int trace_search_next(struct trace_search *search, size_t budget, const struct store_trace **out);

/* Whether a span has everything that the query asks for. scratch: memory for values as text. -> 1, 0 or -ENOMEM. */
int trace_search_matches(const struct trace_query *query, const struct store_entry *entry, struct buf *scratch);

/* OTLP's kind as the value of Jaeger's tag span.kind: "server", ..., or NULL. */
const char *trace_search_kind(uint8_t kind);

#endif
