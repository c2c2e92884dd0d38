/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delivery.h"

enum {
    BUCKETS = 256,
    CLAIMS_PER_SLAB = 64,
    RETAIN_BYTES = 16 << 20, /* in the buffers of groups at rest; beyond it they are freed */
};

/* Spans of one producer within a batch, and their resource block. */
struct group {
    struct group *next;        /* in the batch, in order of first use; or in the pool */
    struct group *bucket_next; /* in the batch */
    const void *producer;      /* identity only */
    struct buf resource;
    struct buf spans;
    size_t bytes; /* of the request's field for this group; 0 before its first span */
};

struct batch {
    struct delivery delivery;
    struct batch *free_next;
    struct batch *all_next;
    struct batch_pool *pool;
    struct batch_limits limits;
    uint64_t deadline_ns;
    size_t bytes; /* of the request, exact */
    size_t span_count;
    struct group *groups, **groups_end;
    struct group *last; /* the one that was added to last */
    size_t group_count;
    struct group *buckets[BUCKETS];
    struct claim *claims, **claims_end;
    size_t claim_count; /* not yet taken or abandoned */
    bool open;
    bool finished;
    struct buf heads;
    struct iovec *parts;
    size_t part_count, part_capacity;
};

struct claim_slab {
    struct claim_slab *next;
    struct claim claims[CLAIMS_PER_SLAB];
};

struct batch_pool {
    struct batch *all, *free;
    struct group *free_groups;
    size_t retained_bytes; /* capacity of free_groups */
    struct claim *free_claims;
    struct claim_slab *slabs;
};

int batch_pool_new(struct batch_pool **out)
{
    struct batch_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return -ENOMEM;
    *out = pool;
    return 0;
}

static void groups_free(struct group *group)
{
    while (group) {
        struct group *next = group->next;
        buf_done(&group->resource);
        buf_done(&group->spans);
        free(group);
        group = next;
    }
}

void batch_pool_free(struct batch_pool *pool)
{
    if (!pool)
        return;
    while (pool->all) {
        struct batch *batch = pool->all;
        pool->all = batch->all_next;
        groups_free(batch->groups);
        buf_done(&batch->heads);
        free(batch->parts);
        free(batch);
    }
    groups_free(pool->free_groups);
    while (pool->slabs) {
        struct claim_slab *slab = pool->slabs;
        pool->slabs = slab->next;
        free(slab);
    }
    free(pool);
}

static size_t retained(const struct group *group)
{
    return group->resource.cap + group->spans.cap;
}

static struct group *group_take(struct batch_pool *pool)
{
    struct group *group = pool->free_groups;
    if (!group)
        return calloc(1, sizeof *group);
    pool->free_groups = group->next;
    pool->retained_bytes -= retained(group);
    return group;
}

static void group_put(struct batch_pool *pool, struct group *group)
{
    group->resource.len = group->spans.len = 0;
    if (pool->retained_bytes + retained(group) > RETAIN_BYTES) {
        buf_done(&group->resource);
        buf_done(&group->spans);
    }
    pool->retained_bytes += retained(group);
    group->next = pool->free_groups;
    pool->free_groups = group;
}

static struct claim *claim_new(struct batch_pool *pool)
{
    if (!pool->free_claims) {
        struct claim_slab *slab = calloc(1, sizeof *slab);
        if (!slab)
            return NULL;
        slab->next = pool->slabs;
        pool->slabs = slab;
        for (size_t i = 0; i < CLAIMS_PER_SLAB; i++) {
            slab->claims[i].next = pool->free_claims;
            pool->free_claims = &slab->claims[i];
        }
    }
    struct claim *claim = pool->free_claims;
    pool->free_claims = claim->next;
    return claim;
}

int batch_open(struct batch_pool *pool, const struct batch_limits *limits, uint64_t deadline_ns, struct batch **out)
{
    struct batch *batch = pool->free;
    if (batch) {
        pool->free = batch->free_next;
    } else {
        batch = calloc(1, sizeof *batch);
        if (!batch)
            return -ENOMEM;
        batch->pool = pool;
        batch->all_next = pool->all;
        pool->all = batch;
    }
    batch->delivery = (struct delivery){0};
    batch->limits = *limits;
    batch->deadline_ns = deadline_ns;
    batch->bytes = batch->span_count = 0;
    batch->groups_end = &batch->groups;
    batch->claims_end = &batch->claims;
    batch->open = true;
    batch->finished = false;
    *out = batch;
    return 0;
}

static struct group **bucket(struct batch *batch, const void *producer)
{
    uint64_t hash = (uintptr_t)producer * UINT64_C(0x9e3779b97f4a7c15);
    return &batch->buckets[hash >> 56];
}
static_assert(BUCKETS == 256, "bucket() takes eight bits");

static struct group *group_find(struct batch *batch, const void *producer)
{
    if (batch->last && batch->last->producer == producer)
        return batch->last;
    struct group *group = *bucket(batch, producer);
    while (group && group->producer != producer)
        group = group->bucket_next;
    return group;
}

/* The resource is copied: neither a reload nor a producer's end may change what has been counted. */
static struct group *group_new(struct batch *batch, const void *producer, const struct buf *resource)
{
    struct group *group = group_take(batch->pool);
    if (!group)
        return NULL;
    group->producer = producer;
    group->bytes = 0;
    if (buf_append(&group->resource, resource->data, resource->len) != 0) {
        group_put(batch->pool, group);
        return NULL;
    }
    return group;
}

static void group_link(struct batch *batch, struct group *group)
{
    struct group **head = bucket(batch, group->producer);
    group->bucket_next = *head;
    *head = group;
    group->next = NULL;
    *batch->groups_end = group;
    batch->groups_end = &group->next;
    batch->group_count++;
}

static size_t group_bytes(const struct group *group, size_t spans_bytes)
{
    return otlp_group_head_bytes(group->resource.len, spans_bytes) + spans_bytes;
}

enum batch_result batch_add(struct batch *batch, const void *producer, const struct buf *resource,
                            const struct span_view *span, uint64_t *invalid_text)
{
    if (batch->span_count >= batch->limits.max_spans)
        return BATCH_FULL;
    struct group *found = group_find(batch, producer);
    struct group *group = found ? found : group_new(batch, producer, resource);
    if (!group)
        return BATCH_NO_MEMORY;

    enum batch_result result = BATCH_NO_MEMORY;
    size_t before = group->spans.len;
    uint64_t mended = 0;
    if (otlp_encode_span(&group->spans, span, &mended) == 0) {
        size_t after = group->spans.len;
        size_t grown = group_bytes(group, after);
        size_t bytes = batch->bytes - group->bytes + grown;
        if (bytes <= batch->limits.max_bytes) {
            if (!found)
                group_link(batch, group);
            batch->last = group;
            group->bytes = grown;
            batch->bytes = bytes;
            batch->span_count++;
            *invalid_text += mended;
            return BATCH_ADDED;
        }
        result = group_bytes(group, after - before) > batch->limits.max_bytes ? BATCH_OVERSIZE : BATCH_FULL;
        group->spans.len = before;
    }
    if (!found)
        group_put(batch->pool, group);
    return result;
}

struct claim *batch_claim(struct batch *batch, struct claim_queue *queue, uint64_t begin)
{
    if (queue->tail && queue->tail->batch == batch)
        return queue->tail;
    struct claim *claim = claim_new(batch->pool);
    if (!claim)
        return NULL;
    *claim = (struct claim){.batch = batch, .begin = begin, .end = begin};
    if (queue->tail)
        queue->tail->next = claim;
    else
        queue->head = claim;
    queue->tail = claim;
    *batch->claims_end = claim;
    batch->claims_end = &claim->batch_next;
    batch->claim_count++;
    return claim;
}

int batch_seal(struct batch *batch)
{
    size_t heads_bytes = 0, part_count = 2 * batch->group_count;
    for (const struct group *group = batch->groups; group; group = group->next)
        heads_bytes += otlp_group_head_max(&group->resource);
    batch->heads.len = 0;
    int err = buf_reserve(&batch->heads, heads_bytes);
    if (err)
        return err;
    if (part_count > batch->part_capacity) {
        struct iovec *parts = realloc(batch->parts, part_count * sizeof *parts);
        if (!parts)
            return -ENOMEM;
        batch->parts = parts;
        batch->part_capacity = part_count;
    }
    struct iovec *part = batch->parts;
    for (const struct group *group = batch->groups; group; group = group->next) {
        size_t begin = batch->heads.len;
        err = otlp_encode_group_head(&batch->heads, &group->resource, group->spans.len);
        if (err)
            return err;
        *part++ = (struct iovec){batch->heads.data + begin, batch->heads.len - begin};
        *part++ = (struct iovec){group->spans.data, group->spans.len};
    }
    batch->part_count = part_count;
    batch->open = false;
    return 0;
}

size_t batch_span_count(const struct batch *batch)
{
    return batch->span_count;
}

size_t batch_bytes(const struct batch *batch)
{
    return batch->bytes;
}

uint64_t batch_deadline_ns(const struct batch *batch)
{
    return batch->deadline_ns;
}

const struct iovec *batch_parts(const struct batch *batch, size_t *count)
{
    *count = batch->part_count;
    return batch->parts;
}

static void recycle_if_over(struct batch *batch)
{
    if (!batch->finished || batch->claim_count > 0)
        return;
    batch->free_next = batch->pool->free;
    batch->pool->free = batch;
}

static void claim_release(struct claim *claim)
{
    struct batch *batch = claim->batch;
    claim->next = batch->pool->free_claims;
    batch->pool->free_claims = claim;
    batch->claim_count--;
    recycle_if_over(batch);
}

static void forget_groups(struct batch *batch)
{
    batch->last = NULL;
    memset(batch->buckets, 0, sizeof batch->buckets);
}

/* The request's memory is free at once, while claims may wait for older ones of their queues. */
static void groups_recycle(struct batch *batch)
{
    while (batch->groups) {
        struct group *group = batch->groups;
        batch->groups = group->next;
        group_put(batch->pool, group);
    }
    batch->groups_end = &batch->groups;
    batch->group_count = batch->part_count = 0;
    forget_groups(batch);
}

static void claim_settle(struct claim *claim, const struct batch_outcome *outcome, uint64_t *rejected)
{
    if (outcome->exported) {
        uint64_t here = claim->spans < *rejected ? claim->spans : *rejected;
        *rejected -= here;
        claim->outcome.rejected += here;
        claim->outcome.exported += claim->spans - here;
    } else {
        claim->outcome.dropped[outcome->reason] += claim->spans;
    }
    claim->settled = true;
}

void batch_finish(struct batch *batch, const struct batch_outcome *outcome)
{
    uint64_t rejected = outcome->rejected;
    struct claim *claim = batch->claims;
    batch->open = false;
    groups_recycle(batch);
    batch->claims = NULL;
    batch->claims_end = &batch->claims;
    batch->claim_count++; /* the batch stays while this walks its claims */
    while (claim) {
        struct claim *next = claim->batch_next;
        claim->batch_next = NULL;
        claim_settle(claim, outcome, &rejected);
        if (claim->orphaned) {
            outcome_add(claim->orphaned, &claim->outcome);
            claim_release(claim);
        }
        claim = next;
    }
    batch->claim_count--;
    batch->finished = true;
    recycle_if_over(batch);
}

static void unlink_head(struct claim_queue *queue)
{
    queue->head = queue->head->next;
    if (!queue->head)
        queue->tail = NULL;
}

bool claim_take(struct claim_queue *queue, uint64_t *end, struct outcome *outcome)
{
    struct claim *claim = queue->head;
    if (!claim || !claim->settled)
        return false;
    unlink_head(queue);
    *end = claim->end;
    outcome_add(outcome, &claim->outcome);
    claim_release(claim);
    return true;
}

void claim_abandon(struct claim_queue *queue, struct outcome *orphaned)
{
    while (queue->head) {
        struct claim *claim = queue->head;
        unlink_head(queue);
        claim->next = NULL;
        if (claim->settled) {
            outcome_add(orphaned, &claim->outcome);
            claim_release(claim);
            continue;
        }
        claim->orphaned = orphaned;
        /* Its producer may go, and another come with the same identity: nothing more joins the groups there are. */
        if (claim->batch->open)
            forget_groups(claim->batch);
    }
}

struct delivery *batch_delivery(struct batch *batch)
{
    return &batch->delivery;
}
