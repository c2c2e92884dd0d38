/* SPDX-License-Identifier: MIT
 *
 * What a search asks of spans, from parameters as Jaeger's API has them. Pure.
 */
#ifndef TRACE_QUERY_H
#define TRACE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint/store/store.h"

enum { TRACE_QUERY_MAX_TAGS = 32, TRACE_QUERY_MAX_IDS = 100, TRACE_QUERY_DEFAULT_LIMIT = 100 };
enum { TRACE_QUERY_PROBLEM_MAX = 160 };

struct trace_query_tag {
    struct wire_bytes key, value; /* the value as text */
};

/* A trace matches when one of its spans has everything that is asked for. */
struct trace_query {
    struct wire_bytes service, operation; /* empty: any */
    struct wire_bytes span_kind;          /* used for operations alone */
    struct trace_query_tag tags[TRACE_QUERY_MAX_TAGS];
    size_t tag_count;
    uint64_t min_duration_ns, max_duration_ns;
    uint64_t start_ns, end_ns; /* the span starts between these, both included */
    uint8_t ids[TRACE_QUERY_MAX_IDS][16];
    size_t id_count; /* 0: all */
    size_t limit;    /* at most so many traces, the newest; 0: all */
};

struct trace_query_parameter {
    struct wire_bytes key, value; /* decoded; any bytes */
};

/* Parameters: service, operation, spanKind, tags (a JSON object), tag (key:value, repeated), minDuration, maxDuration,
 * start and end (microseconds), lookback, limit, traceID (repeated); others are ignored. Copies what it keeps.
 * -> 0; -EINVAL, problem says why; -ENOMEM. */
int trace_query_parse(const struct trace_query_parameter *parameters, size_t count, uint64_t now_ns,
                      struct trace_query **out, char problem[TRACE_QUERY_PROBLEM_MAX]);
void trace_query_free(struct trace_query *query);

/* A query for one trace. NULL: out of memory. */
struct trace_query *trace_query_of_trace(const uint8_t id[16]);

/* Copies the service, in place of the one before. -> 0 or -ENOMEM. */
int trace_query_set_service(struct trace_query *query, struct wire_bytes service);

#endif
