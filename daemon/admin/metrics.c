/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/stats.h"
#include "grpc/grpc.h"

static_assert((int)STATS_GRPC_CODES == (int)GRPC_CODES, "a counter per gRPC status code");

static const char *drop_label(unsigned i)
{
    return drop_reason_name((enum drop_reason)i);
}

static const char *code_label(unsigned i)
{
    return grpc_code_name((enum grpc_code)i);
}

static const char *reload_label(unsigned i)
{
    return i == 0 ? "ok" : "failed";
}

/* One metric: `count` consecutive numbers at `offset` of the snapshot or of its stats, told apart by a label. */
struct metric {
    const char *name;
    const char *type;
    const char *help;
    size_t offset;
    const char *label;
    const char *(*label_value)(unsigned i);
    bool (*hidden)(unsigned i); /* as long as its number is 0; NULL: none is */
    unsigned count;
    bool in_stats;
};

#define SNAPSHOT(field) offsetof(struct stats_snapshot, field), NULL, NULL, NULL, 1, false
#define STATS(field)    offsetof(struct stats, field), NULL, NULL, NULL, 1, true

static const struct metric metrics[] = {
    {"aistrace_spans_committed_total", "counter", "Spans that producers have written to their rings.",
     SNAPSHOT(committed)},
    {"aistrace_spans_sampled_out_total", "counter", "Spans dropped because their trace is not sampled.",
     SNAPSHOT(outcome.sampled_out)},
    {"aistrace_spans_exported_total", "counter", "Spans the endpoint has accepted.", SNAPSHOT(outcome.exported)},
    {"aistrace_spans_rejected_total", "counter", "Spans the endpoint has rejected by partial success.",
     SNAPSHOT(outcome.rejected)},
    {"aistrace_spans_dropped_total", "counter", "Spans the daemon has read and given up, by reason.",
     offsetof(struct stats_snapshot, outcome.dropped), "reason", drop_label, NULL, DROP_REASONS, false},
    {"aistrace_spans_producer_dropped_total", "counter", "Spans that producers could not write, by reason.",
     offsetof(struct stats_snapshot, producer_dropped), "reason", producer_drop_name, producer_drop_reserved,
     PRODUCER_REASONS, false},
    {"aistrace_spans_in_flight", "gauge", "Spans read from the rings and not yet settled.", SNAPSHOT(in_flight)},
    {"aistrace_spans_spooled", "gauge", "Spans in the spool.", SNAPSHOT(spooled_now)},
    {"aistrace_spans_unread", "gauge", "Spans in the rings, not yet read.", SNAPSHOT(unread)},
    {"aistrace_spool_bytes", "gauge", "Bytes of the spans in the spool.", SNAPSHOT(spool_bytes)},
    {"aistrace_spool_file_bytes", "gauge", "Bytes of the spool's files.", SNAPSHOT(spool_file_bytes)},
    {"aistrace_spool_limit_bytes", "gauge", "What the spool's files may take together.", SNAPSHOT(spool_limit_bytes)},
    {"aistrace_spool_spans_written_total", "counter", "Spans that have gone to the spool.", SNAPSHOT(spool_written)},
    {"aistrace_spool_spans_exported_total", "counter", "Of these, accepted by the endpoint.", SNAPSHOT(spool.exported)},
    {"aistrace_spool_spans_rejected_total", "counter", "Of these, rejected by partial success.",
     SNAPSHOT(spool.rejected)},
    {"aistrace_spool_spans_dropped_total", "counter", "Of these, given up, by reason.",
     offsetof(struct stats_snapshot, spool.dropped), "reason", drop_label, NULL, DROP_REASONS, false},
    {"aistrace_spool_damaged_total", "counter", "Files and places of the spool that could not be read at the start.",
     SNAPSHOT(spool_damaged)},
    {"aistrace_segments", "gauge", "Segments attached.", SNAPSHOT(segments)},
    {"aistrace_segments_waiting", "gauge",
     "Segments that wait for a place: their user, or the daemon, has as many as may be.", STATS(segments_waiting)},
    {"aistrace_segments_skipped_total", "counter",
     "Files left alone: segments of another version, or no sound segments.", STATS(segments_skipped)},
    {"aistrace_segments_quarantined_total", "counter", "Segments given up because their content is not sound.",
     STATS(segments_quarantined)},
    {"aistrace_unreadable_bytes_total", "counter", "Bytes given up with quarantined slots.", STATS(unreadable_bytes)},
    {"aistrace_invalid_text_total", "counter", "Strings that were not UTF-8 and were corrected.", STATS(invalid_text)},
    {"aistrace_export_requests_total", "counter", "Finished export attempts by gRPC status.",
     offsetof(struct stats, export_requests), "code", code_label, NULL, STATS_GRPC_CODES, true},
    {"aistrace_config_reloads_total", "counter", "Configuration reloads by result.",
     offsetof(struct stats, config_reloads_ok), "result", reload_label, NULL, 2, true},
};
static_assert(offsetof(struct stats, config_reloads_failed) == offsetof(struct stats, config_reloads_ok) + 8,
              "the two results are neighbours");

static int render_head(struct buf *out, const char *name, const char *type, const char *help)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int render(struct buf *out, const struct metric *metric, const struct stats_snapshot *snapshot)
{
    const char *base = metric->in_stats ? (const char *)snapshot->stats : (const char *)snapshot;
    int err = render_head(out, metric->name, metric->type, metric->help);
    for (unsigned i = 0; i < metric->count && !err; i++) {
        uint64_t value;
        memcpy(&value, base + metric->offset + i * sizeof(value), sizeof(value));
        if (!metric->label) {
            err = buf_printf(out, "%s %" PRIu64 "\n", metric->name, value);
            continue;
        }
        if (value > 0 || !metric->hidden || !metric->hidden(i))
            err = buf_printf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", metric->name, metric->label, metric->label_value(i),
                             value);
    }
    return err;
}

/* Absent before the first success: no number would be true. */
static int render_age(struct buf *out, const struct stats_snapshot *snapshot)
{
    static const char name[] = "aistrace_last_success_age_seconds";
    uint64_t then = snapshot->stats->last_success_ms;
    if (then == 0)
        return 0;
    uint64_t age_ms = snapshot->now_ms > then ? snapshot->now_ms - then : 0;
    int err = render_head(out, name, "gauge", "Time since the endpoint last accepted spans; absent before that.");
    return err ? err : buf_printf(out, "%s %" PRIu64 ".%03" PRIu64 "\n", name, age_ms / 1000, age_ms % 1000);
}

static int render_build(struct buf *out)
{
    static const char name[] = "aistrace_build_info";
    int err = render_head(out, name, "gauge", "Always 1; the version is in the label.");
    return err ? err : buf_printf(out, "%s{version=\"%s\"} 1\n", name, AISTRACE_BUILD_VERSION);
}

void metrics_render(struct buf *out, const struct stats_snapshot *snapshot)
{
    size_t start = out->len;
    int err = 0;
    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]) && !err; i++)
        err = render(out, &metrics[i], snapshot);
    if (!err)
        err = render_age(out, snapshot);
    if (!err)
        err = render_build(out);
    if (err)
        out->len = start; /* half an exposition would look like counters that vanished */
}
