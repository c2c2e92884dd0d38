/* SPDX-License-Identifier: MIT
 *
 * What stands around the spans of one producer in OTLP's protobuf bytes: its resource, the scope, the heads.
 */
#ifndef OTLP_RESOURCE_H
#define OTLP_RESOURCE_H

#include "base/buf.h"

struct resource_attribute {
    const char *key;
    const char *value;
};
struct resource_settings {
    const char *service_prefix; /* without a trailing "-" */
    const struct resource_attribute *attributes;
    size_t attribute_count;
};

/* Appends one `ResourceSpans.resource` field: service.name (the service that the producer names, or the prefix and its
 * role, or "unknown_service"), the producer's own attributes, then the configured ones whose key is not yet there.
 * items: checked by record_check_resource. invalid_text is added to. -> 0 or -ENOMEM; out is then as before. */
int otlp_encode_resource(struct buf *out, const uint8_t *items, size_t bytes, const struct resource_settings *settings,
                         uint64_t *invalid_text);

/* Everything of a `resource_spans` field that comes before its spans: tag and length, the resource field, tag and
 * length of its one scope_spans, the scope (aistrace, version). spans_bytes: what otlp_encode_span appended. */
int otlp_encode_group_head(struct buf *out, const struct buf *resource, size_t spans_bytes);

/* What otlp_encode_group_head appends for a resource of this encoded length; and an upper bound for any spans_bytes. */
size_t otlp_group_head_bytes(size_t resource_bytes, size_t spans_bytes);
size_t otlp_group_head_max(const struct buf *resource);

#endif
