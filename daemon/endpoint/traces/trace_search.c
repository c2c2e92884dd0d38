/* SPDX-License-Identifier: MIT */
#include "trace_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/otlp/attribute.h"

enum { ENTRY_BYTES = 64 }; /* of the budget, for an entry; its message counts besides when it is read */

struct id {
    uint8_t bytes[16];
};

struct trace_search {
    struct store *store;
    const struct trace_query *query;
    struct buf ids; /* of struct id, newest first */
    size_t next_id, found;
    const struct store_trace *trace; /* pinned while it is looked at, else NULL */
    const struct store_entry *entry; /* the next one to look at */
    struct buf scratch;
};

/* ---- choosing ---- */

static bool may_match(const struct trace_query *query, const struct store_trace *trace)
{
    return trace->end_ns - trace->start_ns >= query->min_duration_ns && trace->start_ns <= query->end_ns &&
           trace->end_ns >= query->start_ns;
}

static int choose(struct trace_search *search)
{
    const struct trace_query *query = search->query;
    int err = 0;
    if (query->id_count)
        return buf_append(&search->ids, query->ids, query->id_count * sizeof(struct id));
    for (const struct store_trace *trace = store_newest(search->store); trace && !err; trace = store_older(trace)) {
        if (may_match(query, trace))
            err = buf_append(&search->ids, trace->trace_id, sizeof(struct id));
    }
    return err;
}

int trace_search_new(struct store *store, const struct trace_query *query, struct trace_search **out)
{
    struct trace_search *search = calloc(1, sizeof(*search));
    if (!search)
        return -ENOMEM;
    search->store = store;
    search->query = query;
    if (choose(search)) {
        trace_search_free(search);
        return -ENOMEM;
    }
    *out = search;
    return 0;
}

static void leave_trace(struct trace_search *search)
{
    if (search->trace)
        store_unpin(search->store, search->trace);
    search->trace = NULL;
    search->entry = NULL;
}

void trace_search_free(struct trace_search *search)
{
    if (!search)
        return;
    leave_trace(search);
    buf_done(&search->ids);
    buf_done(&search->scratch);
    free(search);
}

/* ---- tags ---- */

const char *trace_search_kind(uint8_t kind)
{
    static const char *const names[] = {NULL, "internal", "server", "client", "producer", "consumer"};
    return kind < sizeof(names) / sizeof(*names) ? names[kind] : NULL;
}

/* An attribute with key and value among the fields of this number. */
static int has_attribute(struct wire_bytes message, uint32_t number, const struct trace_query_tag *tag,
                         struct buf *scratch)
{
    struct attribute attribute;
    while (attribute_next(&message, number, &attribute)) {
        if (!wire_same(attribute.key, tag->key))
            continue;
        scratch->len = 0;
        if (attribute_append_text(scratch, &attribute))
            return -ENOMEM;
        if (wire_same((struct wire_bytes){scratch->data, scratch->len}, tag->value))
            return 1;
    }
    return 0;
}

static int has_event(struct wire_bytes span, const struct trace_query_tag *tag, struct buf *scratch)
{
    struct wire_field event;
    int found = 0;
    while (found == 0 && wire_next_of(&span, OTLP_SPAN_EVENTS, &event)) {
        if (wire_is(tag->key, "event") && wire_same(wire_last_of(event.bytes, OTLP_EVENT_NAME).bytes, tag->value))
            return 1;
        found = has_attribute(event.bytes, OTLP_EVENT_ATTRIBUTES, tag, scratch);
    }
    return found;
}

/* The fields of OTLP that Jaeger shows as tags. */
static bool has_field(const struct store_entry *entry, const struct trace_query_tag *tag)
{
    const struct store_span *span = &entry->span;
    struct wire_bytes scope = store_group_origin(entry->group)->scope;
    const char *kind = trace_search_kind(span->kind);
    if (wire_is(tag->key, "span.kind"))
        return kind && wire_is(tag->value, kind);
    if (wire_is(tag->key, "error"))
        return span->status == OTLP_STATUS_ERROR && wire_is(tag->value, "true");
    if (wire_is(tag->key, "otel.status_code"))
        return (span->status == OTLP_STATUS_ERROR && wire_is(tag->value, "ERROR")) ||
               (span->status == OTLP_STATUS_OK && wire_is(tag->value, "OK"));
    if (wire_is(tag->key, "otel.status_description"))
        return wire_same(wire_last_of(wire_last_of(span->message, OTLP_SPAN_STATUS).bytes, OTLP_STATUS_MESSAGE).bytes,
                         tag->value);
    if (wire_is(tag->key, "otel.scope.name"))
        return wire_same(wire_last_of(scope, OTLP_SCOPE_NAME).bytes, tag->value);
    if (wire_is(tag->key, "otel.scope.version"))
        return wire_same(wire_last_of(scope, OTLP_SCOPE_VERSION).bytes, tag->value);
    if (wire_is(tag->key, "w3c.tracestate"))
        return wire_same(wire_last_of(span->message, OTLP_SPAN_TRACE_STATE).bytes, tag->value);
    return false;
}

/* A message holds its keys byte for byte: where these bytes are missing, the message need not be parsed. */
static bool contains(struct wire_bytes message, struct wire_bytes part)
{
    return part.len == 0 || (message.len && memmem(message.data, message.len, part.data, part.len));
}

static int has_tag(const struct store_entry *entry, const struct trace_query_tag *tag, struct buf *scratch)
{
    struct wire_bytes span = entry->span.message, resource = store_group_origin(entry->group)->resource;
    int found = has_field(entry, tag);
    if (found == 0 && contains(span, tag->key))
        found = has_attribute(span, OTLP_SPAN_ATTRIBUTES, tag, scratch);
    if (found == 0 && contains(resource, tag->key))
        found = has_attribute(resource, OTLP_RESOURCE_ATTRIBUTES, tag, scratch);
    if (found == 0 && contains(span, wire_is(tag->key, "event") ? tag->value : tag->key))
        found = has_event(span, tag, scratch);
    return found;
}

int trace_search_matches(const struct trace_query *query, const struct store_entry *entry, struct buf *scratch)
{
    const struct store_span *span = &entry->span;
    uint64_t duration_ns = span->end_ns - span->start_ns;
    if (span->start_ns < query->start_ns || span->start_ns > query->end_ns || duration_ns < query->min_duration_ns ||
        duration_ns > query->max_duration_ns)
        return 0;
    if (query->service.len && !wire_same(store_group_origin(entry->group)->service, query->service))
        return 0;
    if (query->operation.len && !wire_same(span->name, query->operation))
        return 0;
    for (size_t i = 0; i < query->tag_count; i++) {
        int found = has_tag(entry, &query->tags[i], scratch);
        if (found <= 0)
            return found;
    }
    return 1;
}

/* ---- looking ---- */

/* -> 1: found; 0: not found yet, either at the trace's end (entry is NULL) or out of budget; -ENOMEM */
static int look_at_trace(struct trace_search *search, size_t budget, size_t *used)
{
    const struct trace_query *query = search->query;
    for (; search->entry && *used < budget; search->entry = search->entry->next) {
        *used += ENTRY_BYTES + (query->tag_count ? search->entry->span.message.len : 0);
        int found = trace_search_matches(query, search->entry, &search->scratch);
        if (found != 0)
            return found;
    }
    return 0;
}

int trace_search_next(struct trace_search *search, size_t budget, const struct store_trace **out)
{
    const struct trace_query *query = search->query;
    const struct id *ids = (const struct id *)(const void *)search->ids.data;
    size_t used = 0;
    if (query->limit && search->found >= query->limit)
        return -ENOENT;
    do {
        if (!search->trace) {
            if (search->next_id == search->ids.len / sizeof(*ids))
                return -ENOENT;
            search->trace = store_find(search->store, ids[search->next_id++].bytes);
            used += ENTRY_BYTES;
            if (!search->trace) /* evicted meanwhile */
                continue;
            store_pin(search->trace);
            search->entry = search->trace->first;
        }
        int found = look_at_trace(search, budget > used ? budget : used + 1, &used);
        if (found < 0)
            return found;
        if (found > 0) {
            *out = search->trace;
            search->trace = NULL;
            search->found++;
            return 1;
        }
        if (!search->entry)
            leave_trace(search);
    } while (used < budget);
    return 0;
}
