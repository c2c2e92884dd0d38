/* SPDX-License-Identifier: MIT
 *
 * The query API's answers, field by field, its parameters, and what strangers may send.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint/ingest.h"
#include "endpoint/jaeger/jaeger_api.h"
#include "endpoint/otlp/attribute.h"
#include "endpoint/traces/parameter.h"
#include "endpoint/traces/trace_search.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "support/test.h"

enum { MESSAGE_MAX = 16384, PARAMETERS_MAX = 64 };
static const uint64_t now_ns = 1000000000000;

static struct store *store;

static void set_up(void)
{
    ck_assert_int_eq(store_new(STORE_MIN_BYTES * 16, 7, &store), 0);
}

static void tear_down(void)
{
    store_free(store);
}

FIXTURE(set_up, tear_down);

/* ---- spans ---- */

typedef Opentelemetry__Proto__Common__V1__KeyValue Pair;
typedef Opentelemetry__Proto__Common__V1__AnyValue Value;

struct pairs {
    Pair pairs[12];
    Pair *list[12];
    Value values[12];
    size_t count;
};

static Value *pair_add(struct pairs *pairs, const char *key, int kind)
{
    size_t i = pairs->count++;
    pairs->values[i] = (Value)OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__INIT;
    pairs->values[i].value_case = (Opentelemetry__Proto__Common__V1__AnyValue__ValueCase)kind;
    pairs->pairs[i] = (Pair)OPENTELEMETRY__PROTO__COMMON__V1__KEY_VALUE__INIT;
    pairs->pairs[i].key = (char *)key;
    pairs->pairs[i].value = &pairs->values[i];
    pairs->list[i] = &pairs->pairs[i];
    return &pairs->values[i];
}

struct written {
    const char *service, *name;
    uint8_t trace;
    uint16_t span, parent;
    int kind, status;
    uint64_t start_us, duration_us;
    const char *tag, *value;
    bool rich; /* with everything */
};

static size_t pack(uint8_t *out, const struct written *written)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest request =
        OPENTELEMETRY__PROTO__COLLECTOR__TRACE__V1__EXPORT_TRACE_SERVICE_REQUEST__INIT;
    Opentelemetry__Proto__Trace__V1__ResourceSpans group = OPENTELEMETRY__PROTO__TRACE__V1__RESOURCE_SPANS__INIT;
    Opentelemetry__Proto__Trace__V1__ResourceSpans *groups[] = {&group};
    Opentelemetry__Proto__Trace__V1__ScopeSpans spans_of = OPENTELEMETRY__PROTO__TRACE__V1__SCOPE_SPANS__INIT;
    Opentelemetry__Proto__Trace__V1__ScopeSpans *scopes[] = {&spans_of};
    Opentelemetry__Proto__Common__V1__InstrumentationScope scope =
        OPENTELEMETRY__PROTO__COMMON__V1__INSTRUMENTATION_SCOPE__INIT;
    Opentelemetry__Proto__Trace__V1__Span span = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__INIT;
    Opentelemetry__Proto__Trace__V1__Span *spans[] = {&span};
    Opentelemetry__Proto__Trace__V1__Span__Event event = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__EVENT__INIT;
    Opentelemetry__Proto__Trace__V1__Span__Event *events[] = {&event};
    Opentelemetry__Proto__Trace__V1__Span__Link link = OPENTELEMETRY__PROTO__TRACE__V1__SPAN__LINK__INIT;
    Opentelemetry__Proto__Trace__V1__Span__Link *links[] = {&link};
    Opentelemetry__Proto__Trace__V1__Status status = OPENTELEMETRY__PROTO__TRACE__V1__STATUS__INIT;
    Opentelemetry__Proto__Resource__V1__Resource resource = OPENTELEMETRY__PROTO__RESOURCE__V1__RESOURCE__INIT;
    Opentelemetry__Proto__Common__V1__ArrayValue array = OPENTELEMETRY__PROTO__COMMON__V1__ARRAY_VALUE__INIT;
    Value one = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__INIT, *elements[] = {&one, &one};
    struct pairs of_resource = {0}, of_span = {0}, of_event = {0};
    uint8_t trace_id[16] = {[0] = 0xab, [15] = written->trace},
            span_id[8] = {[6] = (uint8_t)(written->span >> 8), [7] = (uint8_t)written->span};
    uint8_t parent_id[8] = {[7] = (uint8_t)written->parent}, bytes[] = {1, 2, 3};

    pair_add(&of_resource, "service.name", ATTRIBUTE_STRING)->string_value = (char *)written->service;
    pair_add(&of_resource, "process.pid", ATTRIBUTE_INT)->int_value = 42;
    resource.attributes = of_resource.list, resource.n_attributes = of_resource.count;
    span.trace_id = (ProtobufCBinaryData){sizeof(trace_id), trace_id};
    span.span_id = (ProtobufCBinaryData){sizeof(span_id), span_id};
    span.parent_span_id = (ProtobufCBinaryData){written->parent ? sizeof(parent_id) : 0, parent_id};
    span.name = (char *)written->name;
    span.kind = (Opentelemetry__Proto__Trace__V1__Span__SpanKind)written->kind;
    span.start_time_unix_nano = written->start_us * 1000;
    span.end_time_unix_nano = (written->start_us + written->duration_us) * 1000;
    status.code = (Opentelemetry__Proto__Trace__V1__Status__StatusCode)written->status;
    span.status = &status;
    if (written->tag)
        pair_add(&of_span, written->tag, ATTRIBUTE_STRING)->string_value = (char *)written->value;
    if (written->rich) {
        one.value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE;
        one.string_value = (char *)"a\"b";
        array.values = elements, array.n_values = 2;
        pair_add(&of_span, "text", ATTRIBUTE_STRING)->string_value = (char *)"<b>\x01";
        pair_add(&of_span, "yes", ATTRIBUTE_BOOL)->bool_value = true;
        pair_add(&of_span, "int", ATTRIBUTE_INT)->int_value = -7;
        pair_add(&of_span, "big", ATTRIBUTE_INT)->int_value = INT64_MAX;
        pair_add(&of_span, "real", ATTRIBUTE_DOUBLE)->double_value = 0.5;
        pair_add(&of_span, "array", ATTRIBUTE_ARRAY)->array_value = &array;
        pair_add(&of_span, "bytes", ATTRIBUTE_BYTES)->bytes_value = (ProtobufCBinaryData){sizeof(bytes), bytes};
        pair_add(&of_event, "host", ATTRIBUTE_STRING)->string_value = (char *)"t1";
        event.name = (char *)"redirected";
        event.time_unix_nano = written->start_us * 1000 + 5000;
        event.attributes = of_event.list, event.n_attributes = of_event.count;
        span.events = events, span.n_events = 1;
        link.trace_id = span.trace_id, link.span_id = span.span_id;
        span.links = links, span.n_links = 1;
        span.trace_state = (char *)"k=v";
        span.dropped_events_count = 3;
        span.flags = 0x101;
        status.message = (char *)"disk full";
        scope.name = (char *)"aistrace", scope.version = (char *)"1.2";
        spans_of.scope = &scope;
    }
    span.attributes = of_span.list, span.n_attributes = of_span.count;
    spans_of.spans = spans, spans_of.n_spans = 1;
    group.resource = &resource;
    group.scope_spans = scopes, group.n_scope_spans = 1;
    request.resource_spans = groups, request.n_resource_spans = 1;
    ck_assert_uint_le(protobuf_c_message_get_packed_size(&request.base), MESSAGE_MAX);
    return protobuf_c_message_pack(&request.base, out);
}

static void add(const struct written *written)
{
    uint8_t bytes[MESSAGE_MAX];
    struct ingest_result result;
    ck_assert_int_eq(ingest(store, (struct wire_bytes){bytes, pack(bytes, written)}, 0, &result), 0);
    ck_assert_uint_eq(result.kept, 1);
}

/* Two traces: a request through proxy and target, and an error of another service a second later. */
static void add_usual(void)
{
    add(&(struct written){.service = "proxy",
                          .name = "PUT /o",
                          .trace = 1,
                          .span = 1,
                          .kind = 2,
                          .start_us = 5000000,
                          .duration_us = 2500,
                          .tag = "bucket",
                          .value = "nnn"});
    add(&(struct written){.service = "target",
                          .name = "PUT /t",
                          .trace = 1,
                          .span = 2,
                          .parent = 1,
                          .kind = 2,
                          .start_us = 5001000,
                          .duration_us = 1000,
                          .rich = true,
                          .status = 2});
    add(&(struct written){.service = "shop",
                          .name = "buy",
                          .trace = 2,
                          .span = 3,
                          .kind = 3,
                          .start_us = 6000000,
                          .duration_us = 1200000,
                          .status = 1});
}

/* ---- requests ---- */

static struct wire_bytes text(const char *from)
{
    return (struct wire_bytes){(const uint8_t *)from, strlen(from)};
}

/* "key=value" each, NULL ends; want: the piece asked for at a time. */
static json_t *get_in_pieces(size_t want, unsigned status, const char *path, const char *const *parameters)
{
    struct trace_query_parameter list[PARAMETERS_MAX];
    struct jaeger_answer *answer;
    struct buf out = {0};
    size_t count = 0;
    for (; parameters && *parameters; parameters++) {
        const char *equals = strchr(*parameters, '=');
        list[count].key = (struct wire_bytes){(const uint8_t *)*parameters, (size_t)(equals - *parameters)};
        list[count++].value = text(equals + 1);
    }
    ck_assert_int_eq(jaeger_api_get(store, path, list, count, now_ns, &answer), 0);
    ck_assert_uint_eq(jaeger_answer_status(answer), status);
    int more;
    while ((more = jaeger_answer_next(answer, &out, want)) > 0)
        ;
    ck_assert_int_eq(more, 0);
    jaeger_answer_free(answer);
    json_error_t problem;
    json_t *json = json_loadb((const char *)out.data, out.len, 0, &problem);
    ck_assert_msg(json, "not JSON: %s: %.*s", problem.text, (int)out.len, out.data);
    buf_done(&out);
    return json;
}

#define get(status, path, ...) get_in_pieces(1 << 16, status, path, (const char *const[]){__VA_ARGS__, NULL})

static void assert_json(const json_t *json, const char *expected)
{
    json_error_t problem;
    json_t *want = json_loads(expected, JSON_DECODE_ANY, &problem);
    char *is = json_dumps(json, JSON_ENCODE_ANY | JSON_INDENT(1));
    ck_assert_msg(want, "expected: %s", problem.text);
    ck_assert_msg(json_equal((json_t *)json, want), "is %s", is);
    json_decref(want);
    free(is);
}

static size_t count_traces(const char *const *parameters)
{
    json_t *json = get_in_pieces(1 << 16, 200, "/api/traces", parameters);
    size_t count = json_array_size(json_object_get(json, "data"));
    json_t *summaries = get_in_pieces(1 << 16, 200, "/v1/summaries", parameters);
    ck_assert_uint_eq(json_array_size(json_object_get(summaries, "traces")), count);
    json_decref(summaries);
    json_decref(json);
    return count;
}
#define traces(...) count_traces((const char *const[]){__VA_ARGS__, NULL})

static void assert_problem(const char *path, const char *const *parameters, unsigned status, const char *part)
{
    json_t *json = get_in_pieces(1 << 16, status, path, parameters);
    ck_assert(json_is_null(json_object_get(json, "data")));
    const json_t *error = json_array_get(json_object_get(json, "errors"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(error, "code")), status);
    const char *message = json_string_value(json_object_get(error, "msg"));
    ck_assert_msg(message && strstr(message, part), "says: %s", message);
    json_decref(json);
}
#define refused(parameter, part) assert_problem("/api/traces", (const char *const[]){parameter, NULL}, 400, part)

/* ---- shapes ---- */

#define ENVELOPE(total) ",\"total\":" total ",\"limit\":0,\"offset\":0,\"errors\":null}"

TEST(services_and_operations_are_sorted_names)
{
    add_usual();
    json_t *json = get(200, "/api/services", NULL);
    assert_json(json, "{\"data\":[\"proxy\",\"shop\",\"target\"]" ENVELOPE("3"));
    json_decref(json);
    json = get(200, "/api/services/target/operations", NULL);
    assert_json(json, "{\"data\":[\"PUT /t\"]" ENVELOPE("1"));
    json_decref(json);
    json = get(200, "/api/operations", "service=shop");
    assert_json(json, "{\"data\":[{\"name\":\"buy\",\"spanKind\":\"client\"}]" ENVELOPE("1"));
    json_decref(json);
    json = get(200, "/api/operations", "service=shop", "spanKind=server");
    assert_json(json, "{\"data\":[]" ENVELOPE("0"));
    json_decref(json);
    json = get(200, "/api/dependencies", NULL);
    assert_json(json, "{\"data\":[]" ENVELOPE("0"));
    json_decref(json);
}

TEST(a_service_may_be_called_anything)
{
    add(&(struct written){.service = "a/b/operations", .name = "x", .trace = 1, .span = 1});
    json_t *json = get(200, "/api/services/a/b/operations/operations", NULL);
    assert_json(json, "{\"data\":[\"x\"]" ENVELOPE("1"));
    json_decref(json);
}

TEST(an_empty_store_has_empty_lists)
{
    static const char *const paths[] = {"/api/services", "/api/traces", "/api/services/x/operations"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        json_t *json = get(200, paths[i], NULL);
        assert_json(json, "{\"data\":[]" ENVELOPE("0"));
        json_decref(json);
    }
}

#define TRACE                "ab000000000000000000000000000001"
#define TEXT_TAG(key, value) "{\"key\":\"" key "\",\"type\":\"string\",\"value\":\"" value "\"}"

TEST(a_trace_has_every_field_in_its_place)
{
    /* clang-format off */
    static const char expected[] =
        "{\"traceID\":\"" TRACE "\",\"warnings\":null,\"spans\":["
        "{\"traceID\":\"" TRACE "\",\"spanID\":\"0000000000000001\",\"flags\":1,\"operationName\":\"PUT /o\","
        "\"references\":[],\"startTime\":5000000,\"duration\":2500,"
        "\"tags\":[" TEXT_TAG("bucket", "nnn") "," TEXT_TAG("span.kind", "server") "],"
        "\"logs\":[],\"processID\":\"%s\",\"warnings\":null},"
        "{\"traceID\":\"" TRACE "\",\"spanID\":\"0000000000000002\",\"flags\":1,\"operationName\":\"PUT /t\","
        "\"references\":[{\"refType\":\"CHILD_OF\",\"traceID\":\"" TRACE "\",\"spanID\":\"0000000000000001\"},"
        "{\"refType\":\"FOLLOWS_FROM\",\"traceID\":\"" TRACE "\",\"spanID\":\"0000000000000002\"}],"
        "\"startTime\":5001000,\"duration\":1000,"
        "\"tags\":[" TEXT_TAG("otel.scope.name", "aistrace") "," TEXT_TAG("otel.scope.version", "1.2") ","
        TEXT_TAG("text", "<b>\\u0001") ",{\"key\":\"yes\",\"type\":\"bool\",\"value\":true},"
        "{\"key\":\"int\",\"type\":\"int64\",\"value\":-7}," TEXT_TAG("big", "9223372036854775807") ","
        "{\"key\":\"real\",\"type\":\"float64\",\"value\":0.5},"
        TEXT_TAG("array", "[\\\"a\\\\\\\"b\\\",\\\"a\\\\\\\"b\\\"]") ","
        "{\"key\":\"bytes\",\"type\":\"binary\",\"value\":\"AQID\"}," TEXT_TAG("span.kind", "server") ","
        TEXT_TAG("otel.status_code", "ERROR") ",{\"key\":\"error\",\"type\":\"bool\",\"value\":true},"
        TEXT_TAG("otel.status_description", "disk full") "," TEXT_TAG("w3c.tracestate", "k=v") ","
        "{\"key\":\"otel.dropped_events_count\",\"type\":\"int64\",\"value\":3}],"
        "\"logs\":[{\"timestamp\":5001005,\"fields\":["
        TEXT_TAG("event", "redirected") "," TEXT_TAG("host", "t1") "]}],"
        "\"processID\":\"%s\",\"warnings\":null}],"
        "\"processes\":{\"%s\":{\"serviceName\":\"proxy\",\"tags\":[{\"key\":\"process.pid\",\"type\":\"int64\","
        "\"value\":42}]},\"%s\":{\"serviceName\":\"target\",\"tags\":[{\"key\":\"process.pid\",\"type\":\"int64\","
        "\"value\":42}]}}}";
    /* clang-format on */
    char text_of[8192];
    add_usual();
    for (size_t want = 1; want < 4000; want += 333) {
        json_t *json = get_in_pieces(want, 200, "/api/traces/" TRACE, NULL);
        const json_t *trace = json_array_get(json_object_get(json, "data"), 0);
        const char *first =
            json_string_value(json_object_get(json_array_get(json_object_get(trace, "spans"), 0), "processID"));
        const char *second = strcmp(first, "p1") == 0 ? "p2" : "p1"; /* which is which is not promised */
        snprintf(text_of, sizeof(text_of), expected, first, second, first, second);
        assert_json(trace, text_of);
        json_object_del(json, "data");
        assert_json(json, "{\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}");
        json_decref(json);
    }
}

TEST(a_summary_says_what_a_list_shows)
{
    add_usual();
    json_t *json = get(200, "/v1/summaries", "service=proxy");
    assert_json(json,
                "{\"traces\":[{\"traceID\":\"" TRACE
                "\",\"start_ns\":\"5000000000\",\"duration_ns\":2500000,\"spans\":2,\"errors\":1,"
                "\"complete\":true,\"root\":{\"service\":\"proxy\",\"name\":\"PUT /o\"},\"services\":["
                "{\"name\":\"proxy\",\"spans\":1,\"errors\":0},{\"name\":\"target\",\"spans\":1,\"errors\":1}]}]}");
    json_decref(json);
}

TEST(a_summary_of_centuries_is_json_still)
{
    uint64_t centuries_us = UINT64_MAX / 1000 - 1;
    add(&(struct written){.service = "a", .name = "early", .trace = 1, .span = 2, .start_us = 1});
    add(&(struct written){
        .service = "a", .name = "late", .trace = 1, .span = 3, .parent = 2, .start_us = centuries_us});
    json_t *json = get(200, "/v1/summaries", NULL);
    const json_t *trace = json_array_get(json_object_get(json, "traces"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(trace, "duration_ns")), INT64_MAX);
    json_decref(json);
}

TEST(a_trace_without_its_root_starts_with_its_first_span)
{
    add(&(struct written){.service = "b", .name = "late", .trace = 1, .span = 2, .parent = 9, .start_us = 20});
    add(&(struct written){.service = "a", .name = "early", .trace = 1, .span = 3, .parent = 9, .start_us = 10});
    json_t *json = get(200, "/v1/summaries", NULL);
    const json_t *trace = json_array_get(json_object_get(json, "traces"), 0);
    ck_assert(json_is_false(json_object_get(trace, "complete")));
    assert_json(json_object_get(trace, "root"), "{\"service\":\"a\",\"name\":\"early\"}");
    json_decref(json);
}

TEST(errors_have_jaegers_form)
{
    json_t *json = get(404, "/api/traces/1", NULL);
    assert_json(json, "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":404,"
                      "\"msg\":\"trace not found\"}]}");
    json_decref(json);
    static const char *const wrong[] = {"/api/traces/", "/api/traces/xyz", "/api/traces/1/2",
                                        "/api/traces/000000000000000000000000000000001"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_problem(wrong[i], NULL, 400, "hexadecimal");
    assert_problem("/api/nothing", NULL, 404, "no such path");
    assert_problem("/api/", NULL, 404, "no such path");
    assert_problem("/api/operations", NULL, 400, "'service' is required");
}

/* ---- parameters ---- */

TEST(every_parameter_chooses)
{
    add_usual();
    ck_assert_uint_eq(traces("limit=20"), 2);
    ck_assert_uint_eq(traces("limit=1"), 1);
    ck_assert_uint_eq(traces("limit=0"), 2);
    ck_assert_uint_eq(traces("service=proxy"), 1);
    ck_assert_uint_eq(traces("service=prox"), 0);
    ck_assert_uint_eq(traces("service=", "operation="), 2);
    ck_assert_uint_eq(traces("service=proxy", "operation=PUT /o"), 1);
    ck_assert_uint_eq(traces("service=proxy", "operation=PUT /t"), 0); /* one span has to have both */
    ck_assert_uint_eq(traces("minDuration=1.2s"), 1);
    ck_assert_uint_eq(traces("minDuration=1.3s"), 0);
    ck_assert_uint_eq(traces("minDuration=", "maxDuration="), 2);
    ck_assert_uint_eq(traces("maxDuration=1ms"), 1);
    ck_assert_uint_eq(traces("maxDuration=999us"), 0);
    ck_assert_uint_eq(traces("start=6000000"), 1);
    ck_assert_uint_eq(traces("start=6000001"), 0);
    ck_assert_uint_eq(traces("end=5000000"), 1);
    ck_assert_uint_eq(traces("end=4999999"), 0);
    ck_assert_uint_eq(traces("lookback=995s"), 2);
    ck_assert_uint_eq(traces("lookback=994s"), 1);
    ck_assert_uint_eq(traces("lookback=1h"), 2);
    ck_assert_uint_eq(traces("lookback=1s", "start=0"), 2); /* start says more */
    ck_assert_uint_eq(traces("lookback=custom"), 2);
    ck_assert_uint_eq(traces("traceID=" TRACE), 1);
    ck_assert_uint_eq(traces("traceID=" TRACE, "traceID=77"), 1);
    ck_assert_uint_eq(traces("whatever=x", "raw=true"), 2);
}

TEST(tags_are_looked_for_wherever_jaeger_shows_them)
{
    static const char *const one_trace[] = {"{\"bucket\":\"nnn\"}",
                                            "{\"error\":\"true\"}",
                                            "{\"error\":true}",
                                            "{\"int\":-7}",
                                            "{\"int\":\"-7\"}",
                                            "{\"real\":\"0.5\"}",
                                            "{\"yes\":\"true\"}",
                                            "{\"array\":\"[\\\"a\\\\\\\"b\\\",\\\"a\\\\\\\"b\\\"]\"}",
                                            "{\"bytes\":\"\\\"AQID\\\"\"}",
                                            "{\"event\":\"redirected\"}",
                                            "{\"host\":\"t1\"}",
                                            "{\"span.kind\":\"server\"}",
                                            "{\"otel.status_code\":\"ERROR\"}",
                                            "{\"otel.status_code\":\"OK\"}",
                                            "{\"otel.status_description\":\"disk full\"}",
                                            "{\"otel.scope.name\":\"aistrace\"}",
                                            "{\"otel.scope.version\":\"1.2\"}",
                                            "{\"w3c.tracestate\":\"k=v\"}",
                                            "{\"big\":\"9223372036854775807\"}",
                                            "{\"error\":\"true\",\"process.pid\":\"42\"}",
                                            "{\"text\":\"<b>\\u0001\"}"};
    static const char *const none[] = {"{\"bucket\":\"nn\"}", "{\"error\":\"false\"}",
                                       "{\"bucket\":\"\"}",   "{\"bucket\":\"nnn\",\"error\":\"true\"}",
                                       "{\"\":\"x\"}",        "{\"span.kind\":\"internal\"}",
                                       "{\"yes\":\"false\"}"};
    char parameter[256];
    add_usual();
    for (size_t i = 0; i < COUNT(one_trace); i++) {
        snprintf(parameter, sizeof(parameter), "tags=%s", one_trace[i]);
        ck_assert_msg(traces(parameter) == 1, "%s", parameter);
    }
    for (size_t i = 0; i < COUNT(none); i++) {
        snprintf(parameter, sizeof(parameter), "tags=%s", none[i]);
        ck_assert_msg(traces(parameter) == 0, "%s", parameter);
    }
    ck_assert_uint_eq(traces("tags={\"process.pid\":42}"), 2);
    ck_assert_uint_eq(traces("tags={}"), 2);
    ck_assert_uint_eq(traces("tags="), 2);
    ck_assert_uint_eq(traces("tag=bucket:nnn"), 1);
    ck_assert_uint_eq(traces("tag=error:true", "tag=host:t1"), 1);
    ck_assert_uint_eq(traces("tag=error:true", "tag=bucket:nnn"), 0);
}

TEST(durations_are_read_as_go_writes_them)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"0", 0},
                {"1ns", 1},
                {"1.5us", 1500},
                {"100ms", 100000000},
                {"1.2s", 1200000000},
                {"500us", 500000},
                {"2\xc2\xb5s", 2000},
                {"1h30m", 5400000000000},
                {".5s", 500000000},
                {"2d", 172800000000000}};
    static const char *const bad[] = {"",
                                      "1",
                                      "s",
                                      "1.2.3s",
                                      "-1s",
                                      "1 s",
                                      "1x",
                                      "1s5",
                                      "1e3s",
                                      "0x1s",
                                      "inf",
                                      "999999999999999999999999s",
                                      "99999999999h",
                                      "\xff"};
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t ns = 99;
        ck_assert_msg(parameter_duration(text(good[i].text), &ns) && ns == good[i].ns, "%s: %llu", good[i].text,
                      (unsigned long long)ns);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t ns = 99;
        ck_assert_msg(!parameter_duration(text(bad[i]), &ns) && ns == 99, "%s", bad[i]);
    }
}

TEST(wrong_parameters_are_named)
{
    refused("limit=x", "'limit'");
    refused("limit=-1", "'limit'");
    refused("limit=", "'limit'");
    refused("limit=99999999999999999999", "'limit'");
    refused("start=1.5", "'start'");
    refused("end=now", "'end'");
    refused("minDuration=5", "'minDuration'");
    refused("maxDuration=x", "'maxDuration'");
    refused("lookback=x", "'lookback'");
    refused("traceID=xyz", "'traceID'");
    refused("tag=x", "key:value");
    refused("tag=:x", "key:value");
    refused("tags=x", "JSON object");
    refused("tags=[]", "JSON object");
    refused("tags={\"a\":{}}", "a tag's value");
    refused("tags={\"a\":1,\"a\":2}", "JSON object");
    assert_problem("/api/traces", (const char *const[]){"minDuration=2s", "maxDuration=1s", NULL}, 400,
                   "'maxDuration'");
    assert_problem("/v1/summaries", (const char *const[]){"limit=x", NULL}, 400, "'limit'");
}

TEST(more_tags_than_sense_are_refused)
{
    const char *many[TRACE_QUERY_MAX_TAGS + 2] = {0};
    for (size_t i = 0; i < TRACE_QUERY_MAX_TAGS; i++)
        many[i] = "tag=bucket:nnn";
    add_usual();
    ck_assert_uint_eq(count_traces(many), 1);
    many[TRACE_QUERY_MAX_TAGS] = "tag=bucket:nnn";
    assert_problem("/api/traces", many, 400, "at most 32");
}

/* ---- strangers, and spans that come meanwhile ---- */

TEST(any_bytes_as_parameters_are_answered)
{
    static const char *const keys[] = {"service",     "operation",   "spanKind", "tags", "tag",
                                       "minDuration", "maxDuration", "start",    "end",  "lookback",
                                       "limit",       "traceID",     ""};
    static const char *const paths[] = {"/api/traces", "/v1/summaries", "/api/operations", "/api/services"};
    uint64_t state = 12345;
    add_usual();
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t value[24];
        struct jaeger_answer *answer;
        struct buf out = {0};
        for (size_t i = 0; i < sizeof(value); i++) {
            static const char likely[] = "0123456789smhd.:{}[]\",\\ \xc2\xb5";
            state = state * 6364136223846793005 + 1442695040888963407;
            value[i] = state >> 63 ? (uint8_t)(state >> 40) : (uint8_t)likely[(state >> 33) % (sizeof(likely) - 1)];
        }
        struct trace_query_parameter parameter = {text(keys[round % (COUNT(keys))]),
                                                  {value, (state >> 35) % (sizeof(value) + 1)}};
        ck_assert_int_eq(jaeger_api_get(store, paths[round % 4], &parameter, 1, now_ns, &answer), 0);
        while (jaeger_answer_next(answer, &out, 1000) > 0)
            ;
        json_t *json = json_loadb((const char *)out.data, out.len, 0, NULL);
        ck_assert_msg(json, "not JSON: %.*s", (int)out.len, out.data);
        json_decref(json);
        jaeger_answer_free(answer);
        buf_done(&out);
    }
}

TEST(spans_may_come_and_go_while_an_answer_is_read)
{
    struct jaeger_answer *answer;
    struct buf out = {0};
    for (unsigned i = 1; i <= 200; i++)
        add(&(struct written){.service = "a", .name = "x", .trace = (uint8_t)i, .span = 1, .rich = true});
    ck_assert_int_eq(jaeger_api_get(store, "/api/traces", NULL, 0, now_ns, &answer), 0);
    ck_assert_int_eq(jaeger_answer_next(answer, &out, 300), 1);
    struct written filler = {.service = "b", .name = "x", .rich = true};
    struct store_stats stats = {0};
    for (uint32_t i = 0; stats.evicted_traces < 300; i++) {
        uint8_t bytes[MESSAGE_MAX];
        struct ingest_result result;
        filler.trace = (uint8_t)(i % 255 + 1), filler.span = (uint16_t)(i / 255 + 2);
        size_t size = pack(bytes, &filler);
        ck_assert_uint_lt(i, 10000000);
        ck_assert_int_eq(ingest(store, (struct wire_bytes){bytes, size}, i, &result), 0);
        store_get_stats(store, &stats);
        int more = i % 64 ? 1 : jaeger_answer_next(answer, &out, 300);
        ck_assert_int_ge(more, 0);
    }
    while (jaeger_answer_next(answer, &out, 300) > 0)
        ;
    json_t *json = json_loadb((const char *)out.data, out.len, 0, NULL);
    ck_assert_ptr_nonnull(json);
    ck_assert_uint_le(json_array_size(json_object_get(json, "data")), 100);
    json_decref(json);
    jaeger_answer_free(answer);
    buf_done(&out);
}

TEST(a_search_looks_at_a_bounded_piece_at_a_time)
{
    struct trace_query *query;
    struct trace_search *search;
    const struct store_trace *found;
    char problem[TRACE_QUERY_PROBLEM_MAX];
    struct trace_query_parameter parameter = {text("tag"), text("never:there")};
    for (unsigned i = 1; i <= 250; i++)
        add(&(struct written){.service = "a", .name = "x", .trace = 1, .span = (uint8_t)i});
    ck_assert_int_eq(trace_query_parse(&parameter, 1, now_ns, &query, problem), 0);
    ck_assert_int_eq(trace_search_new(store, query, &search), 0);
    unsigned pieces = 0;
    int more;
    while ((more = trace_search_next(search, 500, &found)) == 0)
        pieces++;
    ck_assert_int_eq(more, -ENOENT);
    ck_assert_uint_ge(pieces, 30); /* 250 spans of over 64 bytes */
    trace_search_free(search);
    trace_query_free(query);
}

TEST(names_are_bounded)
{
    char name[32];
    for (unsigned i = 0; i < JAEGER_API_MAX_OPERATIONS + 100; i++) {
        snprintf(name, sizeof(name), "op-%u", i);
        uint8_t bytes[MESSAGE_MAX];
        struct ingest_result result;
        struct written written = {
            .service = "a", .name = name, .trace = (uint8_t)(i % 250 + 1), .span = (uint16_t)(i / 250 + 1)};
        ck_assert_int_eq(ingest(store, (struct wire_bytes){bytes, pack(bytes, &written)}, 0, &result), 0);
    }
    json_t *json = get(200, "/api/services/a/operations", NULL);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "data")), JAEGER_API_MAX_OPERATIONS);
    json_decref(json);
}
