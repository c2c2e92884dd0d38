/* SPDX-License-Identifier: MIT */
#include "trace_summary.h"

#include <inttypes.h>
#include <string.h>

#include "base/encoding.h"
#include "base/otlp.h"
#include "endpoint/otlp/text.h"

struct service {
    struct wire_bytes name;
    size_t spans, errors;
};

struct summary {
    const struct store_entry *root;
    bool complete;
    size_t errors;
    struct service services[TRACE_SUMMARY_MAX_SERVICES];
    size_t service_count;
};

static bool is_root(const struct store_span *span)
{
    static const uint8_t none[8];
    return memcmp(span->parent_id, none, sizeof(none)) == 0;
}

static void count_service(struct summary *summary, struct wire_bytes name, bool error)
{
    size_t i = 0;
    while (i < summary->service_count && !wire_same(summary->services[i].name, name))
        i++;
    if (i == TRACE_SUMMARY_MAX_SERVICES)
        return;
    if (i == summary->service_count)
        summary->services[summary->service_count++] = (struct service){.name = name};
    summary->services[i].spans++;
    summary->services[i].errors += error;
}

static void survey(const struct store_trace *trace, struct summary *summary)
{
    const struct store_entry *entry = trace->first; /* a trace has one span at least */
    summary->root = entry;
    do {
        bool error = entry->span.status == OTLP_STATUS_ERROR, root = is_root(&entry->span);
        summary->errors += error;
        count_service(summary, store_group_origin(entry->group)->service, error);
        if ((root && !summary->complete) ||
            (root == summary->complete && entry->span.start_ns < summary->root->span.start_ns))
            summary->root = entry;
        summary->complete |= root;
    } while ((entry = entry->next));
}

static int append_short(struct buf *out, struct wire_bytes text)
{
    return text_append_json(out, text.data, text.len < TRACE_SUMMARY_MAX_TEXT ? text.len : TRACE_SUMMARY_MAX_TEXT);
}

static int append_services(struct buf *out, const struct summary *summary)
{
    int err = buf_printf(out, ",\"services\":[");
    for (size_t i = 0; i < summary->service_count && !err; i++) {
        const struct service *service = &summary->services[i];
        err = buf_printf(out, "%s{\"name\":", i ? "," : "");
        if (!err)
            err = append_short(out, service->name);
        if (!err)
            err = buf_printf(out, ",\"spans\":%zu,\"errors\":%zu}", service->spans, service->errors);
    }
    return err ? err : buf_append(out, "]}", 2);
}

/* No longer than a signed 64-bit integer says, which is what readers of JSON take: 292 years. */
static uint64_t duration_ns(const struct store_trace *trace)
{
    uint64_t ns = trace->end_ns - trace->start_ns;
    return ns < INT64_MAX ? ns : INT64_MAX;
}

int trace_summary_append(struct buf *out, const struct store_trace *trace)
{
    struct summary summary = {0};
    char id[2 * sizeof(trace->trace_id) + 1];
    survey(trace, &summary);
    *hex_encode(id, trace->trace_id, sizeof(trace->trace_id)) = '\0';
    int err = buf_printf(out,
                         "{\"traceID\":\"%s\",\"start_ns\":\"%" PRIu64 "\",\"duration_ns\":%" PRIu64
                         ",\"spans\":%zu,\"errors\":%zu,\"complete\":%s,\"root\":{\"service\":",
                         id, trace->start_ns, duration_ns(trace), trace->spans, summary.errors,
                         summary.complete ? "true" : "false");
    if (!err)
        err = append_short(out, store_group_origin(summary.root->group)->service);
    if (!err)
        err = buf_append(out, ",\"name\":", 8);
    if (!err)
        err = append_short(out, summary.root->span.name);
    if (!err)
        err = buf_append(out, "}", 1);
    return err ? err : append_services(out, &summary);
}
