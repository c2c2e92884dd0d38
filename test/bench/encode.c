/* SPDX-License-Identifier: MIT
 *
 *   encode ROUNDS
 *
 * The encoder beside protobuf-c (P4): the same 512 spans, ns a span, each way once in every round. protobuf-c twice:
 * structs from malloc, as its users write it, and from an arena that is reset, the best it can do. First of all both
 * are decoded and compared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch/batch.h"
#include "bench.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "span/otlp_encode.h"
#include "support/span_model.h"

enum { SPANS = 512, ARENA_BYTES = 4 << 20 };

static struct buf records[SPANS];
static struct span_view views[SPANS];

struct arena {
    uint8_t *data; /* NULL: malloc */
    size_t used;
};

static void *take(struct arena *arena, size_t bytes)
{
    if (!arena->data)
        return malloc(bytes);
    void *at = arena->data + arena->used;
    arena->used += (bytes + 15) & ~(size_t)15;
    return at;
}

static char *text(struct arena *arena, const uint8_t *data, size_t bytes)
{
    char *copy = take(arena, bytes + 1);
    memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    return copy;
}

static ProtobufCBinaryData binary(struct arena *arena, const uint8_t *data, size_t bytes)
{
    ProtobufCBinaryData copy = {bytes, take(arena, bytes)};
    memcpy(copy.data, data, bytes);
    return copy;
}

#define MAKE(arena, type, init, name)                                                                                  \
    type *name = take(arena, sizeof(*name));                                                                           \
    init(name)

static Opentelemetry__Proto__Trace__V1__Span *build_span(struct arena *arena, const struct span_view *view)
{
    MAKE(arena, Opentelemetry__Proto__Trace__V1__Span, opentelemetry__proto__trace__v1__span__init, span);
    const struct aistrace_span_record *fixed = &view->fixed;
    span->trace_id = binary(arena, fixed->trace_id, 16);
    span->span_id = binary(arena, fixed->span_id, 8);
    span->parent_span_id = binary(arena, fixed->parent_span_id, 8);
    span->kind = fixed->kind;
    span->start_time_unix_nano = fixed->start_unix_ns;
    span->end_time_unix_nano = fixed->start_unix_ns + fixed->duration_ns;
    span->flags = fixed->trace_flags | 0x100u;
    span->attributes = take(arena, 8 * sizeof(*span->attributes));
    for (const uint8_t *at = view->items, *end = at + view->items_bytes; at < end;) {
        struct aistrace_item item;
        memcpy(&item, at, sizeof(item));
        const uint8_t *key = at + sizeof(item), *value = key + item.key_bytes;
        at = value + item.value_bytes;
        if (item.tag == AISTRACE_ITEM_NAME) {
            span->name = text(arena, value, item.value_bytes);
            continue;
        }
        MAKE(arena, Opentelemetry__Proto__Common__V1__KeyValue, opentelemetry__proto__common__v1__key_value__init, kv);
        MAKE(arena, Opentelemetry__Proto__Common__V1__AnyValue, opentelemetry__proto__common__v1__any_value__init, any);
        kv->key = text(arena, key, item.key_bytes);
        kv->value = any;
        if (item.type == AISTRACE_VALUE_INT) {
            any->value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE;
            memcpy(&any->int_value, value, 8);
        } else {
            any->value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE;
            any->string_value = text(arena, value, item.value_bytes);
        }
        span->attributes[span->n_attributes++] = kv;
    }
    return span;
}

static size_t by_protobuf_c(struct arena *arena, uint8_t *out)
{
    arena->used = 0;
    MAKE(arena, Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest,
         opentelemetry__proto__collector__trace__v1__export_trace_service_request__init, request);
    MAKE(arena, Opentelemetry__Proto__Trace__V1__ResourceSpans, opentelemetry__proto__trace__v1__resource_spans__init,
         resource_spans);
    MAKE(arena, Opentelemetry__Proto__Trace__V1__ScopeSpans, opentelemetry__proto__trace__v1__scope_spans__init,
         scope_spans);
    request->n_resource_spans = resource_spans->n_scope_spans = 1;
    request->resource_spans = take(arena, sizeof(*request->resource_spans));
    request->resource_spans[0] = resource_spans;
    resource_spans->scope_spans = take(arena, sizeof(*resource_spans->scope_spans));
    resource_spans->scope_spans[0] = scope_spans;
    scope_spans->n_spans = SPANS;
    scope_spans->spans = take(arena, SPANS * sizeof(*scope_spans->spans));
    for (size_t i = 0; i < SPANS; i++)
        scope_spans->spans[i] = build_span(arena, &views[i]);
    size_t bytes = opentelemetry__proto__collector__trace__v1__export_trace_service_request__pack(request, out);
    if (!arena->data)
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(request, NULL);
    return bytes;
}

static size_t by_encoder(struct buf *out)
{
    uint64_t invalid_text = 0;
    out->len = 0;
    for (size_t i = 0; i < SPANS; i++)
        if (otlp_encode_span(out, &views[i], &invalid_text) != 0)
            abort();
    return out->len;
}

static void decode_all(void)
{
    const char *problem;
    for (size_t i = 0; i < SPANS; i++)
        if (record_decode(records[i].data, records[i].len, AISTRACE_RECORD_SPAN, 1, &views[i], &problem) != 0)
            abort();
}

/* out: where the request goes, or NULL. */
static void by_batch(struct batch_pool *pool, struct buf *out)
{
    static const struct buf resource;
    struct batch_limits limits = {SPANS, 1 << 20};
    struct batch *batch;
    uint64_t invalid_text = 0;
    if (batch_open(pool, &limits, 0, &batch) != 0)
        abort();
    for (size_t i = 0; i < SPANS; i++)
        if (batch_add(batch, pool, &resource, &views[i], &invalid_text) != BATCH_ADDED)
            abort();
    if (batch_seal(batch) != 0)
        abort();
    size_t parts = 0;
    const struct iovec *part = batch_parts(batch, &parts);
    for (size_t i = 0; out && i < parts; i++)
        if (buf_append(out, part[i].iov_base, part[i].iov_len) != 0)
            abort();
    batch_finish(batch, &(struct batch_outcome){.exported = true});
}

static ProtobufCMessage *span_of(const struct buf *request, size_t index, ProtobufCMessage **whole)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest *message =
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(NULL, request->len,
                                                                                         request->data);
    if (!message || message->resource_spans[0]->scope_spans[0]->n_spans != SPANS)
        bench_die("the request does not decode", 0);
    *whole = &message->base;
    return &message->resource_spans[0]->scope_spans[0]->spans[index]->base;
}

/* Both requests, decoded, hold the same spans. */
static void check_equal(const struct buf *ours, const struct buf *theirs)
{
    for (size_t i = 0; i < SPANS; i += SPANS / 8) {
        static uint8_t packed[2][4096];
        ProtobufCMessage *whole[2], *spans[2] = {span_of(ours, i, &whole[0]), span_of(theirs, i, &whole[1])};
        size_t bytes[2];
        for (int side = 0; side < 2; side++) {
            bytes[side] = protobuf_c_message_get_packed_size(spans[side]);
            if (bytes[side] > sizeof(packed[side]))
                bench_die("span too long", 0);
            protobuf_c_message_pack(spans[side], packed[side]);
            protobuf_c_message_free_unpacked(whole[side], NULL);
        }
        if (bytes[0] != bytes[1] || memcmp(packed[0], packed[1], bytes[0]) != 0)
            bench_die("the encoder and protobuf-c disagree", 0);
    }
}

static void check(struct batch_pool *pool, struct arena *arena, uint8_t *packed)
{
    struct buf ours = {0}, theirs = {.data = packed, .len = by_protobuf_c(arena, packed)};
    by_batch(pool, &ours);
    check_equal(&ours, &theirs);
    buf_done(&ours);
}

static double lap(uint64_t *since)
{
    uint64_t now = bench_now_ns(), took = now - *since;
    *since = now;
    return (double)took / SPANS;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 64;
    size_t rounds = strtoul(argv[1], NULL, 10);
    struct arena arena = {.data = malloc(ARENA_BYTES)}, heap = {0};
    uint8_t *packed = malloc(1 << 20);
    struct buf out = {0};
    struct batch_pool *pool;
    bench_pin(0);
    if (!arena.data || !packed || batch_pool_new(&pool) != 0)
        bench_die("memory", -ENOMEM);
    for (size_t i = 0; i < SPANS; i++) {
        struct model_span span;
        model_span_usual(&span, i * 977);
        model_span_record(&span, &records[i]);
        model_span_done(&span);
    }
    decode_all();
    check(pool, &arena, packed);
    printf("decode encode batch protobuf_c_arena protobuf_c span_bytes record_bytes\n");
    for (size_t r = 0; r < rounds; r++) {
        uint64_t since = bench_now_ns();
        decode_all();
        double decode = lap(&since);
        size_t bytes = by_encoder(&out);
        double encode = lap(&since);
        by_batch(pool, NULL);
        double batch = lap(&since);
        by_protobuf_c(&arena, packed);
        double from_arena = lap(&since);
        by_protobuf_c(&heap, packed);
        double from_heap = lap(&since);
        printf("%.2f %.2f %.2f %.2f %.2f %zu %zu\n", decode, encode, batch, from_arena, from_heap, bytes / SPANS,
               records[0].len);
    }
    batch_pool_free(pool);
    return 0;
}
