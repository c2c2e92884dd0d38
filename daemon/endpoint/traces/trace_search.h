/* SPDX-License-Identifier: MIT
 *
 * Looks through a store for traces with a span that a query asks for, newest arrival first, a bounded piece at a time:
 * spans may come in between. Pure.
 */
#ifndef TRACE_SEARCH_H
#define TRACE_SEARCH_H

#include "base/buf.h"
#include "trace_query.h"

enum { TRACE_SEARCH_PIECE_BYTES = 1 << 20 };

struct trace_search;

/* Borrows the query. Chooses among the traces there are now. -> 0 or -ENOMEM. */
int trace_search_new(struct store *store, const struct trace_query *query, struct trace_search **out);

/* Before the store is freed. */
void trace_search_free(struct trace_search *search);

/* Looks at about budget bytes of spans, at least one. -> 1: *out is the next trace, pinned for the caller; 0: nothing
 * found yet; -ENOENT: there are no more; -ENOMEM. */
int trace_search_next(struct trace_search *search, size_t budget, const struct store_trace **out);

/* Whether a span is what the query asks for. scratch: for values as text; grows. -> 1, 0 or -ENOMEM. */
int trace_search_matches(const struct trace_query *query, const struct store_entry *entry, struct buf *scratch);

/* What a span is called as Jaeger's span.kind: "server", ..., or NULL. */
const char *trace_search_kind(uint8_t kind);

#endif
