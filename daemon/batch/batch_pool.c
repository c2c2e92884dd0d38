/* SPDX-License-Identifier: MIT
 *
 * Recycling: groups, claims and batches come back here, so that the steady state allocates nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include "batch_state.h"

enum { RETAIN_BYTES = 16 << 20 }; /* in the buffers of unused groups; buffers beyond that are freed */

int batch_pool_new(struct batch_pool **out)
{
    struct batch_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    *out = pool;
    return 0;
}

void batch_pool_watch(struct batch_pool *pool, void (*committed_cb)(void *user, struct spool_record *record),
                      void *user)
{
    pool->committed_cb = committed_cb;
    pool->user = user;
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

struct group *batch_pool_take_group(struct batch_pool *pool)
{
    struct group *group = pool->free_groups;
    if (!group)
        return calloc(1, sizeof(*group));
    pool->free_groups = group->next;
    pool->retained_bytes -= retained(group);
    return group;
}

void batch_pool_put_group(struct batch_pool *pool, struct group *group)
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

struct claim *batch_pool_take_claim(struct batch_pool *pool)
{
    if (!pool->free_claims) {
        struct claim_slab *slab = calloc(1, sizeof(*slab));
        if (!slab)
            return NULL;
        slab->next = pool->slabs;
        pool->slabs = slab;
        for (size_t i = 0; i < BATCH_CLAIMS_PER_SLAB; i++) {
            slab->claims[i].next = pool->free_claims;
            pool->free_claims = &slab->claims[i];
        }
    }
    struct claim *claim = pool->free_claims;
    pool->free_claims = claim->next;
    return claim;
}

void batch_pool_put_claim(struct batch_pool *pool, struct claim *claim)
{
    claim->next = pool->free_claims;
    pool->free_claims = claim;
}

struct batch *batch_pool_take(struct batch_pool *pool)
{
    struct batch *batch = pool->free;
    if (batch) {
        pool->free = batch->free_next;
        return batch;
    }
    batch = calloc(1, sizeof(*batch));
    if (!batch)
        return NULL;
    batch->pool = pool;
    batch->all_next = pool->all;
    pool->all = batch;
    return batch;
}

void batch_pool_put(struct batch *batch)
{
    batch->free_next = batch->pool->free;
    batch->pool->free = batch;
}

void batch_pool_put_if_over(struct batch *batch)
{
    if (batch->claim_count > 0)
        return;
    if (batch->settled_spooled) {
        batch->settled_spooled = false;
        batch->pool->committed_cb(batch->pool->user, batch->stay.record);
    }
    if (batch->finished)
        batch_pool_put(batch);
}
