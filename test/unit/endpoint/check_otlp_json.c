/* SPDX-License-Identifier: MIT
 *
 * From protobuf bytes, packed by protobuf-c or written here byte by byte, to OTLP/JSON.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/ingest.h"
#include "endpoint/otlp/otlp_json.h"
#include "endpoint/otlp/text.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "support/test.h"

#define ANY            (&opentelemetry__proto__common__v1__any_value__descriptor)
#define SPAN           (&opentelemetry__proto__trace__v1__span__descriptor)
#define BYTES(literal) ((struct wire_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

#define any_value Opentelemetry__Proto__Common__V1__AnyValue
#define ANY_INIT  OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__INIT

static void check_json(const ProtobufCMessageDescriptor *message, struct wire_bytes bytes, const char *expected)
{
    struct buf out = {0};
    ck_assert_int_eq(wire_check(message, bytes), 0);
    ck_assert_int_eq(otlp_json_message(&out, message, bytes), 0);
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    ck_assert_str_eq((const char *)out.data, expected);
    buf_done(&out);
}

static void check_packed(const ProtobufCMessage *message, const char *expected)
{
    uint8_t bytes[4096];
    ck_assert_uint_le(protobuf_c_message_get_packed_size(message), sizeof(bytes));
    check_json(message->descriptor, (struct wire_bytes){bytes, protobuf_c_message_pack(message, bytes)}, expected);
}

static void check_double(double value, const char *expected)
{
    char json[64];
    any_value any = ANY_INIT;
    any.value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_DOUBLE_VALUE;
    any.double_value = value;
    snprintf(json, sizeof(json), "{\"doubleValue\":%s}", expected);
    check_packed(&any.base, json);
}

TEST(doubles_are_short_and_exact_or_words)
{
    check_double(0, "0");
    check_double(-0.0, "-0");
    check_double(0.1, "0.1");
    check_double(1.0 / 3, "0.3333333333333333");
    check_double(DBL_MAX, "1.7976931348623157e+308");
    check_double(5e-324, "4.94065645841247e-324");
    check_double(NAN, "\"NaN\"");
    check_double(INFINITY, "\"Infinity\"");
    check_double(-INFINITY, "\"-Infinity\"");
}

static void check_int(int64_t value, const char *expected)
{
    char json[64];
    any_value any = ANY_INIT;
    any.value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE;
    any.int_value = value;
    snprintf(json, sizeof(json), "{\"intValue\":\"%s\"}", expected);
    check_packed(&any.base, json);
}

TEST(integers_of_64_bits_are_strings)
{
    check_int(0, "0");
    check_int(-1, "-1");
    check_int(INT64_MIN, "-9223372036854775808");
    check_int(INT64_MAX, "9223372036854775807");
}

TEST(bytes_are_base64_padded)
{
    check_json(ANY, BYTES("\x3a\x00"), "{\"bytesValue\":\"\"}");
    check_json(ANY, BYTES("\x3a\x01\xff"), "{\"bytesValue\":\"/w==\"}");
    check_json(ANY, BYTES("\x3a\x02\xff\xfe"), "{\"bytesValue\":\"//4=\"}");
    check_json(ANY, BYTES("\x3a\x03\xff\xfe\x00"), "{\"bytesValue\":\"//4A\"}");
}

static void check_text(struct wire_bytes text, const char *expected)
{
    struct buf out = {0};
    ck_assert_int_eq(text_append_json(&out, text.data, text.len), 0);
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    ck_assert_str_eq((const char *)out.data, expected);
    buf_done(&out);
}

TEST(text_is_escaped)
{
    check_text((struct wire_bytes){0}, "\"\"");
    check_text(BYTES(""), "\"\"");
    check_text(BYTES("a\0b"), "\"a\\u0000b\"");
    check_text(BYTES("\"\\/\b\f\n\r\t"), "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
    check_text(BYTES("\x01\x1f\x7f"), "\"\\u0001\\u001f\\u007f\"");
    check_text(BYTES("\xc2\x85\xe2\x80\xa8"), "\"\\u0085\\u2028\"");
    check_text(BYTES("Gr\xc3\xbc\xc3\x9f"
                     "e \xe4\xb8\x96 \xf0\x9f\x98\x80 \xef\xbf\xbd"),
               "\"Gr\xc3\xbc\xc3\x9f"
               "e \xe4\xb8\x96 \xf0\x9f\x98\x80 \xef\xbf\xbd\"");
}

TEST(what_is_not_utf8_is_replaced)
{
    check_text(BYTES("a\xff"
                     "b"),
               "\"a\\ufffdb\"");
    check_text(BYTES("\xc3"), "\"\\ufffd\"");
    check_text(BYTES("\xe4\xb8"), "\"\\ufffd\""); /* cut short: one replacement */
    check_text(BYTES("\xe4\xb8x"), "\"\\ufffdx\"");
    check_text((struct wire_bytes){(const uint8_t *)"\xe4\xb8\x96", 2}, "\"\\ufffd\""); /* what follows is not its */
    check_text(BYTES("\xc0\x80"), "\"\\ufffd\\ufffd\"");                                /* overlong */
    check_text(BYTES("\xe0\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
    check_text(BYTES("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");            /* a surrogate */
    check_text(BYTES("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\""); /* above U+10FFFF */
}

TEST(a_span_with_everything)
{
    Opentelemetry__Proto__Trace__V1__Span span = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__INIT;
    Opentelemetry__Proto__Trace__V1__Status status = OPENTELEMETRY__PROTO__TRACE__V1__STATUS__INIT;
    Opentelemetry__Proto__Common__V1__KeyValue attribute = OPENTELEMETRY__PROTO__COMMON__V1__KEY_VALUE__INIT;
    Opentelemetry__Proto__Common__V1__KeyValue *attributes[] = {&attribute, &attribute};
    Opentelemetry__Proto__Trace__V1__Span__Link link = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__LINK__INIT;
    Opentelemetry__Proto__Trace__V1__Span__Link *links[] = {&link};
    Opentelemetry__Proto__Trace__V1__Span__Event event = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__EVENT__INIT;
    Opentelemetry__Proto__Trace__V1__Span__Event *events[] = {&event, &event};
    any_value value = ANY_INIT;
    uint8_t trace_id[16] = {0x0a, [15] = 0xff}, span_id[8] = {1}, parent_id[8] = {2};
    value.value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_BOOL_VALUE;
    value.bool_value = 1;
    attribute.key = (char[]){"k"};
    attribute.value = &value;
    link.trace_id = span.trace_id = (ProtobufCBinaryData){sizeof(trace_id), trace_id};
    link.span_id = span.span_id = (ProtobufCBinaryData){sizeof(span_id), span_id};
    link.flags = 0x101;
    span.parent_span_id = (ProtobufCBinaryData){sizeof(parent_id), parent_id};
    span.trace_state = (char[]){"a=b"};
    span.name = (char[]){"GET"};
    span.kind = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__SPAN_KIND__SPAN_KIND_CLIENT;
    span.start_time_unix_nano = 1;
    span.end_time_unix_nano = UINT64_MAX;
    span.attributes = attributes, span.n_attributes = 2;
    span.dropped_attributes_count = UINT32_MAX;
    event.time_unix_nano = 7;
    event.name = (char[]){"e"};
    span.events = events, span.n_events = 2;
    span.links = links, span.n_links = 1;
    status.message = (char[]){"no"};
    status.code = OPENTELEMETRY__PROTO__TRACE__V1__STATUS__STATUS_CODE__STATUS_CODE_ERROR;
    span.status = &status;
    span.flags = 0x301;
    check_packed(&span.base,
                 "{\"traceId\":\"0a0000000000000000000000000000ff\",\"spanId\":\"0100000000000000\","
                 "\"traceState\":\"a=b\",\"parentSpanId\":\"0200000000000000\",\"name\":\"GET\",\"kind\":3,"
                 "\"startTimeUnixNano\":\"1\",\"endTimeUnixNano\":\"18446744073709551615\","
                 "\"attributes\":[{\"key\":\"k\",\"value\":{\"boolValue\":true}},"
                 "{\"key\":\"k\",\"value\":{\"boolValue\":true}}],\"droppedAttributesCount\":4294967295,"
                 "\"events\":[{\"timeUnixNano\":\"7\",\"name\":\"e\"},{\"timeUnixNano\":\"7\",\"name\":\"e\"}],"
                 "\"links\":[{\"traceId\":\"0a0000000000000000000000000000ff\",\"spanId\":\"0100000000000000\","
                 "\"flags\":257}],\"status\":{\"message\":\"no\",\"code\":2},\"flags\":769}");
}

TEST(fields_in_any_order_and_unknown_ones)
{
    /* unknown 100 (varint), attribute a, name "1", attribute b, name "2" */
    check_json(SPAN,
               BYTES("\xa0\x06\x05\x4a\x03\x0a\x01"
                     "a\x2a\x01"
                     "1\x4a\x03\x0a\x01"
                     "b\x2a\x01"
                     "2"),
               "{\"name\":\"2\",\"attributes\":[{\"key\":\"a\"},{\"key\":\"b\"}]}");
}

TEST(of_a_oneof_the_last_one_counts)
{
    check_json(ANY, BYTES("\x18\x05\x0a\x01x"), "{\"stringValue\":\"x\"}");
    check_json(ANY, BYTES("\x0a\x01x\x18\x05"), "{\"intValue\":\"5\"}");
    check_json(ANY, BYTES(""), "{}");
}

TEST(what_is_not_protobuf_is_refused)
{
    static const struct wire_bytes bad[] = {
        BYTES("\x0a"),                                             /* no length */
        BYTES("\x0a\x05xx"),                                       /* past the end */
        BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),     /* far past it */
        BYTES("\x18\x80"),                                         /* half a varint */
        BYTES("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),     /* over 64 bits */
        BYTES("\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), /* eleven bytes */
        BYTES("\x21\x01\x02"),                                     /* half a double */
        BYTES("\x02\x00"),                                         /* field 0 */
        BYTES("\x2a\x05\x0a\x00"),                                 /* a message past the end */
        BYTES("\x0b"),                                             /* a group */
        BYTES("\x0f"),                                             /* no such wire type */
        BYTES("\x08\x01"),                                         /* a string as varint */
        BYTES("\x2a\x01\x0a"),                                     /* broken inside */
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint8_t *exact = malloc(bad[i].len); /* so that the address sanitizer sees reading past it */
        memcpy(exact, bad[i].data, bad[i].len);
        ck_assert_msg(wire_check(ANY, (struct wire_bytes){exact, bad[i].len}) == -EBADMSG, "number %zu is taken", i);
        free(exact);
    }
}

/* AnyValue in ArrayValue in AnyValue ..., from the inside out. */
static size_t nest(uint8_t *out, size_t capacity, unsigned levels)
{
    size_t at = capacity, bytes = 0;
    for (unsigned i = 0; i < levels; i++) {
        uint8_t lengths[8];
        size_t count = 0;
        for (size_t left = bytes; count == 0 || left > 0; left >>= 7)
            lengths[count++] = (uint8_t)((left & 0x7f) | (left >> 7 ? 0x80 : 0));
        at -= count + 1;
        ck_assert_uint_lt(at, capacity);
        out[at] = i % 2 ? 0x2a : 0x0a;
        memcpy(out + at + 1, lengths, count);
        bytes = capacity - at;
    }
    memmove(out, out + at, bytes);
    return bytes;
}

TEST(nesting_is_bounded)
{
    static uint8_t bytes[1 << 20];
    ck_assert_int_eq(wire_check(ANY, (struct wire_bytes){bytes, nest(bytes, sizeof(bytes), WIRE_MAX_DEPTH - 2)}), 0);
    ck_assert_int_eq(wire_check(ANY, (struct wire_bytes){bytes, nest(bytes, sizeof(bytes), WIRE_MAX_DEPTH + 2)}),
                     -EBADMSG);
    ck_assert_int_eq(wire_check(ANY, (struct wire_bytes){bytes, nest(bytes, sizeof(bytes), 100000)}), -EBADMSG);
}
