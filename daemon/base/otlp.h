/* SPDX-License-Identifier: MIT
 *
 * OTLP's traces as its .proto files (version 1) define them: the method, the fields' numbers, the values of enums. One
 * table for who writes the messages (span/) and who reads them (endpoint/), which do not know each other. The tests
 * hold it against the descriptors that are generated from the .proto files.
 */
#ifndef OTLP_H
#define OTLP_H

#define OTLP_EXPORT_PATH "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

/* ---- ExportTraceServiceRequest, ResourceSpans, ScopeSpans ---- */

enum { OTLP_REQUEST_RESOURCE_SPANS = 1 };
enum { OTLP_RESOURCE_SPANS_RESOURCE = 1, OTLP_RESOURCE_SPANS_SCOPE_SPANS = 2, OTLP_RESOURCE_SPANS_SCHEMA_URL = 3 };
enum { OTLP_SCOPE_SPANS_SCOPE = 1, OTLP_SCOPE_SPANS_SPANS = 2, OTLP_SCOPE_SPANS_SCHEMA_URL = 3 };

/* ---- Resource, InstrumentationScope ---- */

enum { OTLP_RESOURCE_ATTRIBUTES = 1 };
enum { OTLP_SCOPE_NAME = 1, OTLP_SCOPE_VERSION = 2 };

/* ---- KeyValue, AnyValue, ArrayValue, KeyValueList ---- */

enum { OTLP_KEY_VALUE_KEY = 1, OTLP_KEY_VALUE_VALUE = 2 };
enum {
    OTLP_ANY_VALUE_STRING = 1,
    OTLP_ANY_VALUE_BOOL = 2,
    OTLP_ANY_VALUE_INT = 3,
    OTLP_ANY_VALUE_DOUBLE = 4,
    OTLP_ANY_VALUE_ARRAY = 5,
    OTLP_ANY_VALUE_MAP = 6,
    OTLP_ANY_VALUE_BYTES = 7,
};
enum { OTLP_ARRAY_VALUE_VALUES = 1 };
enum { OTLP_MAP_VALUES = 1 };

/* ---- Span, Status ---- */

enum {
    OTLP_SPAN_TRACE_ID = 1,
    OTLP_SPAN_SPAN_ID = 2,
    OTLP_SPAN_TRACE_STATE = 3,
    OTLP_SPAN_PARENT_SPAN_ID = 4,
    OTLP_SPAN_NAME = 5,
    OTLP_SPAN_KIND = 6,
    OTLP_SPAN_START_TIME = 7,
    OTLP_SPAN_END_TIME = 8,
    OTLP_SPAN_ATTRIBUTES = 9,
    OTLP_SPAN_DROPPED_ATTRIBUTES = 10,
    OTLP_SPAN_EVENTS = 11,
    OTLP_SPAN_DROPPED_EVENTS = 12,
    OTLP_SPAN_LINKS = 13,
    OTLP_SPAN_DROPPED_LINKS = 14,
    OTLP_SPAN_STATUS = 15,
    OTLP_SPAN_FLAGS = 16,
};
enum { OTLP_KIND_SERVER = 2 };
enum { OTLP_FLAGS_HAS_IS_REMOTE = 1 << 8, OTLP_FLAGS_IS_REMOTE = 1 << 9 }; /* of spans, about the parent; of links */
enum { OTLP_STATUS_MESSAGE = 2, OTLP_STATUS_CODE = 3 };
enum { OTLP_STATUS_UNSET = 0, OTLP_STATUS_OK = 1, OTLP_STATUS_ERROR = 2 };

/* ---- Event, Link ---- */

enum { OTLP_EVENT_TIME = 1, OTLP_EVENT_NAME = 2, OTLP_EVENT_ATTRIBUTES = 3, OTLP_EVENT_DROPPED_ATTRIBUTES = 4 };
enum {
    OTLP_LINK_TRACE_ID = 1,
    OTLP_LINK_SPAN_ID = 2,
    OTLP_LINK_TRACE_STATE = 3,
    OTLP_LINK_ATTRIBUTES = 4,
    OTLP_LINK_DROPPED_ATTRIBUTES = 5,
    OTLP_LINK_FLAGS = 6,
};

#endif
