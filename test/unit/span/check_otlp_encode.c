/* SPDX-License-Identifier: MIT
 *
 * What the encoder writes, unpacked by protobuf-c and compared field by field with what was meant.
 */
#include <stdlib.h>
#include <string.h>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "span/otlp_encode.h"
#include "span/otlp_resource.h"
#include "support/span_model.h"
#include "support/test.h"

#define REQUEST(name)  Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest *name
#define REQUEST_UNPACK opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack
#define REQUEST_PACK   opentelemetry__proto__collector__trace__v1__export_trace_service_request__pack
#define REQUEST_PACKED opentelemetry__proto__collector__trace__v1__export_trace_service_request__get_packed_size
#define REQUEST_FREE(request)                                                                                          \
    opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(request, NULL)

/* OTLP's names with less before them. */
#define KEY_VALUE    Opentelemetry__Proto__Common__V1__KeyValue
#define ANY_VALUE    Opentelemetry__Proto__Common__V1__AnyValue
#define ANY_IS(kind) OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_##kind
#define SPAN         Opentelemetry__Proto__Trace__V1__Span

static const struct buf no_resource = {0};

/* Bytes of fields that the encoder writes even with their default: times. */
static size_t defaults_bytes(const SPAN *span)
{
    size_t times = 0u + (span->start_time_unix_nano == 0) + (span->end_time_unix_nano == 0);
    for (size_t i = 0; i < span->n_events; i++)
        times += span->events[i]->time_unix_nano == 0;
    return 9 * times;
}

/* Encodes into one request and unpacks it. */
static REQUEST(encode(const struct span_view *view, uint64_t *invalid_text))
{
    struct buf spans = {0}, request = {0};
    ck_assert_int_eq(otlp_encode_span(&spans, view, invalid_text), 0);
    ck_assert_int_eq(otlp_encode_group_head(&request, &no_resource, spans.len), 0);
    ck_assert_uint_eq(request.len, otlp_group_head_bytes(0, spans.len));
    ck_assert_int_eq(buf_append(&request, spans.data, spans.len), 0);
    REQUEST(unpacked) = REQUEST_UNPACK(NULL, request.len, request.data);
    ck_assert_msg(unpacked, "protobuf-c does not unpack it");
    ck_assert_uint_eq(unpacked->n_resource_spans, 1);
    ck_assert_uint_eq(unpacked->resource_spans[0]->n_scope_spans, 1);
    ck_assert_str_eq(unpacked->resource_spans[0]->scope_spans[0]->scope->name, "aistrace");
    ck_assert_str_eq(unpacked->resource_spans[0]->scope_spans[0]->scope->version, AISTRACE_BUILD_VERSION);
    ck_assert_uint_eq(unpacked->resource_spans[0]->scope_spans[0]->n_spans, 1);
    /* Every length and number in its shortest form, no field twice: then both agree on the size. But lengths of outer
     * messages can grow by a byte with the defaults inside. */
    size_t defaults = defaults_bytes(unpacked->resource_spans[0]->scope_spans[0]->spans[0]);
    ck_assert_uint_ge(request.len, REQUEST_PACKED(unpacked) + defaults);
    ck_assert_uint_le(request.len, REQUEST_PACKED(unpacked) + defaults + (defaults ? 4 * defaults : 0));
    buf_done(&spans);
    buf_done(&request);
    return unpacked;
}

static void decode(const struct buf *record, uint16_t flags, struct span_view *view)
{
    const char *problem = "none";
    int err = record_decode(record->data, record->len, AISTRACE_RECORD_SPAN, flags, view, &problem);
    ck_assert_msg(!err, "record_decode: %s", problem);
}

static void same_text(const char *got, const struct model_text *want)
{
    ck_assert_uint_eq(strlen(got), want->want.len);
    if (want->want.len)
        ck_assert_mem_eq(got, want->want.data, want->want.len);
}

static void same_bytes(ProtobufCBinaryData got, const void *want, size_t bytes)
{
    ck_assert_uint_eq(got.len, bytes);
    if (bytes)
        ck_assert_mem_eq(got.data, want, bytes);
}

static void same_value(const ANY_VALUE *got, const struct model_attribute *want)
{
    ck_assert_ptr_nonnull(got);
    switch (want->type) {
    case AISTRACE_VALUE_STRING:
        ck_assert_int_eq(got->value_case, ANY_IS(STRING_VALUE));
        same_text(got->string_value, &want->text);
        break;
    case AISTRACE_VALUE_BOOL:
        ck_assert_int_eq(got->value_case, ANY_IS(BOOL_VALUE));
        ck_assert_int_eq(got->bool_value, want->boolean);
        break;
    case AISTRACE_VALUE_INT:
        ck_assert_int_eq(got->value_case, ANY_IS(INT_VALUE));
        ck_assert_int_eq(got->int_value, want->integer);
        break;
    case AISTRACE_VALUE_DOUBLE:
        ck_assert_int_eq(got->value_case, ANY_IS(DOUBLE_VALUE));
        ck_assert_mem_eq(&got->double_value, &want->real, sizeof(want->real));
        break;
    case AISTRACE_VALUE_BYTES:
        ck_assert_int_eq(got->value_case, ANY_IS(BYTES_VALUE));
        same_bytes(got->bytes_value, want->text.raw.data, want->text.raw.len);
        break;
    default:
        ck_assert_int_eq(got->value_case, ANY_IS(ARRAY_VALUE));
        ck_assert_uint_eq(got->array_value->n_values, want->string_count);
        for (size_t i = 0; i < want->string_count; i++) {
            ck_assert_int_eq(got->array_value->values[i]->value_case, ANY_IS(STRING_VALUE));
            same_text(got->array_value->values[i]->string_value, &want->strings[i]);
        }
    }
}

static bool same_key(const struct model_attribute *a, const struct model_attribute *b)
{
    return a->key.raw.len == b->key.raw.len &&
           (a->key.raw.len == 0 || memcmp(a->key.raw.data, b->key.raw.data, a->key.raw.len) == 0);
}

static uint64_t bad_texts(const struct model_attribute *attribute)
{
    uint64_t bad = attribute->key.bad;
    bad += attribute->type == AISTRACE_VALUE_STRING && attribute->text.bad;
    for (size_t i = 0; i < attribute->string_count; i++)
        bad += attribute->strings[i].bad;
    return bad;
}

/* Of old programs: OTLP wants no empty keys. */
static uint32_t keyless(const struct model_attributes *attributes)
{
    uint32_t count = 0;
    for (size_t i = 0; i < attributes->count; i++)
        count += attributes->list[i].key.raw.len == 0;
    return count;
}

/* Each key once, where it first stood, with its last value. -> how many texts had bytes replaced */
static uint64_t same_attributes(KEY_VALUE *const *got, size_t got_count, const struct model_attributes *want)
{
    size_t position = 0;
    uint64_t bad = 0;
    for (size_t i = 0; i < want->count; i++) {
        const struct model_attribute *last = &want->list[i];
        bool first = last->key.raw.len > 0;
        for (size_t k = 0; k < want->count; k++) {
            if (k < i && same_key(&want->list[k], &want->list[i]))
                first = false;
            if (k > i && same_key(&want->list[k], &want->list[i]))
                last = &want->list[k];
        }
        if (!first)
            continue;
        ck_assert_uint_lt(position, got_count);
        same_text(got[position]->key, &last->key);
        same_value(got[position]->value, last);
        bad += bad_texts(last);
        position++;
    }
    ck_assert_uint_eq(position, got_count);
    return bad;
}

static uint64_t same_events(const SPAN *got, const struct model_span *want)
{
    uint64_t bad = 0;
    ck_assert_uint_eq(got->n_events, want->event_count);
    for (size_t i = 0; i < want->event_count; i++) {
        const struct model_event *event = &want->events[i];
        ck_assert_uint_eq(got->events[i]->time_unix_nano, event->time_unix_ns);
        ck_assert_uint_eq(got->events[i]->dropped_attributes_count,
                          event->dropped_attributes + keyless(&event->attributes));
        if (event->name.raw.len)
            same_text(got->events[i]->name, &event->name);
        else
            ck_assert_str_eq(got->events[i]->name, "unknown");
        bad += event->name.bad;
        bad += same_attributes(got->events[i]->attributes, got->events[i]->n_attributes, &event->attributes);
    }
    return bad;
}

static uint64_t same_links(const SPAN *got, const struct model_span *want)
{
    uint64_t bad = 0;
    ck_assert_uint_eq(got->n_links, want->link_count);
    for (size_t i = 0; i < want->link_count; i++) {
        const struct model_link *link = &want->links[i];
        same_bytes(got->links[i]->trace_id, link->fixed.trace_id, 16);
        same_bytes(got->links[i]->span_id, link->fixed.span_id, 8);
        same_text(got->links[i]->trace_state, &link->trace_state);
        ck_assert_uint_eq(got->links[i]->dropped_attributes_count,
                          link->fixed.dropped_attributes + keyless(&link->attributes));
        ck_assert_uint_eq(got->links[i]->flags, link->fixed.trace_flags + 256u + 512u * link->fixed.remote);
        bad += link->trace_state.bad;
        bad += same_attributes(got->links[i]->attributes, got->links[i]->n_attributes, &link->attributes);
    }
    return bad;
}

static void same_status(const SPAN *got, const struct model_span *want)
{
    if (want->fixed.status == 0) {
        ck_assert_ptr_null(got->status);
        return;
    }
    ck_assert_ptr_nonnull(got->status);
    ck_assert_int_eq((int)got->status->code, want->fixed.status);
    if (want->fixed.status == 2)
        same_text(got->status->message, &want->status_message);
    else
        ck_assert_str_eq(got->status->message, "");
}

static uint64_t same_span(const SPAN *got, const struct model_span *want)
{
    static const uint8_t no_parent[8];
    const struct aistrace_span_record *fixed = &want->fixed;
    same_bytes(got->trace_id, fixed->trace_id, 16);
    same_bytes(got->span_id, fixed->span_id, 8);
    same_bytes(got->parent_span_id, fixed->parent_span_id,
               memcmp(fixed->parent_span_id, no_parent, sizeof(no_parent)) ? 8 : 0);
    if (want->name.raw.len)
        same_text(got->name, &want->name);
    else
        ck_assert_str_eq(got->name, "unknown");
    same_text(got->trace_state, &want->trace_state);
    ck_assert_int_eq((int)got->kind, fixed->kind);
    ck_assert_uint_eq(got->start_time_unix_nano, fixed->start_unix_ns);
    bool saturates = fixed->duration_ns > UINT64_MAX - fixed->start_unix_ns;
    ck_assert_uint_eq(got->end_time_unix_nano, saturates ? UINT64_MAX : fixed->start_unix_ns + fixed->duration_ns);
    ck_assert_uint_eq(got->dropped_attributes_count, fixed->dropped_attributes + keyless(&want->attributes));
    ck_assert_uint_eq(got->dropped_events_count, fixed->dropped_events);
    ck_assert_uint_eq(got->dropped_links_count, fixed->dropped_links);
    ck_assert_uint_eq(got->flags, fixed->trace_flags + 256u + (want->flags & AISTRACE_REMOTE_PARENT ? 512u : 0));
    same_status(got, want);
    uint64_t bad = want->name.bad;
    bad += want->trace_state.bad;
    bad += fixed->status == 2 && want->status_message.bad;
    bad += same_attributes(got->attributes, got->n_attributes, &want->attributes);
    return bad + same_events(got, want) + same_links(got, want);
}

static void round_trip(const struct model_span *span)
{
    struct buf record = {0};
    struct span_view view;
    uint64_t invalid_text = 1000;
    model_span_record(span, &record);
    /* In memory of exactly its size, so that a sanitizer sees the first byte read past it. */
    uint8_t *exact = malloc(record.len);
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, record.data, record.len);
    size_t bytes = record.len;
    buf_done(&record);
    decode(&(struct buf){.data = exact, .len = bytes}, span->flags, &view);
    REQUEST(request) = encode(&view, &invalid_text);
    uint64_t bad = same_span(request->resource_spans[0]->scope_spans[0]->spans[0], span);
    ck_assert_uint_eq(invalid_text, 1000 + bad);
    REQUEST_FREE(request);
    free(exact);
}

static void random_round_trips(int size, unsigned count)
{
    struct model_random random = {.state = 42u + (unsigned)size};
    for (unsigned i = 0; i < count; i++) {
        struct model_span span;
        model_span_random(&span, &random, size);
        round_trip(&span);
        model_span_done(&span);
    }
}

TIMEOUT(120);

TEST(small_spans_arrive_as_meant)
{
    random_round_trips(0, 20000);
}

TEST(spans_with_everything_arrive_as_meant)
{
    random_round_trips(1, 3000);
}

TEST(spans_at_the_limits_arrive_as_meant)
{
    random_round_trips(2, 500);
}

/* Lengths around each step of a length's own size, for every place that has one. */
TEST(lengths_at_every_step_of_their_encoding)
{
    static const size_t steps[] = {0, 1, 7, 8, 9, 100, 127, 128, 16383, 16384, 2097151, 2097152};
    char *text = malloc(2097152 + 40);
    ck_assert_ptr_nonnull(text);
    memset(text, 'x', 2097152 + 40);
    for (size_t s = 0; s < COUNT(steps); s++) {
        size_t around = steps[s] < 40 ? steps[s] : 40;
        for (size_t bytes = steps[s] - around; bytes <= steps[s] + (steps[s] > 20000 ? 2 : 20); bytes++) {
            struct model_span span;
            model_span_usual(&span, bytes);
            struct model_event event = {.time_unix_ns = 1};
            char kept = text[bytes];
            text[bytes] = '\0';
            model_text_set(&span.attributes.list[0].text, text);
            if (bytes <= AISTRACE_KEY_MAX)
                model_text_set(&span.attributes.list[4].key, text);
            if (bytes < 1000)
                model_text_set(&event.name, text);
            model_text_set(&span.name, text);
            model_text_set(&span.status_message, text);
            span.fixed.status = 2;
            text[bytes] = kept;
            span.events = malloc(sizeof(event));
            ck_assert_ptr_nonnull(span.events);
            span.events[0] = event;
            span.events[0].attributes.list = calloc(1, 1);
            span.event_count = 1;
            round_trip(&span);
            model_span_done(&span);
        }
    }
    free(text);
}

TEST(the_barest_record_is_a_span)
{
    struct model_span span = {.fixed = {.trace_id = {[15] = 1}, .span_id = {[7] = 1}, .kind = 1}};
    struct buf record = {0};
    struct span_view view;
    uint64_t invalid_text = 0;
    ck_assert_int_eq(buf_append(&record, &span.fixed, sizeof(span.fixed)), 0);
    decode(&record, 0, &view);
    REQUEST(request) = encode(&view, &invalid_text);
    same_span(request->resource_spans[0]->scope_spans[0]->spans[0], &span);
    REQUEST_FREE(request);
    buf_done(&record);
}

TEST(the_last_of_repeated_texts_wins)
{
    struct model_span span;
    struct buf record = {0};
    struct span_view view;
    uint64_t invalid_text = 0;
    model_span_usual(&span, 1);
    model_span_record(&span, &record);
    model_item(&record, AISTRACE_ITEM_NAME, 0, NULL, 0, "later", 5);
    model_item(&record, AISTRACE_ITEM_TRACE_STATE, 0, NULL, 0, "a=1", 3);
    model_item(&record, AISTRACE_ITEM_TRACE_STATE, 0, NULL, 0, "b=2", 3);
    decode(&record, 0, &view);
    REQUEST(request) = encode(&view, &invalid_text);
    const SPAN *got = request->resource_spans[0]->scope_spans[0]->spans[0];
    ck_assert_str_eq(got->name, "later");
    ck_assert_str_eq(got->trace_state, "b=2");
    REQUEST_FREE(request);
    model_span_done(&span);
    buf_done(&record);
}

/* The encoder's slow path counts a text with replaced bytes once, not once per attempt. */
TEST(repaired_texts_are_counted_once_beside_repeated_keys)
{
    struct buf record = {0};
    struct span_view view;
    uint64_t invalid_text = 0;
    struct aistrace_span_record fixed = {.trace_id = {1}, .span_id = {1}, .kind = 1};
    ck_assert_int_eq(buf_append(&record, &fixed, sizeof(fixed)), 0);
    model_item(&record, AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, "a", 1, "\xff", 1);
    model_item(&record, AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, "b", 1, "1", 1);
    model_item(&record, AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, "b", 1, "2", 1);
    decode(&record, 0, &view);
    REQUEST(request) = encode(&view, &invalid_text);
    const SPAN *got = request->resource_spans[0]->scope_spans[0]->spans[0];
    ck_assert_uint_eq(got->n_attributes, 2);
    ck_assert_str_eq(got->attributes[0]->value->string_value, "\ufffd");
    ck_assert_str_eq(got->attributes[1]->value->string_value, "2");
    ck_assert_uint_eq(invalid_text, 1);
    REQUEST_FREE(request);
    buf_done(&record);
}

static void resource_is(const struct buf *items, const struct resource_settings *settings, const char *want)
{
    struct buf encoded = {0}, request = {0}, got = {0};
    uint64_t invalid_text = 0;
    const char *problem = "none";
    ck_assert_msg(record_check_resource(items->data, items->len, &problem) == 0, "%s", problem);
    ck_assert_int_eq(otlp_encode_resource(&encoded, items->data, items->len, settings, &invalid_text), 0);
    ck_assert_int_eq(otlp_encode_group_head(&request, &encoded, 0), 0);
    ck_assert_uint_eq(request.len, otlp_group_head_bytes(encoded.len, 0));
    ck_assert_uint_ge(otlp_group_head_max(&encoded), request.len);
    REQUEST(unpacked) = REQUEST_UNPACK(NULL, request.len, request.data);
    ck_assert_ptr_nonnull(unpacked);
    ck_assert_uint_eq(REQUEST_PACKED(unpacked), request.len);
    Opentelemetry__Proto__Resource__V1__Resource *resource = unpacked->resource_spans[0]->resource;
    for (size_t i = 0; i < resource->n_attributes; i++) {
        const KEY_VALUE *attribute = resource->attributes[i];
        if (attribute->value->value_case == ANY_IS(INT_VALUE))
            ck_assert_int_eq(buf_printf(&got, "%s=%lld ", attribute->key, (long long)attribute->value->int_value), 0);
        else
            ck_assert_int_eq(buf_printf(&got, "%s=%s ", attribute->key, attribute->value->string_value), 0);
    }
    ck_assert_int_eq(buf_append(&got, "", 1), 0);
    ck_assert_str_eq((char *)got.data, want);
    REQUEST_FREE(unpacked);
    buf_done(&encoded);
    buf_done(&request);
    buf_done(&got);
}

static void add_string(struct buf *items, const char *key, const char *value)
{
    model_item(items, AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, key, strlen(key), value, strlen(value));
}

TEST(service_name_is_prefix_and_role_or_the_service)
{
    struct resource_settings settings = {.service_prefix = "aistore"}, bare = {.service_prefix = ""};
    struct buf role = {0}, service = {0}, neither = {0};
    model_item(&role, AISTRACE_ITEM_ROLE, 0, NULL, 0, "proxy", 5);
    model_item(&service, AISTRACE_ITEM_SERVICE, 0, NULL, 0, "checkout", 8);
    resource_is(&role, &settings, "service.name=aistore-proxy ");
    resource_is(&role, &bare, "service.name=proxy ");
    resource_is(&service, &settings, "service.name=checkout ");
    resource_is(&neither, &settings, "service.name=unknown_service ");
    buf_done(&role);
    buf_done(&service);
}

TEST(an_empty_role_or_service_is_none)
{
    struct resource_settings none = {0};
    struct buf items = {0};
    model_item(&items, AISTRACE_ITEM_ROLE, 0, NULL, 0, "", 0);
    resource_is(&items, &none, "service.name=unknown_service ");
    items.len = 0;
    model_item(&items, AISTRACE_ITEM_SERVICE, 0, NULL, 0, "", 0);
    resource_is(&items, &none, "service.name=unknown_service ");
    items.len = 0;
    model_item(&items, AISTRACE_ITEM_ROLE, 0, NULL, 0, "proxy", 5);
    resource_is(&items, &none, "service.name=proxy ");
    buf_done(&items);
}

/* Also those that are as long as one of the producer's, or as service.name. */
TEST(keys_are_compared_byte_by_byte)
{
    struct resource_attribute configured[] = {{"zone", "b"}};
    struct resource_settings settings = {.attributes = configured, .attribute_count = 1};
    struct buf items = {0};
    add_string(&items, "zonk", "1");
    add_string(&items, "service.nomo", "2");
    resource_is(&items, &settings, "service.name=unknown_service zonk=1 service.nomo=2 zone=b ");
    buf_done(&items);
}

TEST(the_producers_attributes_win_over_configured_ones)
{
    struct resource_attribute configured[] = {{"version", "configured"}, {"zone", "b"}, {"service.name", "x"}};
    struct resource_settings settings = {.service_prefix = "aistore", .attributes = configured, .attribute_count = 3};
    struct buf items = {0};
    int64_t pid = 77;
    add_string(&items, "version", "1");
    model_item(&items, AISTRACE_ITEM_ROLE, 0, NULL, 0, "target", 6);
    model_item(&items, AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_INT, "process.pid", 11, &pid, 8);
    add_string(&items, "service.name", "y");
    add_string(&items, "version", "2");
    add_string(&items, "host\xff", "h\xff");
    resource_is(&items, &settings, "service.name=aistore-target process.pid=77 version=2 host\ufffd=h\ufffd zone=b ");
    buf_done(&items);
}
