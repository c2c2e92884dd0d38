/* SPDX-License-Identifier: MIT */
#include "ingest.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/otlp.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

struct walk {
    struct store *store;
    uint64_t now_ms;
    struct ingest_result result;
};

static struct wire_bytes find_service(struct wire_bytes resource)
{
    struct wire_bytes service = {0};
    struct wire_field field;
    while (wire_next_of(&resource, OTLP_RESOURCE_ATTRIBUTES, &field)) {
        if (wire_is(wire_last_of(field.bytes, OTLP_KEY_VALUE_KEY).bytes, "service.name"))
            service = wire_last_of(wire_last_of(field.bytes, OTLP_KEY_VALUE_VALUE).bytes, OTLP_ANY_VALUE_STRING).bytes;
    }
    return service;
}

static bool is_zero(const uint8_t *id, size_t bytes)
{
    uint8_t any = 0;
    for (size_t i = 0; i < bytes; i++)
        any |= id[i];
    return any == 0;
}

/* -> false when the id has another length. */
static bool read_id(struct wire_bytes from, uint8_t *id, size_t bytes)
{
    if (from.len != bytes)
        return false;
    memcpy(id, from.data, bytes);
    return true;
}

/* What the store wants to know of a checked Span message. -> NULL, or what is wrong with it. */
static const char *read_span(struct wire_bytes message, struct store_span *out)
{
    struct store_span span = {.message = message};
    struct wire_field field, status_field;
    bool trace_ok = false, span_ok = false, parent_ok = true;
    for (struct wire_bytes rest = message; wire_next(&rest, &field) > 0;) {
        switch (field.number) {
        case OTLP_SPAN_TRACE_ID:
            trace_ok = read_id(field.bytes, span.trace_id, sizeof(span.trace_id));
            break;
        case OTLP_SPAN_SPAN_ID:
            span_ok = read_id(field.bytes, span.span_id, sizeof(span.span_id));
            break;
        case OTLP_SPAN_PARENT_SPAN_ID:
            parent_ok = field.bytes.len == 0 || read_id(field.bytes, span.parent_id, sizeof(span.parent_id));
            break;
        case OTLP_SPAN_NAME:
            span.name = field.bytes;
            break;
        case OTLP_SPAN_KIND:
            span.kind = (uint8_t)(field.value <= UINT8_MAX ? field.value : 0);
            break;
        case OTLP_SPAN_START_TIME:
            span.start_ns = field.value;
            break;
        case OTLP_SPAN_END_TIME:
            span.end_ns = field.value;
            break;
        case OTLP_SPAN_STATUS:
            for (struct wire_bytes status = field.bytes; wire_next_of(&status, OTLP_STATUS_CODE, &status_field);)
                span.status = (uint8_t)(status_field.value <= UINT8_MAX ? status_field.value : 0);
            break;
        default:
            break;
        }
    }
    if (!trace_ok || is_zero(span.trace_id, sizeof(span.trace_id)))
        return "trace_id is not 16 bytes that are not all zero";
    if (!span_ok || is_zero(span.span_id, sizeof(span.span_id)))
        return "span_id is not 8 bytes that are not all zero";
    if (!parent_ok)
        return "parent_span_id is neither empty nor 8 bytes";
    if (span.end_ns < span.start_ns)
        return "the span ends before it starts";
    *out = span;
    return NULL;
}

static int add_scope_spans(struct walk *walk, struct store_origin *origin, struct wire_bytes scope_spans)
{
    struct store_group *group;
    struct wire_field field;
    origin->scope = wire_last_of(scope_spans, OTLP_SCOPE_SPANS_SCOPE).bytes;
    origin->scope_schema_url = wire_last_of(scope_spans, OTLP_SCOPE_SPANS_SCHEMA_URL).bytes;
    int err = store_hold_group(walk->store, origin, &group);
    if (err)
        return err;
    while (!err && wire_next_of(&scope_spans, OTLP_SCOPE_SPANS_SPANS, &field)) {
        struct store_span span;
        const char *problem = read_span(field.bytes, &span);
        if (problem) {
            walk->result.rejected++;
            walk->result.problem = problem;
            continue;
        }
        int added = store_add(walk->store, group, &span, walk->now_ms);
        walk->result.kept += added == 1;
        walk->result.duplicates += added == 0;
        err = added < 0 ? added : 0;
    }
    store_release_group(walk->store, group);
    return err;
}

static int add_resource_spans(struct walk *walk, struct wire_bytes resource_spans)
{
    struct store_origin origin = {
        .resource = wire_last_of(resource_spans, OTLP_RESOURCE_SPANS_RESOURCE).bytes,
        .resource_schema_url = wire_last_of(resource_spans, OTLP_RESOURCE_SPANS_SCHEMA_URL).bytes,
    };
    struct wire_field field;
    int err = 0;
    origin.service = find_service(origin.resource);
    while (!err && wire_next_of(&resource_spans, OTLP_RESOURCE_SPANS_SCOPE_SPANS, &field))
        err = add_scope_spans(walk, &origin, field.bytes);
    return err;
}

int ingest(struct store *store, struct wire_bytes request, uint64_t now_ms, struct ingest_result *out)
{
    struct walk walk = {.store = store, .now_ms = now_ms};
    struct wire_field field;
    int err =
        wire_check(&opentelemetry__proto__collector__trace__v1__export_trace_service_request__descriptor, request);
    while (!err && wire_next_of(&request, OTLP_REQUEST_RESOURCE_SPANS, &field))
        err = add_resource_spans(&walk, field.bytes);
    if (!err)
        *out = walk.result;
    return err;
}
