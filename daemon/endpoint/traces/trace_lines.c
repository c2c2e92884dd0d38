/* SPDX-License-Identifier: MIT */
#include "trace_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/otlp/otlp_json.h"
#include "endpoint/otlp/text.h"
#include "opentelemetry/proto/trace/v1/trace.pb-c.h"

struct id {
    uint8_t bytes[16];
};

struct trace_lines {
    struct store *store;
    struct id *ids; /* oldest first */
    size_t id_count, next_id;
    const struct store_trace *trace;  /* pinned while its line is being written, else NULL */
    const struct store_entry **spans; /* of trace, sorted by group */
    size_t span_count, next_span;
};

/* ---- choosing ---- */

static bool fits(struct wire_bytes bytes, const char *wanted)
{
    return !wanted || wire_is(bytes, wanted);
}

static bool matches(const struct store_trace *trace, const struct trace_filter *filter)
{
    if (filter->by_id && memcmp(trace->trace_id, filter->trace_id, sizeof(filter->trace_id)) != 0)
        return false;
    if (trace->end_ns - trace->start_ns < filter->min_duration_ns)
        return false;
    if (!filter->service && !filter->name)
        return true;
    for (const struct store_entry *entry = trace->first; entry; entry = entry->next) {
        if (fits(store_group_origin(entry->group)->service, filter->service) && fits(entry->span.name, filter->name))
            return true;
    }
    return false;
}

static int append_id(struct buf *ids, const struct store_trace *trace)
{
    return buf_append(ids, trace->trace_id, sizeof(struct id));
}

static int choose(const struct store *store, const struct trace_filter *filter, struct buf *ids)
{
    const struct store_trace *trace = filter->by_id ? store_find(store, filter->trace_id) : store_newest(store);
    int err = 0;
    for (; trace && !err; trace = filter->by_id ? NULL : store_older(trace)) {
        if (matches(trace, filter))
            err = append_id(ids, trace);
        if (filter->limit && ids->len / sizeof(struct id) == filter->limit)
            break;
    }
    return err;
}

int trace_lines_new(struct store *store, const struct trace_filter *filter, struct trace_lines **out)
{
    struct buf ids = {0};
    struct trace_lines *lines = calloc(1, sizeof(*lines));
    int err = lines ? choose(store, filter, &ids) : -ENOMEM;
    if (err) {
        buf_done(&ids);
        free(lines);
        return err;
    }
    lines->store = store;
    lines->ids = (struct id *)(void *)ids.data;
    lines->id_count = ids.len / sizeof(struct id);
    for (size_t i = 0, j = lines->id_count; i + 1 < j; i++) {
        struct id swap = lines->ids[--j];
        lines->ids[j] = lines->ids[i];
        lines->ids[i] = swap;
    }
    *out = lines;
    return 0;
}

static void end_trace(struct trace_lines *lines)
{
    if (lines->trace)
        store_unpin(lines->store, lines->trace);
    free(lines->spans);
    lines->trace = NULL;
    lines->spans = NULL;
}

void trace_lines_free(struct trace_lines *lines)
{
    if (!lines)
        return;
    end_trace(lines);
    free(lines->ids);
    free(lines);
}

/* ---- writing ---- */

struct order {
    const struct store_entry *entry;
    size_t group; /* the arrival of the group's first span */
    size_t arrival;
};

static int by_group_address(const void *a, const void *b)
{
    const struct order *left = a, *right = b;
    uintptr_t one = (uintptr_t)left->entry->group, two = (uintptr_t)right->entry->group;
    return one != two ? (one < two ? -1 : 1) : (left->arrival < right->arrival ? -1 : 1);
}

static int by_group(const void *a, const void *b)
{
    const struct order *left = a, *right = b;
    size_t one = left->group, two = right->group;
    return one != two ? (one < two ? -1 : 1) : (left->arrival < right->arrival ? -1 : 1);
}

/* Sorts groups by the arrival of their first span, and the spans of a group by arrival. */
static void sort_spans(struct order *order, size_t count)
{
    qsort(order, count, sizeof(*order), by_group_address);
    for (size_t i = 0; i < count; i++) {
        bool same = i > 0 && order[i].entry->group == order[i - 1].entry->group;
        order[i].group = same ? order[i - 1].group : order[i].arrival;
    }
    qsort(order, count, sizeof(*order), by_group);
}

static int begin_trace(struct trace_lines *lines, const struct store_trace *trace)
{
    struct order *order = calloc(trace->spans, sizeof(*order));
    const struct store_entry **spans = calloc(trace->spans, sizeof(*spans));
    size_t count = 0;
    if (!order || !spans) {
        free(order);
        free(spans);
        return -ENOMEM;
    }
    for (const struct store_entry *entry = trace->first; entry; entry = entry->next, count++)
        order[count] = (struct order){.entry = entry, .arrival = count};
    sort_spans(order, count);
    for (size_t i = 0; i < count; i++)
        spans[i] = order[i].entry;
    free(order);
    store_pin(trace);
    lines->trace = trace;
    lines->spans = spans;
    lines->span_count = count;
    lines->next_span = 0;
    return 0;
}

static int append_schema_url(struct buf *out, struct wire_bytes url)
{
    if (url.len == 0)
        return 0;
    int err = buf_append_text(out, ",\"schemaUrl\":");
    return err ? err : text_append_json(out, url.data, url.len);
}

/* What stands in front of a group's spans. */
static int open_group(struct buf *out, const struct store_origin *origin)
{
    int err = buf_append_text(out, "{\"resource\":");
    if (!err)
        err = otlp_json_message(out, &opentelemetry__proto__resource__v1__resource__descriptor, origin->resource);
    if (!err)
        err = append_schema_url(out, origin->resource_schema_url);
    if (!err)
        err = buf_append_text(out, ",\"scopeSpans\":[{\"scope\":");
    if (!err)
        err =
            otlp_json_message(out, &opentelemetry__proto__common__v1__instrumentation_scope__descriptor, origin->scope);
    if (!err)
        err = append_schema_url(out, origin->scope_schema_url);
    return err ? err : buf_append_text(out, ",\"spans\":[");
}

static int append_span(struct trace_lines *lines, struct buf *out)
{
    size_t at = lines->next_span;
    const struct store_entry *entry = lines->spans[at];
    bool new_group = at == 0 || entry->group != lines->spans[at - 1]->group;
    int err = 0;
    if (new_group) {
        err = buf_append_text(out, at == 0 ? "{\"resourceSpans\":[" : "]}]},");
        if (!err)
            err = open_group(out, store_group_origin(entry->group));
    } else {
        err = buf_append_text(out, ",");
    }
    if (!err)
        err = otlp_json_message(out, &opentelemetry__proto__trace__v1__span__descriptor, entry->span.message);
    lines->next_span++;
    return err;
}

int trace_lines_next(struct trace_lines *lines, struct buf *out, size_t want)
{
    int err = 0;
    for (size_t start = out->len; !err && out->len - start < want;) {
        if (!lines->trace) {
            const struct store_trace *trace = NULL;
            while (!trace && lines->next_id < lines->id_count)
                trace = store_find(lines->store, lines->ids[lines->next_id++].bytes);
            if (!trace)
                return 0;
            err = begin_trace(lines, trace);
        } else if (lines->next_span < lines->span_count) {
            err = append_span(lines, out);
        } else {
            err = buf_append_text(out, "]}]}]}\n");
            end_trace(lines);
        }
    }
    return err ? err : 1;
}
