/* SPDX-License-Identifier: MIT
 *
 * What batch.c (spans into a request), batch_claim.c (claims, and how they settle) and batch_pool.c (recycling)
 * share.
 */
#ifndef BATCH_STATE_H
#define BATCH_STATE_H

#include "batch.h"
#include "delivery.h"

enum { BATCH_BUCKETS = 256, BATCH_CLAIMS_PER_SLAB = 64 };

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
    struct batch_stay stay;
    struct batch *free_next;
    struct batch *all_next;
    struct batch_pool *pool;
    struct batch_limits limits;
    uint64_t deadline_ns;
    size_t bytes; /* of the request, exact */
    size_t span_count;
    struct group *groups, **groups_end;
    struct group *last; /* got the last span */
    size_t group_count;
    struct group *buckets[BATCH_BUCKETS];
    struct claim *claims, **claims_end;
    size_t claim_count; /* not yet taken or abandoned */
    bool open;
    bool finished;
    bool settled_spooled; /* its claims are settled as spooled, and some not yet taken */
    struct buf heads;
    struct iovec *parts;
    size_t part_count, part_capacity;
};

struct claim_slab {
    struct claim_slab *next;
    struct claim claims[BATCH_CLAIMS_PER_SLAB];
};

struct batch_pool {
    struct batch *all, *free;
    struct group *free_groups;
    size_t retained_bytes; /* capacity of free_groups */
    struct claim *free_claims;
    struct claim_slab *slabs;
    struct claim_queue *ready; /* linked by ready_next */
    void (*committed_cb)(void *user, struct spool_record *record);
    void *user;
};

/* ---- batch.c ---- */

void batch_forget_groups(struct batch *batch);  /* nothing joins the present ones any more */
void batch_recycle_groups(struct batch *batch); /* the request's memory goes back */

/* ---- batch_pool.c ---- */

struct group *batch_pool_take_group(struct batch_pool *pool); /* NULL: no memory */
void batch_pool_put_group(struct batch_pool *pool, struct group *group);
struct claim *batch_pool_take_claim(struct batch_pool *pool); /* NULL: no memory */
void batch_pool_put_claim(struct batch_pool *pool, struct claim *claim);
struct batch *batch_pool_take(struct batch_pool *pool); /* as it was when put; a new one is zero. NULL: no memory */
void batch_pool_put(struct batch *batch);               /* without groups and claims */

/* Does nothing while claims are left. Else calls committed_cb for a batch that the spool has, and takes back a finished
 * batch. */
void batch_pool_put_if_over(struct batch *batch);

#endif
