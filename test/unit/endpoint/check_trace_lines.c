/* SPDX-License-Identifier: MIT
 *
 * From requests into the store and out again as lines, with things happening in between.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/ingest.h"
#include "endpoint/traces/trace_lines.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "support/test.h"

enum { MESSAGE_MAX = 4096 };

static struct store *store;

static void set_up(void)
{
    ck_assert_int_eq(store_new(STORE_MIN_BYTES, 7, &store), 0);
}

static void tear_down(void)
{
    store_free(store);
}

FIXTURE(set_up, tear_down);

struct written {
    const char *service;
    uint8_t trace, span;
    size_t span_id_bytes; /* 0: 8 */
    uint64_t end_ns;
};

/* A request of one span, packed by protobuf-c. */
static size_t pack(uint8_t *out, const struct written *written)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest request =
        OPENTELEMETRY__PROTO__COLLECTOR__TRACE__V1__EXPORT_TRACE_SERVICE_REQUEST__INIT;
    Opentelemetry__Proto__Trace__V1__ResourceSpans group = OPENTELEMETRY__PROTO__TRACE__V1__RESOURCE_SPANS__INIT;
    Opentelemetry__Proto__Trace__V1__ResourceSpans *groups[] = {&group};
    Opentelemetry__Proto__Trace__V1__ScopeSpans scope = OPENTELEMETRY__PROTO__TRACE__V1__SCOPE_SPANS__INIT;
    Opentelemetry__Proto__Trace__V1__ScopeSpans *scopes[] = {&scope};
    Opentelemetry__Proto__Trace__V1__Span span = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__INIT;
    Opentelemetry__Proto__Trace__V1__Span *spans[] = {&span};
    Opentelemetry__Proto__Resource__V1__Resource resource = OPENTELEMETRY__PROTO__RESOURCE__V1__RESOURCE__INIT;
    Opentelemetry__Proto__Common__V1__KeyValue attribute = OPENTELEMETRY__PROTO__COMMON__V1__KEY_VALUE__INIT;
    Opentelemetry__Proto__Common__V1__KeyValue *attributes[] = {&attribute};
    Opentelemetry__Proto__Common__V1__AnyValue value = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__INIT;
    uint8_t trace_id[16] = {[15] = written->trace}, span_id[16] = {[7] = written->span};
    char service[64];
    snprintf(service, sizeof(service), "%s", written->service);
    value.value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE;
    value.string_value = service;
    attribute.key = (char[]){"service.name"};
    attribute.value = &value;
    resource.attributes = attributes, resource.n_attributes = 1;
    span.trace_id = (ProtobufCBinaryData){sizeof(trace_id), trace_id};
    span.span_id = (ProtobufCBinaryData){written->span_id_bytes ? written->span_id_bytes : 8, span_id};
    span.name = (char[]){"op"};
    span.start_time_unix_nano = 10;
    span.end_time_unix_nano = written->end_ns ? written->end_ns : 20;
    scope.spans = spans, scope.n_spans = 1;
    group.resource = &resource;
    group.scope_spans = scopes, group.n_scope_spans = 1;
    request.resource_spans = groups, request.n_resource_spans = 1;
    ck_assert_uint_le(protobuf_c_message_get_packed_size(&request.base), MESSAGE_MAX);
    return protobuf_c_message_pack(&request.base, out);
}

static struct ingest_result send(const struct written *written)
{
    uint8_t bytes[MESSAGE_MAX];
    struct ingest_result result;
    ck_assert_int_eq(ingest(store, (struct wire_bytes){bytes, pack(bytes, written)}, 0, &result), 0);
    return result;
}

/* All there is, taken in pieces; each line must be JSON. -> lines */
static size_t read_all(struct trace_lines *lines, size_t want, struct buf *out)
{
    int more;
    size_t count = 0;
    while ((more = trace_lines_next(lines, out, want)) > 0)
        ;
    ck_assert_int_eq(more, 0);
    for (size_t at = 0; at < out->len; count++) {
        const uint8_t *end = memchr(out->data + at, '\n', out->len - at);
        ck_assert_ptr_nonnull(end);
        size_t bytes = (size_t)(end - out->data) - at;
        json_t *line = json_loadb((const char *)out->data + at, bytes, 0, NULL);
        ck_assert_msg(line, "not JSON: %.*s", (int)bytes, out->data + at);
        json_decref(line);
        at += bytes + 1;
    }
    return count;
}

static size_t count_lines(const struct trace_filter *filter, size_t want)
{
    struct trace_lines *lines;
    struct buf out = {0};
    ck_assert_int_eq(trace_lines_new(store, filter, &lines), 0);
    size_t count = read_all(lines, want, &out);
    trace_lines_free(lines);
    buf_done(&out);
    return count;
}

TEST(a_trace_of_two_services_is_one_line_with_two_resources)
{
    static const char expected[] =
        "{\"resourceSpans\":["
        "{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"a\"}}]},"
        "\"scopeSpans\":[{\"scope\":{},\"spans\":["
        "{\"traceId\":\"00000000000000000000000000000001\",\"spanId\":\"0000000000000001\",\"name\":\"op\","
        "\"startTimeUnixNano\":\"10\",\"endTimeUnixNano\":\"20\"},"
        "{\"traceId\":\"00000000000000000000000000000001\",\"spanId\":\"0000000000000003\",\"name\":\"op\","
        "\"startTimeUnixNano\":\"10\",\"endTimeUnixNano\":\"20\"}]}]},"
        "{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"b\"}}]},"
        "\"scopeSpans\":[{\"scope\":{},\"spans\":["
        "{\"traceId\":\"00000000000000000000000000000001\",\"spanId\":\"0000000000000002\",\"name\":\"op\","
        "\"startTimeUnixNano\":\"10\",\"endTimeUnixNano\":\"20\"}]}]}]}\n";
    send(&(struct written){.service = "b", .trace = 2, .span = 1}); /* b is known earlier than a */
    send(&(struct written){.service = "a", .trace = 1, .span = 1});
    send(&(struct written){.service = "b", .trace = 1, .span = 2});
    send(&(struct written){.service = "a", .trace = 1, .span = 3});
    for (size_t want = 1; want <= sizeof(expected); want += 97) {
        struct trace_lines *lines;
        struct buf out = {0};
        ck_assert_int_eq(trace_lines_new(store, &(struct trace_filter){.limit = 1}, &lines), 0);
        ck_assert_uint_eq(read_all(lines, want, &out), 1);
        ck_assert_int_eq(buf_append(&out, "", 1), 0);
        ck_assert_str_eq((const char *)out.data, expected);
        trace_lines_free(lines);
        buf_done(&out);
    }
}

TEST(filters_choose_and_the_limit_takes_the_newest)
{
    for (uint8_t i = 1; i <= 20; i++)
        send(&(struct written){.service = i % 2 ? "odd" : "even", .trace = i, .span = 1, .end_ns = 10u + i});
    ck_assert_uint_eq(count_lines(&(struct trace_filter){0}, 100), 20);
    ck_assert_uint_eq(count_lines(&(struct trace_filter){.limit = 3}, 100), 3);
    ck_assert_uint_eq(count_lines(&(struct trace_filter){.service = "odd"}, 100), 10);
    ck_assert_uint_eq(count_lines(&(struct trace_filter){.service = "od"}, 100), 0);
    ck_assert_uint_eq(count_lines(&(struct trace_filter){.service = "odd", .name = "op"}, 100), 10);
    ck_assert_uint_eq(count_lines(&(struct trace_filter){.name = "o"}, 100), 0);
    ck_assert_uint_eq(count_lines(&(struct trace_filter){.min_duration_ns = 15}, 100), 6);
    ck_assert_uint_eq(count_lines(&(struct trace_filter){.by_id = true, .trace_id = {[15] = 5}}, 100), 1);
    ck_assert_uint_eq(count_lines(&(struct trace_filter){.by_id = true, .trace_id = {[15] = 99}}, 100), 0);
}

TEST(a_filter_comes_from_parameters)
{
    static const struct {
        const char *key, *value;
    } wrong[] = {{"trace", ""},
                 {"trace", "12"},
                 {"trace", "0000000000000000000000000000000x"},
                 {"limit", ""},
                 {"limit", "-1"},
                 {"limit", "1x"},
                 {"limit", "18446744073709551616"},
                 {"min_duration", ""},
                 {"min_duration", "5"},
                 {"min_duration", "ms"}};
    struct trace_filter filter = {0};
    ck_assert_ptr_null(trace_filter_set(&filter, "service", "a"));
    ck_assert_ptr_null(trace_filter_set(&filter, "name", "b"));
    ck_assert_ptr_null(trace_filter_set(&filter, "trace", "000102030405060708090A0b0c0d0e0f"));
    ck_assert_ptr_null(trace_filter_set(&filter, "limit", "7"));
    ck_assert_ptr_null(trace_filter_set(&filter, "min_duration", "10ms"));
    ck_assert_str_eq(filter.service, "a");
    ck_assert_str_eq(filter.name, "b");
    ck_assert(filter.by_id);
    for (uint8_t i = 0; i < sizeof(filter.trace_id); i++)
        ck_assert_uint_eq(filter.trace_id[i], i);
    ck_assert_uint_eq(filter.limit, 7);
    ck_assert_uint_eq(filter.min_duration_ns, 10000000);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        const char *problem = trace_filter_set(&filter, wrong[i].key, wrong[i].value);
        ck_assert_ptr_nonnull(problem);
        ck_assert_msg(strncmp(problem, wrong[i].key, strlen(wrong[i].key)) == 0, "%s", problem);
    }
    ck_assert_ptr_nonnull(trace_filter_set(&filter, "nonsense", ""));
}

TEST(eviction_in_the_middle_of_reading_leaves_whole_lines)
{
    struct trace_lines *lines;
    struct store_stats stats;
    struct buf out = {0};
    for (uint8_t i = 1; i <= 50; i++) {
        send(&(struct written){.service = "a", .trace = i, .span = 1});
        send(&(struct written){.service = "b", .trace = i, .span = 2});
    }
    ck_assert_int_eq(trace_lines_new(store, &(struct trace_filter){0}, &lines), 0);
    ck_assert_int_eq(trace_lines_next(lines, &out, 1), 1); /* now inside of the first trace */
    for (uint64_t more = 0; more < 20000; more++) {
        static const uint8_t none[64];
        struct store_group *group;
        struct store_span span = {.trace_id = {1}, .message = {none, sizeof(none)}};
        memcpy(span.span_id, &more, sizeof(more));
        span.span_id[7] = 1;
        memcpy(span.trace_id + 1, &more, sizeof(more));
        ck_assert_int_eq(store_hold_group(store, &(struct store_origin){0}, &group), 0);
        ck_assert_int_eq(store_add(store, group, &span, 0), 1);
        store_release_group(store, group);
    }
    store_get_stats(store, &stats);
    ck_assert_uint_gt(stats.evicted_traces, 50);
    ck_assert_uint_eq(read_all(lines, 1, &out), 1); /* the one begun; the others are gone */
    trace_lines_free(lines);
    buf_done(&out);
}

TEST(reading_may_be_given_up_at_any_point)
{
    for (uint8_t i = 1; i <= 3; i++)
        send(&(struct written){.service = "a", .trace = i, .span = 1});
    for (unsigned pieces = 0; pieces < 12; pieces++) {
        struct trace_lines *lines;
        struct buf out = {0};
        ck_assert_int_eq(trace_lines_new(store, &(struct trace_filter){0}, &lines), 0);
        for (unsigned i = 0; i < pieces; i++)
            trace_lines_next(lines, &out, 1);
        trace_lines_free(lines);
        buf_done(&out);
    }
    trace_lines_free(NULL);
}

TEST(what_is_no_span_is_rejected_and_the_rest_is_kept)
{
    struct ingest_result result = send(&(struct written){.service = "a", .trace = 0, .span = 1});
    ck_assert_uint_eq(result.rejected, 1);
    ck_assert_ptr_nonnull(result.problem);
    ck_assert_uint_eq(send(&(struct written){.service = "a", .trace = 1, .span = 0}).rejected, 1);
    ck_assert_uint_eq(send(&(struct written){.service = "a", .trace = 1, .span = 1, .span_id_bytes = 7}).rejected, 1);
    ck_assert_uint_eq(send(&(struct written){.service = "a", .trace = 1, .span = 1, .span_id_bytes = 9}).rejected, 1);
    ck_assert_uint_eq(send(&(struct written){.service = "a", .trace = 1, .span = 1, .end_ns = 9}).rejected, 1);
    ck_assert_uint_eq(send(&(struct written){.service = "a", .trace = 1, .span = 1}).kept, 1);
    ck_assert_uint_eq(send(&(struct written){.service = "a", .trace = 1, .span = 1}).duplicates, 1);
    ck_assert_uint_eq(count_lines(&(struct trace_filter){.service = "a"}, 100), 1);
}

TEST(a_request_cut_short_stores_nothing)
{
    uint8_t bytes[MESSAGE_MAX];
    struct ingest_result result = {.kept = 77};
    struct store_stats stats;
    size_t size = pack(bytes, &(struct written){.service = "a", .trace = 1, .span = 1});
    for (size_t cut = 1; cut < size; cut++) {
        uint8_t *exact = malloc(cut); /* so that reading past it is noticed */
        memcpy(exact, bytes, cut);
        ck_assert_int_eq(ingest(store, (struct wire_bytes){exact, cut}, 0, &result), -EBADMSG);
        free(exact);
    }
    store_get_stats(store, &stats);
    ck_assert_uint_eq(stats.received, 0);
    ck_assert_uint_eq(result.kept, 77);
}

TEST(any_byte_may_be_wrong)
{
    uint8_t bytes[MESSAGE_MAX];
    size_t size = pack(bytes, &(struct written){.service = "a", .trace = 1, .span = 1});
    for (size_t at = 0; at < size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct ingest_result result;
            uint8_t *wrong = malloc(size);
            memcpy(wrong, bytes, size);
            wrong[at] ^= (uint8_t)(1u << bit);
            int err = ingest(store, (struct wire_bytes){wrong, size}, 0, &result);
            ck_assert(!err || err == -EBADMSG);
            free(wrong);
        }
    }
    count_lines(&(struct trace_filter){0}, 100); /* and what came of it is still JSON */
}
