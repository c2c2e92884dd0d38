/* SPDX-License-Identifier: MIT
 *
 * Includes the sources it tests, so that their allocations can be counted and made to fail.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/test.h"

static size_t allocations, fail_after = SIZE_MAX;

static bool allocation_fails(void)
{
    allocations++;
    return fail_after == 0 || (fail_after != SIZE_MAX && fail_after-- == 0);
}

static void *counted_calloc(size_t count, size_t bytes)
{
    return allocation_fails() ? NULL : calloc(count, bytes);
}

static void *counted_realloc(void *data, size_t bytes)
{
    return allocation_fails() ? NULL : realloc(data, bytes);
}

#define calloc  counted_calloc
#define realloc counted_realloc
#include "base/buf.c"
#include "batch/batch.c"
#include "batch/batch_claim.c"
#include "batch/batch_pool.c"
#undef calloc
#undef realloc

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"
#include "support/span_model.h"

#define REQUEST(name)  Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest *name
#define REQUEST_UNPACK opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack
#define REQUEST_FREE(request)                                                                                          \
    opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(request, NULL)

static struct batch_pool *pool;
static struct buf resources[3];
static const struct batch_limits roomy = {.max_spans = 100000, .max_bytes = 4 << 20};
static const struct batch_outcome exported = {.exported = true};
static uint64_t invalid_text;

static void set_up(void)
{
    ck_assert_int_eq(batch_pool_new(&pool), 0);
    for (size_t i = 0; i < 3; i++) {
        char role[] = {(char)('a' + i)};
        struct buf items = {0};
        struct resource_settings settings = {.service_prefix = "p"};
        model_item(&items, AISTRACE_ITEM_ROLE, 0, NULL, 0, role, 1);
        ck_assert_int_eq(otlp_encode_resource(&resources[i], items.data, items.len, &settings, &invalid_text), 0);
        buf_done(&items);
    }
}

static void tear_down(void)
{
    batch_pool_free(pool);
    for (size_t i = 0; i < 3; i++)
        buf_done(&resources[i]);
}

FIXTURE(set_up, tear_down);

static struct batch *open_batch(const struct batch_limits *limits)
{
    struct batch *batch = NULL;
    ck_assert_int_eq(batch_open(pool, limits, 5, &batch), 0);
    return batch;
}

/* Of the usual span, which is written to `record`. */
static struct span_view usual_view(struct buf *record)
{
    struct model_span span;
    struct span_view view;
    const char *problem;
    model_span_usual(&span, 1);
    model_span_record(&span, record);
    ck_assert_int_eq(record_decode(record->data, record->len, AISTRACE_RECORD_SPAN, 0, &view, &problem), 0);
    model_span_done(&span);
    return view;
}

/* Adds the span with this number; its record's memory is gone afterwards, as in the daemon. */
static enum batch_result add(struct batch *batch, size_t producer, uint64_t number)
{
    struct model_span span;
    struct span_view view;
    struct buf record = {0};
    const char *problem;
    model_span_usual(&span, number);
    model_span_record(&span, &record);
    ck_assert_int_eq(record_decode(record.data, record.len, AISTRACE_RECORD_SPAN, span.flags, &view, &problem), 0);
    enum batch_result result = batch_add(batch, &resources[producer], &resources[producer], &view, &invalid_text);
    buf_done(&record);
    model_span_done(&span);
    return result;
}

static struct claim *claim_spans(struct batch *batch, struct claim_queue *queue, uint64_t begin, uint64_t spans)
{
    struct claim *claim = batch_claim(batch, queue, begin);
    ck_assert_ptr_nonnull(claim);
    claim->spans += spans;
    claim->end = begin + 10 * spans;
    return claim;
}

static REQUEST(sealed_request(struct batch *batch))
{
    struct buf request = {0};
    size_t count;
    ck_assert_int_eq(batch_seal(batch), 0);
    const struct iovec *parts = batch_parts(batch, &count);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(buf_append(&request, parts[i].iov_base, parts[i].iov_len), 0);
    ck_assert_uint_eq(request.len, batch_bytes(batch));
    REQUEST(unpacked) = REQUEST_UNPACK(NULL, request.len, request.data);
    ck_assert_ptr_nonnull(unpacked);
    buf_done(&request);
    return unpacked;
}

static void group_is(REQUEST(request), size_t group, const char *service, size_t spans)
{
    Opentelemetry__Proto__Trace__V1__ResourceSpans *got = request->resource_spans[group];
    ck_assert_str_eq(got->resource->attributes[0]->value->string_value, service);
    ck_assert_uint_eq(got->n_scope_spans, 1);
    ck_assert_uint_eq(got->scope_spans[0]->n_spans, spans);
}

TEST(spans_of_a_producer_share_its_resource)
{
    struct batch *batch = open_batch(&roomy);
    static const size_t order[] = {1, 0, 0, 1, 2, 1, 0};
    for (size_t i = 0; i < 7; i++)
        ck_assert_int_eq(add(batch, order[i], i), BATCH_ADDED);
    ck_assert_uint_eq(batch_span_count(batch), 7);
    ck_assert_uint_eq(batch_deadline_ns(batch), 5);
    REQUEST(request) = sealed_request(batch);
    ck_assert_uint_eq(request->n_resource_spans, 3);
    group_is(request, 0, "p-b", 3);
    group_is(request, 1, "p-a", 3);
    group_is(request, 2, "p-c", 1);
    uint64_t second_of_a = request->resource_spans[1]->scope_spans[0]->spans[1]->start_time_unix_nano;
    ck_assert_uint_eq(second_of_a, UINT64_C(1700000000000000002));
    REQUEST_FREE(request);
    batch_finish(batch, &exported);
}

TEST(a_reload_leaves_the_open_batch_as_counted)
{
    struct batch *batch = open_batch(&roomy);
    struct buf longer = {0};
    ck_assert_int_eq(add(batch, 0, 1), BATCH_ADDED);
    ck_assert_int_eq(buf_append(&longer, resources[1].data, resources[1].len), 0);
    buf_done(&resources[0]);
    resources[0] = longer;
    ck_assert_int_eq(add(batch, 0, 2), BATCH_ADDED);
    REQUEST(request) = sealed_request(batch);
    ck_assert_uint_eq(request->n_resource_spans, 1);
    group_is(request, 0, "p-a", 2);
    REQUEST_FREE(request);
}

TEST(many_producers_each_have_their_group)
{
    enum { PRODUCERS = 1000 };
    struct batch *batch = open_batch(&roomy);
    static char producers[PRODUCERS];
    struct buf record = {0};
    struct span_view view = usual_view(&record);
    for (size_t i = 0; i < 3 * PRODUCERS; i++)
        ck_assert_int_eq(batch_add(batch, &producers[i % PRODUCERS], &resources[0], &view, &invalid_text), BATCH_ADDED);
    REQUEST(request) = sealed_request(batch);
    ck_assert_uint_eq(request->n_resource_spans, PRODUCERS);
    for (size_t i = 0; i < PRODUCERS; i++)
        group_is(request, i, "p-a", 3);
    REQUEST_FREE(request);
    buf_done(&record);
}

TEST(the_span_limit_is_exact)
{
    struct batch_limits limits = {.max_spans = 3, .max_bytes = 1 << 20};
    struct batch *batch = open_batch(&limits);
    for (uint64_t i = 0; i < 3; i++)
        ck_assert_int_eq(add(batch, i % 2, i), BATCH_ADDED);
    size_t bytes = batch_bytes(batch);
    ck_assert_int_eq(add(batch, 0, 3), BATCH_FULL);
    ck_assert_int_eq(add(batch, 2, 3), BATCH_FULL);
    ck_assert_uint_eq(batch_span_count(batch), 3);
    ck_assert_uint_eq(batch_bytes(batch), bytes);
}

/* What n spans take, and then the same with exactly that limit, and with one byte less. */
TEST(the_byte_limit_is_exact)
{
    for (size_t n = 1; n < 120; n += n < 4 ? 1 : 17) {
        struct batch *free_batch = open_batch(&roomy);
        for (size_t i = 0; i < n; i++)
            ck_assert_int_eq(add(free_batch, i % 3, i), BATCH_ADDED);
        struct batch_limits exact = {.max_spans = 1000, .max_bytes = batch_bytes(free_batch)};
        struct batch_limits less = {.max_spans = 1000, .max_bytes = exact.max_bytes - 1};
        REQUEST_FREE(sealed_request(free_batch));
        batch_finish(free_batch, &exported);

        struct batch *fits = open_batch(&exact), *full = open_batch(&less);
        for (size_t i = 0; i + 1 < n; i++) {
            ck_assert_int_eq(add(fits, i % 3, i), BATCH_ADDED);
            ck_assert_int_eq(add(full, i % 3, i), BATCH_ADDED);
        }
        size_t before = batch_bytes(full);
        ck_assert_int_eq(add(fits, (n - 1) % 3, n - 1), BATCH_ADDED);
        ck_assert_uint_eq(batch_bytes(fits), exact.max_bytes);
        ck_assert_int_eq(add(full, (n - 1) % 3, n - 1), n == 1 ? BATCH_OVERSIZE : BATCH_FULL);
        ck_assert_uint_eq(batch_bytes(full), before);
        REQUEST(request) = sealed_request(full);
        size_t spans = 0;
        for (size_t i = 0; i < request->n_resource_spans; i++)
            spans += request->resource_spans[i]->scope_spans[0]->n_spans;
        ck_assert_uint_eq(spans, n - 1);
        REQUEST_FREE(request);
        REQUEST_FREE(sealed_request(fits));
        batch_finish(fits, &exported);
        batch_finish(full, &exported);
    }
}

TEST(a_span_too_large_alone_is_oversize_in_any_batch)
{
    struct batch *probe = open_batch(&roomy);
    ck_assert_int_eq(add(probe, 0, 1), BATCH_ADDED);
    struct batch_limits limits = {.max_spans = 10, .max_bytes = batch_bytes(probe) + 20};
    struct batch *batch = open_batch(&limits);
    ck_assert_int_eq(add(batch, 0, 1), BATCH_ADDED);

    struct model_span span;
    struct span_view view;
    struct buf record = {0};
    const char *problem;
    model_span_usual(&span, 2);
    model_span_record(&span, &record);
    model_item(&record, AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, "bad", 3, "\xff 123456789 123456789", 21);
    ck_assert_int_eq(record_decode(record.data, record.len, AISTRACE_RECORD_SPAN, 0, &view, &problem), 0);
    uint64_t repaired = invalid_text;
    ck_assert_int_eq(batch_add(batch, &resources[0], &resources[0], &view, &invalid_text), BATCH_OVERSIZE);
    ck_assert_int_eq(batch_add(batch, &resources[1], &resources[1], &view, &invalid_text), BATCH_OVERSIZE);
    ck_assert_uint_eq(invalid_text, repaired);
    ck_assert_int_eq(add(batch, 0, 3), BATCH_FULL);
    REQUEST(request) = sealed_request(batch);
    ck_assert_uint_eq(request->n_resource_spans, 1);
    group_is(request, 0, "p-a", 1);
    REQUEST_FREE(request);
    buf_done(&record);
    model_span_done(&span);
}

static void outcome_is(const struct shmring_counts *got, uint64_t done, uint64_t rejected, uint64_t refused,
                       uint64_t sampled)
{
    ck_assert_uint_eq(got->exported, done);
    ck_assert_uint_eq(got->rejected, rejected);
    ck_assert_uint_eq(got->dropped[DROP_REFUSED], refused);
    ck_assert_uint_eq(got->sampled_out, sampled);
    ck_assert_uint_eq(outcome_sum(got), done + rejected + refused + sampled);
}

TEST(a_batch_has_one_claim_per_queue)
{
    struct claim_queue queues[2] = {0};
    struct batch *batch = open_batch(&roomy);
    struct claim *first = claim_spans(batch, &queues[0], 0, 2);
    ck_assert_ptr_ne(claim_spans(batch, &queues[1], 0, 1), first);
    ck_assert_ptr_eq(batch_claim(batch, &queues[0], 999), first);
    ck_assert_uint_eq(first->begin, 0);
    struct batch *later = open_batch(&roomy);
    struct claim *second = batch_claim(later, &queues[0], 20);
    ck_assert_ptr_ne(second, first);
    ck_assert_uint_eq(second->begin, 20);
    ck_assert_ptr_eq(queues[0].head, first);
    ck_assert_ptr_eq(queues[0].tail, second);
}

TEST(claims_leave_in_ring_order_whatever_finishes_first)
{
    static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (size_t o = 0; o < 6; o++) {
        struct claim_queue queue = {0};
        struct batch *batches[3];
        bool done[3] = {false};
        unsigned taken = 0;
        for (unsigned i = 0; i < 3; i++) {
            batches[i] = open_batch(&roomy);
            claim_spans(batches[i], &queue, 100 * i, i + 1)->outcome.sampled_out = 5;
            ck_assert_int_eq(batch_seal(batches[i]), 0);
        }
        for (unsigned step = 0; step < 3; step++) {
            batch_finish(batches[orders[o][step]], &exported);
            done[orders[o][step]] = true;
            for (;;) {
                struct shmring_counts outcome = {0};
                uint64_t end = 7;
                bool expected = taken < 3 && done[taken];
                ck_assert_int_eq(claim_take(&queue, &end, &outcome), expected);
                if (!expected) {
                    ck_assert_uint_eq(end, 7);
                    ck_assert_uint_eq(outcome_sum(&outcome), 0);
                    break;
                }
                ck_assert_uint_eq(end, 100 * taken + 10 * (taken + 1));
                outcome_is(&outcome, taken + 1, 0, 0, 5);
                taken++;
            }
        }
        ck_assert_uint_eq(taken, 3);
        ck_assert_ptr_null(queue.head);
        ck_assert_ptr_null(queue.tail);
    }
}

TEST(queues_with_settled_claims_are_named_once)
{
    struct claim_queue first = {0}, second = {0}, third = {0};
    struct shmring_counts orphaned = {0};
    struct batch *older = open_batch(&roomy), *younger = open_batch(&roomy);
    claim_spans(older, &first, 0, 1);
    claim_spans(older, &third, 0, 1);
    claim_spans(younger, &first, 10, 1);
    claim_spans(younger, &second, 0, 1);
    ck_assert_ptr_null(batch_pool_ready(pool));
    claim_abandon(&third, &orphaned);
    batch_finish(younger, &exported);
    batch_finish(older, &exported);
    struct claim_queue *ready = batch_pool_ready(pool), *next = batch_pool_ready(pool);
    ck_assert((ready == &first && next == &second) || (ready == &second && next == &first));
    ck_assert_ptr_null(batch_pool_ready(pool));

    /* and again, when another is */
    claim_spans(older = open_batch(&roomy), &second, 20, 1);
    batch_finish(older, &exported);
    ck_assert_ptr_eq(batch_pool_ready(pool), &second);
    ck_assert_ptr_null(batch_pool_ready(pool));
}

TEST(partial_success_rejects_the_first_in_claim_order)
{
    static const struct {
        uint64_t rejected, want[3];
    } cases[] = {{0, {0, 0, 0}}, {1, {1, 0, 0}},  {3, {3, 0, 0}}, {4, {3, 1, 0}},
                 {9, {3, 5, 1}}, {10, {3, 5, 2}}, {99, {3, 5, 2}}};
    static const uint64_t spans[3] = {3, 5, 2};
    for (size_t c = 0; c < COUNT(cases); c++) {
        struct claim_queue queues[3] = {0};
        struct batch *batch = open_batch(&roomy);
        for (size_t i = 0; i < 3; i++)
            claim_spans(batch, &queues[i], 0, spans[i]);
        batch_finish(batch, &(struct batch_outcome){.exported = true, .rejected = cases[c].rejected});
        for (size_t i = 0; i < 3; i++) {
            struct shmring_counts outcome = {0};
            uint64_t end;
            ck_assert(claim_take(&queues[i], &end, &outcome));
            outcome_is(&outcome, spans[i] - cases[c].want[i], cases[c].want[i], 0, 0);
        }
    }
}

TEST(what_is_not_exported_is_dropped_for_its_reason)
{
    struct claim_queue queue = {0};
    struct shmring_counts outcome = {.exported = 1};
    uint64_t end = 0;
    struct batch *batch = open_batch(&roomy);
    claim_spans(batch, &queue, 0, 4);
    batch_finish(batch, &(struct batch_outcome){.rejected = 3, .reason = DROP_REFUSED});
    ck_assert(claim_take(&queue, &end, &outcome));
    outcome_is(&outcome, 1, 0, 4, 0);
}

TEST(a_batch_without_spans_is_sealed_and_finished)
{
    struct claim_queue queue = {0};
    struct shmring_counts outcome = {0};
    uint64_t end = 0;
    size_t count = 9;
    struct batch *batch = open_batch(&roomy);
    claim_spans(batch, &queue, 0, 0)->outcome.sampled_out = 3;
    ck_assert_int_eq(batch_seal(batch), 0);
    batch_parts(batch, &count);
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(batch_bytes(batch), 0);
    batch_finish(batch, &exported);
    ck_assert(claim_take(&queue, &end, &outcome));
    outcome_is(&outcome, 0, 0, 0, 3);
}

TEST(abandoned_claims_come_in_when_their_batch_ends)
{
    struct claim_queue queue = {0}, other = {0};
    struct shmring_counts orphaned = {0}, outcome = {0};
    uint64_t end;
    struct batch *oldest = open_batch(&roomy), *done = open_batch(&roomy), *open = open_batch(&roomy);
    claim_spans(oldest, &queue, 0, 1);
    claim_spans(oldest, &other, 0, 10);
    claim_spans(done, &queue, 10, 2);
    claim_spans(open, &queue, 30, 3)->outcome.sampled_out = 1;
    batch_finish(done, &exported);
    claim_abandon(&queue, &orphaned);
    ck_assert_ptr_null(queue.head);
    ck_assert_ptr_null(queue.tail);
    ck_assert(!claim_take(&queue, &end, &outcome));
    outcome_is(&orphaned, 2, 0, 0, 0);
    batch_finish(open, &(struct batch_outcome){.reason = DROP_REFUSED});
    outcome_is(&orphaned, 2, 0, 3, 1);
    batch_finish(oldest, &(struct batch_outcome){.exported = true, .rejected = 2});
    outcome_is(&orphaned, 2, 1, 3, 1);
    ck_assert(claim_take(&other, &end, &outcome));
    outcome_is(&outcome, 9, 1, 0, 0);

    /* All three are in the pool again. */
    size_t before = allocations;
    struct batch *again[3];
    for (size_t i = 0; i < 3; i++)
        again[i] = open_batch(&roomy);
    ck_assert_uint_eq(allocations, before);
    ck_assert(again[0] != again[1] && again[1] != again[2] && again[0] != again[2]);
}

/* A segment that is given up may be followed by another at the same address. */
static unsigned committed;

static void on_committed(void *user, struct spool_record *record)
{
    ck_assert_ptr_eq(user, &committed);
    ck_assert_ptr_eq(record, &committed);
    committed++;
}

TEST(a_spooled_batch_settles_its_claims_and_keeps_its_request)
{
    struct claim_queue first = {0}, second = {0};
    struct shmring_counts outcome = {0}, orphaned = {0};
    struct batch *batch = open_batch(&roomy);
    uint64_t end;
    batch_pool_watch(pool, on_committed, &committed);
    ck_assert_int_eq(add(batch, 0, 0), BATCH_ADDED);
    ck_assert_int_eq(add(batch, 1, 1), BATCH_ADDED);
    claim_spans(batch, &first, 0, 1)->outcome.sampled_out = 4;
    claim_spans(batch, &second, 0, 1);
    ck_assert_ptr_eq(batch_claims(batch)->queue, &first);
    ck_assert_ptr_eq(batch_claims(batch)->batch_next->queue, &second);
    REQUEST_FREE(sealed_request(batch));
    claim_abandon(&second, &orphaned);
    ck_assert_ptr_null(batch_claims(batch)->batch_next->queue);
    batch_stay(batch)->record = (void *)&committed;
    batch_settle_spooled(batch);
    ck_assert_uint_eq(orphaned.spooled, 1);
    ck_assert_uint_eq(committed, 0);
    ck_assert(claim_take(&first, &end, &outcome));
    ck_assert_uint_eq(committed, 1);
    ck_assert_uint_eq(outcome.spooled, 1);
    ck_assert_uint_eq(outcome.sampled_out, 4);
    ck_assert_uint_eq(outcome_sum(&outcome), 5);
    REQUEST(request) = sealed_request(batch); /* still whole, for whom it is with */
    ck_assert_uint_eq(request->n_resource_spans, 2);
    REQUEST_FREE(request);
    batch_finish(batch, &exported);
    ck_assert_uint_eq(committed, 1);
}

/* One from the pool, which once was finished, is as good as a new one. */
TEST(a_spooled_batch_is_in_use_until_it_is_finished)
{
    struct claim_queue queue = {0};
    struct shmring_counts outcome = {0};
    uint64_t end;
    batch_pool_watch(pool, on_committed, &committed);
    struct batch *batch = open_batch(&roomy);
    batch_finish(batch, &exported);
    ck_assert_ptr_eq(open_batch(&roomy), batch);
    claim_spans(batch, &queue, 0, 1);
    batch_stay(batch)->record = (void *)&committed;
    batch_settle_spooled(batch);
    while (claim_take(&queue, &end, &outcome))
        continue;
    ck_assert_uint_eq(committed, 1);
    ck_assert_ptr_ne(open_batch(&roomy), batch); /* the exporter still has it */
    batch_finish(batch, &exported);
    ck_assert_ptr_eq(open_batch(&roomy), batch);
}

TEST(a_request_read_back_is_sent_as_it_was)
{
    struct batch *batch = open_batch(&roomy), *loaded;
    struct buf bytes = {0};
    size_t count;
    for (uint64_t i = 0; i < 3; i++)
        ck_assert_int_eq(add(batch, i, i), BATCH_ADDED);
    REQUEST_FREE(sealed_request(batch));
    const struct iovec *parts = batch_parts(batch, &count);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(buf_append(&bytes, parts[i].iov_base, parts[i].iov_len), 0);
    batch_finish(batch, &exported);
    size_t length = bytes.len;
    ck_assert_int_eq(batch_load(pool, &bytes, 3, &loaded), 0);
    ck_assert_uint_eq(batch_span_count(loaded), 3);
    ck_assert_uint_eq(batch_bytes(loaded), length);
    parts = batch_parts(loaded, &count);
    ck_assert_uint_eq(count, 1);
    REQUEST(request) = REQUEST_UNPACK(NULL, parts[0].iov_len, parts[0].iov_base);
    ck_assert_ptr_nonnull(request);
    ck_assert_uint_eq(request->n_resource_spans, 3);
    REQUEST_FREE(request);
    batch_finish(loaded, &exported);
    buf_done(&bytes);
}

TEST(an_abandoned_producers_identity_may_be_used_again)
{
    struct claim_queue queue = {0};
    struct shmring_counts orphaned = {0};
    struct batch *batch = open_batch(&roomy);
    claim_spans(batch, &queue, 0, 1);
    ck_assert_int_eq(add(batch, 0, 1), BATCH_ADDED);
    claim_abandon(&queue, &orphaned);
    struct buf kept = resources[0];
    resources[0] = resources[1];
    ck_assert_int_eq(add(batch, 0, 2), BATCH_ADDED);
    resources[0] = kept;
    REQUEST(request) = sealed_request(batch);
    ck_assert_uint_eq(request->n_resource_spans, 2);
    group_is(request, 0, "p-a", 1);
    group_is(request, 1, "p-b", 1);
    REQUEST_FREE(request);
}

static void one_round(struct claim_queue queues[3], uint64_t round)
{
    struct batch *batches[4];
    for (size_t b = 0; b < 4; b++) {
        batches[b] = open_batch(&roomy);
        for (uint64_t i = 0; i < 60; i++) {
            ck_assert_int_eq(add(batches[b], i % 3, round + i), BATCH_ADDED);
            claim_spans(batches[b], &queues[i % 3], 0, 1);
        }
        ck_assert_int_eq(batch_seal(batches[b]), 0);
    }
    for (size_t b = 4; b-- > 0;)
        batch_finish(batches[b], &exported);
    for (size_t i = 0; i < 3; i++) {
        struct shmring_counts outcome = {0};
        uint64_t end;
        while (claim_take(&queues[i], &end, &outcome))
            ;
        ck_assert_uint_eq(outcome.exported, 80);
    }
}

TEST(the_steady_state_allocates_nothing)
{
    struct claim_queue queues[3] = {0};
    for (uint64_t round = 0; round < 5; round++)
        one_round(queues, round);
    size_t of_batches = 0;
    for (uint64_t round = 5; round < 50; round++) {
        size_t before = allocations;
        one_round(queues, round);
        of_batches = allocations - before;
    }
    /* The test's own records and models use the counted buf too. */
    struct model_span span;
    struct buf record = {0};
    size_t before = allocations;
    model_span_usual(&span, 1);
    model_span_record(&span, &record);
    size_t of_a_span = allocations - before;
    model_span_done(&span);
    buf_done(&record);
    ck_assert_uint_eq(of_batches, 240 * of_a_span);
}

TEST(claims_share_allocations)
{
    static struct claim_queue queues[BATCH_CLAIMS_PER_SLAB + 1];
    struct batch *batch = open_batch(&roomy);
    size_t before = allocations;
    for (size_t i = 0; i < BATCH_CLAIMS_PER_SLAB; i++)
        claim_spans(batch, &queues[i], 0, 1);
    ck_assert_uint_eq(allocations, before + 1);
    claim_spans(batch, &queues[BATCH_CLAIMS_PER_SLAB], 0, 1);
    ck_assert_uint_eq(allocations, before + 2);
}

TEST(no_memory_leaves_everything_as_it_was)
{
    struct buf record = {0};
    struct span_view view = usual_view(&record);
    bool went_through = false;
    for (size_t n = 0; !went_through; n++) {
        struct batch_pool *small = NULL;
        struct batch *batch = NULL;
        struct claim_queue queue = {0};
        fail_after = n;
        went_through = batch_pool_new(&small) == 0 && batch_open(small, &roomy, 0, &batch) == 0 &&
                       batch_add(batch, &small, &resources[0], &view, &invalid_text) == BATCH_ADDED &&
                       batch_claim(batch, &queue, 0) && batch_seal(batch) == 0;
        fail_after = SIZE_MAX;
        if (!went_through && batch) {
            size_t had = batch_span_count(batch);
            ck_assert_int_eq(batch_add(batch, &small, &resources[0], &view, &invalid_text), BATCH_ADDED);
            ck_assert_ptr_nonnull(batch_claim(batch, &queue, 0));
            REQUEST(request) = sealed_request(batch);
            ck_assert_uint_eq(request->n_resource_spans, 1);
            group_is(request, 0, "p-a", had + 1);
            REQUEST_FREE(request);
        }
        batch_pool_free(small);
        ck_assert_uint_lt(n, 50);
    }
    buf_done(&record);
}

TEST(no_memory_for_a_request_read_back_leaves_it_with_the_caller)
{
    struct buf bytes = {0};
    struct batch *loaded;
    ck_assert_int_eq(buf_append(&bytes, "request", 7), 0);
    for (size_t n = 0; n < 3; n++) { /* the batch, its group, its parts */
        struct batch_pool *small;
        ck_assert_int_eq(batch_pool_new(&small), 0);
        fail_after = n;
        int err = batch_load(small, &bytes, 1, &loaded);
        fail_after = SIZE_MAX;
        ck_assert_int_eq(err, -ENOMEM);
        ck_assert_uint_eq(bytes.len, 7);
        ck_assert_int_eq(batch_load(small, &bytes, 1, &loaded), 0);
        ck_assert_uint_eq(batch_bytes(loaded), 7);
        batch_finish(loaded, &exported);
        buf_done(&bytes);
        ck_assert_int_eq(buf_append(&bytes, "request", 7), 0);
        batch_pool_free(small);
    }
    buf_done(&bytes);
}

TEST(only_so_much_memory_of_requests_is_kept)
{
    enum { REQUEST_BYTES = 5 << 20, REQUESTS = 6 };
    struct batch *batches[REQUESTS];
    for (size_t i = 0; i < REQUESTS; i++) {
        struct buf bytes = {0};
        ck_assert_int_eq(buf_reserve(&bytes, REQUEST_BYTES), 0);
        memset(bytes.data, 'x', REQUEST_BYTES);
        bytes.len = REQUEST_BYTES;
        ck_assert_int_eq(batch_load(pool, &bytes, 1, &batches[i]), 0);
        buf_done(&bytes);
    }
    for (size_t i = 0; i < REQUESTS; i++)
        batch_finish(batches[i], &exported);
    ck_assert_uint_gt(pool->retained_bytes, RETAIN_BYTES / 2);
    ck_assert_uint_le(pool->retained_bytes, RETAIN_BYTES);
    size_t in_groups = 0;
    for (const struct group *group = pool->free_groups; group; group = group->next)
        in_groups += group->spans.cap + group->resource.cap;
    ck_assert_uint_eq(pool->retained_bytes, in_groups);
}
