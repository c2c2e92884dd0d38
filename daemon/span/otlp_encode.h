/* SPDX-License-Identifier: MIT
 *
 * OTLP protobuf wire format straight from checked records. Field numbers: opentelemetry/proto/trace/v1/trace.proto.
 * Text that is not UTF-8 gets U+FFFD for each bad byte sequence, counted. An empty span name becomes "unknown".
 */
#ifndef OTLP_ENCODE_H
#define OTLP_ENCODE_H

#include "base/buf.h"
#include "record_decode.h"

/* Appends one `ScopeSpans.spans` field (tag, length, Span). Repeated attribute keys: the last one wins.
 * invalid_text is added to. -> 0 or -ENOMEM; out is then as before. */
int otlp_encode_span(struct buf *out, const struct span_view *span, uint64_t *invalid_text);

struct resource_attribute {
    const char *key;
    const char *value;
};
struct resource_settings {
    const char *service_prefix; /* without a trailing "-" */
    const struct resource_attribute *attributes;
    size_t attribute_count;
};

/* Appends one `ResourceSpans.resource` field: service.name by the rules of reference aistore.md, the producer's own
 * attributes, then the configured ones whose key is not yet there. items must be checked. */
int otlp_encode_resource(struct buf *out, const uint8_t *items, size_t bytes, const struct resource_settings *settings,
                         uint64_t *invalid_text);

/* Everything of a `resource_spans` field that comes before its spans: tag and length, the resource field, tag and
 * length of its one scope_spans, the scope (aistrace, version). spans_bytes: what otlp_encode_span appended. */
int otlp_encode_group_head(struct buf *out, const struct buf *resource, size_t spans_bytes);

/* What otlp_encode_group_head appends for a resource of this encoded length; and an upper bound for any spans_bytes. */
size_t otlp_group_head_bytes(size_t resource_bytes, size_t spans_bytes);
size_t otlp_group_head_max(const struct buf *resource);

#endif
