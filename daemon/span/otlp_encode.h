/* SPDX-License-Identifier: MIT
 *
 * Spans as OTLP's protobuf bytes, straight from checked records. Field numbers: base/otlp.h.
 * Text that is not UTF-8 gets U+FFFD for each bad byte sequence, counted. An empty span name becomes "unknown".
 */
#ifndef OTLP_ENCODE_H
#define OTLP_ENCODE_H

#include "base/buf.h"
#include "record_decode.h"

/* Appends one `ScopeSpans.spans` field (tag, length, Span). Repeated attribute keys: the last one wins.
 * invalid_text is added to. -> 0 or -ENOMEM; out is then as before. */
int otlp_encode_span(struct buf *out, const struct span_view *span, uint64_t *invalid_text);

#endif
