/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "batch_state.h"

enum { RETAIN_BYTES = 16 << 20 }; /* in the buffers of groups at rest; beyond it they are freed */

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
