/* SPDX-License-Identifier: MIT
 *
 * LTTng-UST events for what a span holds: as one opaque record, and field by field with the attributes' keys.
 * Included several times by LTTng's machinery, which the names below are for.
 */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER aistrace_bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./lttng_events.h"

#if !defined(LTTNG_EVENTS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define LTTNG_EVENTS_H

#include <lttng/tracepoint.h>
#include <stdint.h>

#ifndef LTTNG_EVENTS_SPAN
#define LTTNG_EVENTS_SPAN
enum { LTTNG_OPAQUE_BYTES = 184 };

struct lttng_span {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8];
    uint64_t start_ns; /* the end is the event's own time */
    uint8_t kind;
    uint8_t status;
    const char *name;
    struct {
        const char *key;
        const char *value;
    } strings[4];
    struct {
        const char *key;
        int64_t value;
    } ints[2];
};
#endif

/* Fields are listed without commas. */
/* clang-format off */
LTTNG_UST_TRACEPOINT_EVENT(aistrace_bench, opaque, LTTNG_UST_TP_ARGS(const uint8_t *, record),
                           LTTNG_UST_TP_FIELDS(lttng_ust_field_array(uint8_t, record, record, LTTNG_OPAQUE_BYTES)))

LTTNG_UST_TRACEPOINT_EVENT(aistrace_bench, described, LTTNG_UST_TP_ARGS(const struct lttng_span *, span),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_array(uint8_t, trace_id, span->trace_id, 16)
        lttng_ust_field_array(uint8_t, span_id, span->span_id, 8)
        lttng_ust_field_array(uint8_t, parent_span_id, span->parent_span_id, 8)
        lttng_ust_field_integer(uint64_t, start_ns, span->start_ns)
        lttng_ust_field_integer(uint8_t, kind, span->kind)
        lttng_ust_field_integer(uint8_t, status, span->status)
        lttng_ust_field_string(name, span->name)
        lttng_ust_field_string(key_0, span->strings[0].key)
        lttng_ust_field_string(value_0, span->strings[0].value)
        lttng_ust_field_string(key_1, span->strings[1].key)
        lttng_ust_field_string(value_1, span->strings[1].value)
        lttng_ust_field_string(key_2, span->strings[2].key)
        lttng_ust_field_string(value_2, span->strings[2].value)
        lttng_ust_field_string(key_3, span->strings[3].key)
        lttng_ust_field_string(value_3, span->strings[3].value)
        lttng_ust_field_string(key_4, span->ints[0].key)
        lttng_ust_field_integer(int64_t, value_4, span->ints[0].value)
        lttng_ust_field_string(key_5, span->ints[1].key)
        lttng_ust_field_integer(int64_t, value_5, span->ints[1].value)))
/* clang-format on */

#endif

#include <lttng/tracepoint-event.h>
