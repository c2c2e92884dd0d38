/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "batch_state.h"
#include "span/otlp_encode.h"
#include "span/otlp_resource.h"

int batch_open(struct batch_pool *pool, const struct batch_limits *limits, uint64_t deadline_ns, struct batch **out)
{
    struct batch *batch = batch_pool_take(pool);
    if (!batch)
        return -ENOMEM;
    batch->delivery = (struct delivery){0};
    batch->stay = (struct batch_stay){0};
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
static_assert(BATCH_BUCKETS == 256, "bucket() takes eight bits");

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
    struct group *group = batch_pool_take_group(batch->pool);
    if (!group)
        return NULL;
    group->producer = producer;
    group->bytes = 0;
    if (buf_append(&group->resource, resource->data, resource->len) != 0) {
        batch_pool_put_group(batch->pool, group);
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
    uint64_t repaired = 0;
    if (otlp_encode_span(&group->spans, span, &repaired) == 0) {
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
            *invalid_text += repaired;
            return BATCH_ADDED;
        }
        result = group_bytes(group, after - before) > batch->limits.max_bytes ? BATCH_OVERSIZE : BATCH_FULL;
        group->spans.len = before;
    }
    if (!found)
        batch_pool_put_group(batch->pool, group);
    return result;
}

static int reserve_parts(struct batch *batch, size_t part_count)
{
    if (part_count <= batch->part_capacity)
        return 0;
    struct iovec *parts = realloc(batch->parts, part_count * sizeof(*parts));
    if (!parts)
        return -ENOMEM;
    batch->parts = parts;
    batch->part_capacity = part_count;
    return 0;
}

int batch_seal(struct batch *batch)
{
    size_t heads_bytes = 0, part_count = 2 * batch->group_count;
    for (const struct group *group = batch->groups; group; group = group->next)
        heads_bytes += otlp_group_head_max(&group->resource);
    batch->heads.len = 0;
    int err = buf_reserve(&batch->heads, heads_bytes);
    if (!err)
        err = reserve_parts(batch, part_count);
    if (err)
        return err;
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

int batch_load(struct batch_pool *pool, struct buf *request, size_t span_count, struct batch **out)
{
    struct batch *batch;
    struct batch_limits none = {0};
    int err = batch_open(pool, &none, 0, &batch);
    if (err)
        return err;
    struct group *group = batch_pool_take_group(pool);
    err = group ? reserve_parts(batch, 1) : -ENOMEM;
    if (err) {
        if (group)
            batch_pool_put_group(pool, group);
        batch_pool_put(batch);
        return err;
    }
    struct buf recycled = group->spans;
    group->spans = *request;
    *request = recycled;
    group->producer = NULL;
    group_link(batch, group);
    batch->parts[0] = (struct iovec){group->spans.data, group->spans.len};
    batch->part_count = 1;
    batch->bytes = group->bytes = group->spans.len;
    batch->span_count = span_count;
    batch->open = false;
    *out = batch;
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

void batch_forget_groups(struct batch *batch)
{
    batch->last = NULL;
    memset(batch->buckets, 0, sizeof(batch->buckets));
}

/* The request's memory comes back at once, while claims may wait for older claims of their queues. */
void batch_recycle_groups(struct batch *batch)
{
    while (batch->groups) {
        struct group *group = batch->groups;
        batch->groups = group->next;
        batch_pool_put_group(batch->pool, group);
    }
    batch->groups_end = &batch->groups;
    batch->group_count = batch->part_count = 0;
    batch_forget_groups(batch);
}

struct delivery *batch_delivery(struct batch *batch)
{
    return &batch->delivery;
}

struct batch_stay *batch_stay(struct batch *batch)
{
    return &batch->stay;
}
