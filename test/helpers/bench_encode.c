/* SPDX-License-Identifier: MIT
 *
 * The encoder beside protobuf-c, same 512 spans, ns a span: medians of paired rounds. Arguments: rounds (201).
 * protobuf-c twice: structs from malloc, as its users write it, and from an arena that is reset, the best it can do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../support/span_model.h"
#include "batch.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

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
    type *name = take(arena, sizeof *name);                                                                            \
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
    span->attributes = take(arena, 8 * sizeof *span->attributes);
    for (const uint8_t *at = view->items, *end = at + view->items_bytes; at < end;) {
        struct aistrace_item item;
        memcpy(&item, at, sizeof item);
        const uint8_t *key = at + sizeof item, *value = key + item.key_bytes;
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
    request->resource_spans = take(arena, sizeof *request->resource_spans);
    request->resource_spans[0] = resource_spans;
    resource_spans->scope_spans = take(arena, sizeof *resource_spans->scope_spans);
    resource_spans->scope_spans[0] = scope_spans;
    scope_spans->n_spans = SPANS;
    scope_spans->spans = take(arena, SPANS * sizeof *scope_spans->spans);
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

static size_t by_batch(struct batch_pool *pool)
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
    size_t bytes = batch_bytes(batch);
    batch_finish(batch, &(struct batch_outcome){.exported = true});
    return bytes;
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

enum { DECODE, ENCODE, BATCH, PROTOBUF_C_ARENA, PROTOBUF_C, WAYS };

int main(int argc, char **argv)
{
    static const char *const names[] = {"record_decode", "otlp_encode_span", "batch (open, add, seal, finish)",
                                        "protobuf-c build + pack, arena", "protobuf-c build + pack, malloc"};
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 201;
    double *ns[WAYS], *ratios[WAYS];
    struct arena arena = {.data = malloc(ARENA_BYTES)}, heap = {0};
    uint8_t *packed = malloc(1 << 20);
    struct buf out = {0};
    struct batch_pool *pool;
    if (rounds == 0 || !arena.data || !packed || batch_pool_new(&pool) != 0)
        return EXIT_FAILURE;
    for (size_t w = 0; w < WAYS; w++) {
        ns[w] = malloc(rounds * sizeof *ns[w]);
        ratios[w] = malloc(rounds * sizeof *ratios[w]);
        if (!ns[w] || !ratios[w])
            return EXIT_FAILURE;
    }
    for (size_t i = 0; i < SPANS; i++) {
        struct model_span span;
        model_span_usual(&span, i * 977);
        model_span_record(&span, &records[i]);
        model_span_done(&span);
    }
    size_t bytes = 0;
    for (size_t r = 0; r < rounds; r++) {
        double at[WAYS + 1];
        at[DECODE] = now_ns();
        decode_all();
        at[ENCODE] = now_ns();
        bytes = by_encoder(&out);
        at[BATCH] = now_ns();
        by_batch(pool);
        at[PROTOBUF_C_ARENA] = now_ns();
        by_protobuf_c(&arena, packed);
        at[PROTOBUF_C] = now_ns();
        by_protobuf_c(&heap, packed);
        at[WAYS] = now_ns();
        for (size_t w = 0; w < WAYS; w++) {
            ns[w][r] = (at[w + 1] - at[w]) / SPANS;
            ratios[w][r] = (at[w + 1] - at[w]) / (at[BATCH] - at[ENCODE]);
        }
    }
    printf("%zu bytes a span on the wire, %zu in the record\n", bytes / SPANS, records[0].len);
    for (size_t w = 0; w < WAYS; w++)
        printf("%-34s %8.1f ns  %6.1f x\n", names[w], median(ns[w], rounds), median(ratios[w], rounds));
    for (size_t w = 0; w < WAYS; w++) {
        free(ns[w]);
        free(ratios[w]);
    }
    for (size_t i = 0; i < SPANS; i++)
        buf_done(&records[i]);
    batch_pool_free(pool);
    buf_done(&out);
    free(arena.data);
    free(packed);
    return EXIT_SUCCESS;
}
