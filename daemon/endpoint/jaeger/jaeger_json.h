/* SPDX-License-Identifier: MIT
 *
 * A trace in the JSON that Jaeger's query API answers with, piece by piece. Pure.
 */
#ifndef JAEGER_JSON_H
#define JAEGER_JSON_H

#include "base/buf.h"
#include "endpoint/store/store.h"

struct jaeger_trace;

/* Takes over the pin of trace, also on failure. -> 0 or -ENOMEM. */
int jaeger_trace_new(struct store *store, const struct store_trace *trace, struct jaeger_trace **out);

/* Must be called before the store is freed. Accepts NULL. */
void jaeger_trace_free(struct jaeger_trace *trace);

/* Appends about want bytes, at least one span. -> 1: there is more; 0: that was all; -ENOMEM. */
int jaeger_trace_next(struct jaeger_trace *trace, struct buf *out, size_t want);

#endif
