/* SPDX-License-Identifier: MIT
 *
 * The traces of a store as OTLP/JSON: a line for each trace, an object with `resourceSpans`, made piece by piece. Pure.
 */
#ifndef TRACE_LINES_H
#define TRACE_LINES_H

#include "base/buf.h"
#include "endpoint/store/store.h"
#include "trace_filter.h"

struct trace_lines;

/* Chooses the traces now; a trace that is evicted before its line begins is left out. -> 0 or -ENOMEM. */
int trace_lines_new(struct store *store, const struct trace_filter *filter, struct trace_lines **out);

/* Must be called before the store is freed. Accepts NULL. */
void trace_lines_free(struct trace_lines *lines);

/* Appends about want bytes, at least one span. -> 1: there is more; 0: that was all; -ENOMEM. */
int trace_lines_next(struct trace_lines *lines, struct buf *out, size_t want);

#endif
