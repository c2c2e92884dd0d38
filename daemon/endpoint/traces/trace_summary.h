/* SPDX-License-Identifier: MIT
 *
 * A trace as one small JSON object, for lists:
 *   {"traceID","start_ns" (text),"duration_ns","spans","errors","root":{"service","name"},"complete",
 *    "services":[{"name","spans","errors"}]}
 * complete is false while the root span is missing; root is then the span that starts first. Pure.
 */
#ifndef TRACE_SUMMARY_H
#define TRACE_SUMMARY_H

#include "base/buf.h"
#include "endpoint/store/store.h"

enum { TRACE_SUMMARY_MAX_SERVICES = 16, TRACE_SUMMARY_MAX_TEXT = 200 };

/* Appends the object. -> 0 or -ENOMEM. */
int trace_summary_append(struct buf *out, const struct store_trace *trace);

#endif
