/* SPDX-License-Identifier: MIT
 *
 * The traces of a store as OTLP/JSON, one object with `resourceSpans` a line and trace, made piece by piece. Pure.
 */
#ifndef TRACE_LINES_H
#define TRACE_LINES_H

#include "base/buf.h"
#include "endpoint/store/store.h"
#include "trace_filter.h"

struct trace_lines;

/* Chooses the traces now; one that is evicted before its turn is left out. -> 0 or -ENOMEM. */
int trace_lines_new(struct store *store, const struct trace_filter *filter, struct trace_lines **out);

/* Before the store is freed. */
void trace_lines_free(struct trace_lines *lines);

/* Appends about want bytes, at least one span. -> 1 there is more; 0 that was all; -ENOMEM. */
int trace_lines_next(struct trace_lines *lines, struct buf *out, size_t want);

#endif
