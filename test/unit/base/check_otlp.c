/* SPDX-License-Identifier: MIT */
#include "base/otlp.h"
#include "support/test.h"

#include <string.h>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

#define MESSAGE(name) &opentelemetry__proto__##name##__descriptor

static const struct {
    const ProtobufCMessageDescriptor *message;
    unsigned number;
    const char *name;
} fields[] = {
    {MESSAGE(collector__trace__v1__export_trace_service_request), OTLP_REQUEST_RESOURCE_SPANS, "resource_spans"},
    {MESSAGE(trace__v1__resource_spans), OTLP_RESOURCE_SPANS_RESOURCE, "resource"},
    {MESSAGE(trace__v1__resource_spans), OTLP_RESOURCE_SPANS_SCOPE_SPANS, "scope_spans"},
    {MESSAGE(trace__v1__resource_spans), OTLP_RESOURCE_SPANS_SCHEMA_URL, "schema_url"},
    {MESSAGE(trace__v1__scope_spans), OTLP_SCOPE_SPANS_SCOPE, "scope"},
    {MESSAGE(trace__v1__scope_spans), OTLP_SCOPE_SPANS_SPANS, "spans"},
    {MESSAGE(trace__v1__scope_spans), OTLP_SCOPE_SPANS_SCHEMA_URL, "schema_url"},
    {MESSAGE(resource__v1__resource), OTLP_RESOURCE_ATTRIBUTES, "attributes"},
    {MESSAGE(common__v1__instrumentation_scope), OTLP_SCOPE_NAME, "name"},
    {MESSAGE(common__v1__instrumentation_scope), OTLP_SCOPE_VERSION, "version"},
    {MESSAGE(common__v1__key_value), OTLP_KEY_VALUE_KEY, "key"},
    {MESSAGE(common__v1__key_value), OTLP_KEY_VALUE_VALUE, "value"},
    {MESSAGE(common__v1__any_value), OTLP_ANY_VALUE_STRING, "string_value"},
    {MESSAGE(common__v1__any_value), OTLP_ANY_VALUE_BOOL, "bool_value"},
    {MESSAGE(common__v1__any_value), OTLP_ANY_VALUE_INT, "int_value"},
    {MESSAGE(common__v1__any_value), OTLP_ANY_VALUE_DOUBLE, "double_value"},
    {MESSAGE(common__v1__any_value), OTLP_ANY_VALUE_ARRAY, "array_value"},
    {MESSAGE(common__v1__any_value), OTLP_ANY_VALUE_MAP, "kvlist_value"},
    {MESSAGE(common__v1__any_value), OTLP_ANY_VALUE_BYTES, "bytes_value"},
    {MESSAGE(common__v1__array_value), OTLP_ARRAY_VALUE_VALUES, "values"},
    {MESSAGE(common__v1__key_value_list), OTLP_MAP_VALUES, "values"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_TRACE_ID, "trace_id"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_SPAN_ID, "span_id"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_TRACE_STATE, "trace_state"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_PARENT_SPAN_ID, "parent_span_id"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_NAME, "name"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_KIND, "kind"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_START_TIME, "start_time_unix_nano"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_END_TIME, "end_time_unix_nano"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_ATTRIBUTES, "attributes"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_DROPPED_ATTRIBUTES, "dropped_attributes_count"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_EVENTS, "events"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_DROPPED_EVENTS, "dropped_events_count"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_LINKS, "links"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_DROPPED_LINKS, "dropped_links_count"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_STATUS, "status"},
    {MESSAGE(trace__v1__span), OTLP_SPAN_FLAGS, "flags"},
    {MESSAGE(trace__v1__status), OTLP_STATUS_MESSAGE, "message"},
    {MESSAGE(trace__v1__status), OTLP_STATUS_CODE, "code"},
    {MESSAGE(trace__v1__span__event), OTLP_EVENT_TIME, "time_unix_nano"},
    {MESSAGE(trace__v1__span__event), OTLP_EVENT_NAME, "name"},
    {MESSAGE(trace__v1__span__event), OTLP_EVENT_ATTRIBUTES, "attributes"},
    {MESSAGE(trace__v1__span__event), OTLP_EVENT_DROPPED_ATTRIBUTES, "dropped_attributes_count"},
    {MESSAGE(trace__v1__span__link), OTLP_LINK_TRACE_ID, "trace_id"},
    {MESSAGE(trace__v1__span__link), OTLP_LINK_SPAN_ID, "span_id"},
    {MESSAGE(trace__v1__span__link), OTLP_LINK_TRACE_STATE, "trace_state"},
    {MESSAGE(trace__v1__span__link), OTLP_LINK_ATTRIBUTES, "attributes"},
    {MESSAGE(trace__v1__span__link), OTLP_LINK_DROPPED_ATTRIBUTES, "dropped_attributes_count"},
    {MESSAGE(trace__v1__span__link), OTLP_LINK_FLAGS, "flags"},
};

LOOP_TEST(field_numbers_are_those_of_the_protocol, COUNT(fields))
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(fields[_i].message, fields[_i].number);
    ck_assert_ptr_nonnull(field);
    ck_assert_str_eq(field->name, fields[_i].name);
}

TEST(values_of_enums_are_those_of_the_protocol)
{
    ck_assert_int_eq(OTLP_KIND_SERVER, OPENTELEMETRY__PROTO__TRACE__V1__SPAN__SPAN_KIND__SPAN_KIND_SERVER);
    ck_assert_int_eq(OTLP_STATUS_UNSET, OPENTELEMETRY__PROTO__TRACE__V1__STATUS__STATUS_CODE__STATUS_CODE_UNSET);
    ck_assert_int_eq(OTLP_STATUS_OK, OPENTELEMETRY__PROTO__TRACE__V1__STATUS__STATUS_CODE__STATUS_CODE_OK);
    ck_assert_int_eq(OTLP_STATUS_ERROR, OPENTELEMETRY__PROTO__TRACE__V1__STATUS__STATUS_CODE__STATUS_CODE_ERROR);
    ck_assert_int_eq(OTLP_FLAGS_HAS_IS_REMOTE,
                     OPENTELEMETRY__PROTO__TRACE__V1__SPAN_FLAGS__SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK);
    ck_assert_int_eq(OTLP_FLAGS_IS_REMOTE,
                     OPENTELEMETRY__PROTO__TRACE__V1__SPAN_FLAGS__SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK);
}
