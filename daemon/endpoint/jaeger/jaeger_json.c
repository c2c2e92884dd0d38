/* SPDX-License-Identifier: MIT */
#include "jaeger_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/encoding.h"
#include "endpoint/otlp/attribute.h"
#include "endpoint/otlp/text.h"
#include "endpoint/traces/trace_search.h"

enum { JSON_INTEGER_MAX = 53 }; /* bits that a double holds */

struct jaeger_trace {
    struct store *store;
    const struct store_trace *trace; /* pinned */
    const struct store_entry *entry; /* the next one to write */
    bool begun;
    size_t spans_left;                 /* of those in the trace when its JSON began */
    const struct store_group **groups; /* sorted by address; p1 is the first */
    size_t group_count, next_group;
};

static int by_address(const void *a, const void *b)
{
    uintptr_t one = (uintptr_t) * (const struct store_group *const *)a;
    uintptr_t two = (uintptr_t) * (const struct store_group *const *)b;
    return one < two ? -1 : one > two;
}

static int collect_groups(struct jaeger_trace *trace)
{
    size_t count = 0, unique = 0;
    trace->groups = calloc(trace->trace->spans, sizeof(const struct store_group *));
    if (!trace->groups)
        return -ENOMEM;
    for (const struct store_entry *entry = trace->trace->first; entry; entry = entry->next) {
        if (count == 0 || trace->groups[count - 1] != entry->group)
            trace->groups[count++] = entry->group;
    }
    qsort(trace->groups, count, sizeof(const struct store_group *), by_address);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || trace->groups[i] != trace->groups[i - 1])
            trace->groups[unique++] = trace->groups[i];
    }
    trace->group_count = unique;
    return 0;
}

int jaeger_trace_new(struct store *store, const struct store_trace *pinned, struct jaeger_trace **out)
{
    struct jaeger_trace *trace = calloc(1, sizeof(*trace));
    if (!trace) {
        store_unpin(store, pinned);
        return -ENOMEM;
    }
    *trace =
        (struct jaeger_trace){.store = store, .trace = pinned, .entry = pinned->first, .spans_left = pinned->spans};
    if (collect_groups(trace)) {
        jaeger_trace_free(trace);
        return -ENOMEM;
    }
    *out = trace;
    return 0;
}

void jaeger_trace_free(struct jaeger_trace *trace)
{
    if (!trace)
        return;
    store_unpin(trace->store, trace->trace);
    free(trace->groups);
    free(trace);
}

/* ---- tags ---- */

static int append_id(struct buf *out, const char *name, const uint8_t *id, size_t bytes)
{
    char hex[33];
    *hex_encode(hex, id, bytes < 16 ? bytes : 16) = '\0';
    return buf_printf(out, "\"%s\":\"%s\"", name, hex);
}

static int append_bytes(struct buf *out, const char *before, struct wire_bytes text)
{
    int err = buf_append_text(out, before);
    return err ? err : text_append_json(out, text.data, text.len);
}

static bool is_safe_integer(int64_t value)
{
    return value < (int64_t)1 << JSON_INTEGER_MAX && value > -((int64_t)1 << JSON_INTEGER_MAX);
}

static const char *type_name(const struct attribute *attribute)
{
    switch (attribute->type) {
    case ATTRIBUTE_BOOL:
        return "bool";
    case ATTRIBUTE_INT: /* as Jaeger does: text where JavaScript would round */
        return is_safe_integer((int64_t)attribute->bits) ? "int64" : "string";
    case ATTRIBUTE_DOUBLE:
        return "float64";
    case ATTRIBUTE_BYTES:
        return "binary";
    default:
        return "string";
    }
}

static int append_value(struct buf *out, const struct attribute *attribute)
{
    struct buf text = {0};
    switch (attribute->type) {
    case ATTRIBUTE_EMPTY:
        return buf_append(out, "\"\"", 2);
    case ATTRIBUTE_INT:
        if (!is_safe_integer((int64_t)attribute->bits))
            return buf_printf(out, "\"%" PRId64 "\"", (int64_t)attribute->bits);
        break;
    case ATTRIBUTE_ARRAY:
    case ATTRIBUTE_MAP:
        if (attribute_append_json(&text, attribute) || text_append_json(out, text.data, text.len)) {
            buf_done(&text);
            return -ENOMEM;
        }
        buf_done(&text);
        return 0;
    default:
        break;
    }
    return attribute_append_json(out, attribute);
}

/* A list of tags: each writes its own comma. */
struct tags {
    struct buf *out;
    bool any;
    int err;
};

static void open_tag(struct tags *tags, struct wire_bytes key, const char *type)
{
    if (!tags->err)
        tags->err = append_bytes(tags->out, tags->any ? ",{\"key\":" : "{\"key\":", key);
    if (!tags->err)
        tags->err = buf_printf(tags->out, ",\"type\":\"%s\",\"value\":", type);
    tags->any = true;
}

static void close_tag(struct tags *tags)
{
    if (!tags->err)
        tags->err = buf_append(tags->out, "}", 1);
}

static void add_attribute(struct tags *tags, const struct attribute *attribute)
{
    open_tag(tags, attribute->key, type_name(attribute));
    if (!tags->err)
        tags->err = append_value(tags->out, attribute);
    close_tag(tags);
}

static void add_attributes(struct tags *tags, struct wire_bytes message, uint32_t number)
{
    struct attribute attribute;
    while (!tags->err && attribute_next(&message, number, &attribute))
        add_attribute(tags, &attribute);
}

static void add_text(struct tags *tags, const char *key, struct wire_bytes value)
{
    const struct wire_bytes name = {(const uint8_t *)key, strlen(key)};
    if (value.len)
        add_attribute(tags, &(struct attribute){.key = name, .type = ATTRIBUTE_STRING, .bytes = value});
}

static void add_string(struct tags *tags, const char *key, const char *value)
{
    if (value)
        add_text(tags, key, (struct wire_bytes){(const uint8_t *)value, strlen(value)});
}

static void add_number(struct tags *tags, const char *key, enum attribute_type type, uint64_t value)
{
    const struct wire_bytes name = {(const uint8_t *)key, strlen(key)};
    if (value)
        add_attribute(tags, &(struct attribute){.key = name, .type = type, .bits = value});
}

static int append_span_tags(struct buf *out, const struct store_entry *entry)
{
    const struct store_span *span = &entry->span;
    struct wire_bytes scope = store_group_origin(entry->group)->scope;
    struct wire_bytes status = wire_last_of(span->message, OTLP_SPAN_STATUS).bytes;
    struct tags tags = {.out = out};
    add_text(&tags, "otel.scope.name", wire_last_of(scope, OTLP_SCOPE_NAME).bytes);
    add_text(&tags, "otel.scope.version", wire_last_of(scope, OTLP_SCOPE_VERSION).bytes);
    add_attributes(&tags, span->message, OTLP_SPAN_ATTRIBUTES);
    add_string(&tags, "span.kind", trace_search_kind(span->kind));
    if (span->status == OTLP_STATUS_OK || span->status == OTLP_STATUS_ERROR)
        add_string(&tags, "otel.status_code", span->status == OTLP_STATUS_OK ? "OK" : "ERROR");
    add_number(&tags, "error", ATTRIBUTE_BOOL, span->status == OTLP_STATUS_ERROR);
    add_text(&tags, "otel.status_description", wire_last_of(status, OTLP_STATUS_MESSAGE).bytes);
    add_text(&tags, "w3c.tracestate", wire_last_of(span->message, OTLP_SPAN_TRACE_STATE).bytes);
    static const struct {
        const char *key;
        uint32_t number;
    } dropped[] = {{"otel.dropped_attributes_count", OTLP_SPAN_DROPPED_ATTRIBUTES},
                   {"otel.dropped_events_count", OTLP_SPAN_DROPPED_EVENTS},
                   {"otel.dropped_links_count", OTLP_SPAN_DROPPED_LINKS}};
    for (size_t i = 0; i < sizeof(dropped) / sizeof(*dropped); i++)
        add_number(&tags, dropped[i].key, ATTRIBUTE_INT, wire_last_of(span->message, dropped[i].number).value);
    return tags.err;
}

/* ---- spans ---- */

static int append_reference(struct buf *out, bool first, const char *type, struct wire_bytes trace_id,
                            struct wire_bytes span_id)
{
    int err = buf_printf(out, "%s{\"refType\":\"%s\",", first ? "" : ",", type);
    if (!err)
        err = append_id(out, "traceID", trace_id.data, trace_id.len);
    if (!err)
        err = buf_append(out, ",", 1);
    if (!err)
        err = append_id(out, "spanID", span_id.data, span_id.len);
    return err ? err : buf_append(out, "}", 1);
}

static int append_references(struct buf *out, const struct store_span *span)
{
    static const uint8_t none[8];
    struct wire_bytes rest = span->message;
    struct wire_field link;
    bool first = true;
    int err = 0;
    if (memcmp(span->parent_id, none, sizeof(none)) != 0) {
        err = append_reference(out, true, "CHILD_OF", (struct wire_bytes){span->trace_id, sizeof(span->trace_id)},
                               (struct wire_bytes){span->parent_id, sizeof(span->parent_id)});
        first = false;
    }
    for (; !err && wire_next_of(&rest, OTLP_SPAN_LINKS, &link); first = false)
        err = append_reference(out, first, "FOLLOWS_FROM", wire_last_of(link.bytes, OTLP_LINK_TRACE_ID).bytes,
                               wire_last_of(link.bytes, OTLP_LINK_SPAN_ID).bytes);
    return err;
}

static int append_logs(struct buf *out, struct wire_bytes span)
{
    struct wire_field event;
    int err = 0;
    for (bool first = true; !err && wire_next_of(&span, OTLP_SPAN_EVENTS, &event); first = false) {
        struct tags fields = {.out = out};
        err = buf_printf(out, "%s{\"timestamp\":%" PRIu64 ",\"fields\":[", first ? "" : ",",
                         wire_last_of(event.bytes, OTLP_EVENT_TIME).value / 1000);
        fields.err = err;
        add_text(&fields, "event", wire_last_of(event.bytes, OTLP_EVENT_NAME).bytes);
        add_attributes(&fields, event.bytes, OTLP_EVENT_ATTRIBUTES);
        err = fields.err ? fields.err : buf_append(out, "]}", 2);
    }
    return err;
}

static size_t process_of(const struct jaeger_trace *trace, const struct store_group *group)
{
    const struct store_group **found =
        bsearch(&group, trace->groups, trace->group_count, sizeof(const struct store_group *), by_address);
    return found ? (size_t)(found - trace->groups) + 1 : 0;
}

static int append_span(struct jaeger_trace *trace, struct buf *out)
{
    const struct store_span *span = &trace->entry->span;
    struct wire_field flags = wire_last_of(span->message, OTLP_SPAN_FLAGS);
    int err = buf_append(out, "{", 1);
    if (!err)
        err = append_id(out, "traceID", span->trace_id, sizeof(span->trace_id));
    if (!err)
        err = buf_append(out, ",", 1);
    if (!err)
        err = append_id(out, "spanID", span->span_id, sizeof(span->span_id));
    if (!err) /* no flags: only sampled spans arrive */
        err = buf_printf(out, ",\"flags\":%u", flags.number ? (unsigned)(flags.value & 0xff) : 1);
    if (!err)
        err = append_bytes(out, ",\"operationName\":", span->name);
    if (!err)
        err = buf_printf(out, ",\"references\":[");
    if (!err)
        err = append_references(out, span);
    if (!err)
        err = buf_printf(out, "],\"startTime\":%" PRIu64 ",\"duration\":%" PRIu64 ",\"tags\":[", span->start_ns / 1000,
                         (span->end_ns - span->start_ns) / 1000);
    if (!err)
        err = append_span_tags(out, trace->entry);
    if (!err)
        err = buf_printf(out, "],\"logs\":[");
    if (!err)
        err = append_logs(out, span->message);
    return err ? err
               : buf_printf(out, "],\"processID\":\"p%zu\",\"warnings\":null}", process_of(trace, trace->entry->group));
}

static int append_process(struct buf *out, const struct store_group *group, size_t number)
{
    const struct store_origin *origin = store_group_origin(group);
    struct wire_bytes rest = origin->resource;
    struct attribute attribute;
    struct tags tags = {.out = out};
    tags.err = buf_printf(out, "%s\"p%zu\":{\"serviceName\":", number > 1 ? "," : "", number);
    if (!tags.err)
        tags.err = text_append_json(out, origin->service.data, origin->service.len);
    if (!tags.err)
        tags.err = buf_printf(out, ",\"tags\":[");
    while (!tags.err && attribute_next(&rest, OTLP_RESOURCE_ATTRIBUTES, &attribute)) {
        if (!wire_is(attribute.key, "service.name"))
            add_attribute(&tags, &attribute);
    }
    return tags.err ? tags.err : buf_append(out, "]}", 2);
}

int jaeger_trace_next(struct jaeger_trace *trace, struct buf *out, size_t want)
{
    int err = 0;
    for (size_t start = out->len; !err && out->len - start < want;) {
        if (!trace->begun) {
            trace->begun = true;
            err = buf_append(out, "{", 1);
            if (!err)
                err = append_id(out, "traceID", trace->trace->trace_id, sizeof(trace->trace->trace_id));
            if (!err)
                err = buf_printf(out, ",\"spans\":[");
        } else if (trace->spans_left > 0) {
            err = append_span(trace, out);
            trace->entry = trace->entry->next;
            if (!err)
                err = buf_printf(out, --trace->spans_left ? "," : "],\"processes\":{");
        } else if (trace->next_group < trace->group_count) {
            err = append_process(out, trace->groups[trace->next_group], trace->next_group + 1);
            trace->next_group++;
        } else {
            err = buf_printf(out, "},\"warnings\":null}");
            return err;
        }
    }
    return err ? err : 1;
}
