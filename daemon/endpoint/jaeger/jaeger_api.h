/* SPDX-License-Identifier: MIT
 *
 * The query API that Jaeger's page and Grafana's Jaeger data source use, and the list our own page reads. No HTTP in
 * here: a decoded path and parameters in, a status and JSON out, in pieces.
 *
 *   /api/services                         names
 *   /api/services/{service}/operations    names
 *   /api/operations?service=&spanKind=    names with kinds
 *   /api/traces?...                       traces (trace_query.h says by which parameters)
 *   /api/traces/{id}                      one trace
 *   /api/dependencies                     none
 *   /v1/summaries?...                     {"traces":[...]} of trace_summary.h, by the same parameters
 * Pure.
 */
#ifndef JAEGER_API_H
#define JAEGER_API_H

#include "base/buf.h"
#include "endpoint/store/store.h"
#include "endpoint/traces/trace_query.h"

enum { JAEGER_API_MAX_OPERATIONS = 10000, JAEGER_API_MAX_NAMES_BYTES = 1 << 20 };

struct jaeger_answer;

/* Whether the path is answered here: one of these, or another below /api/, which gets a 404 in Jaeger's form. */
bool jaeger_api_owns(const char *path);

/* -> 0 or -ENOMEM. A wrong path or parameter is no error here: the answer's status tells it. */
int jaeger_api_get(struct store *store, const char *path, const struct trace_query_parameter *parameters, size_t count,
                   uint64_t now_ns, struct jaeger_answer **out);

unsigned jaeger_answer_status(const struct jaeger_answer *answer);

/* Appends about want bytes, or none while a search goes on. -> 1: there is more; 0: that was all; -ENOMEM. */
int jaeger_answer_next(struct jaeger_answer *answer, struct buf *out, size_t want);

/* Must be called before the store is freed. Accepts NULL. */
void jaeger_answer_free(struct jaeger_answer *answer);

#endif
