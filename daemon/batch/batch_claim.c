/* SPDX-License-Identifier: MIT
 *
 * Claims: which intervals of which rings a batch answers for, and how they are settled and leave their queues.
 */
#include "batch_state.h"

struct claim *batch_claim(struct batch *batch, struct claim_queue *queue, uint64_t begin)
{
    if (queue->tail && queue->tail->batch == batch)
        return queue->tail;
    struct claim *claim = batch_pool_take_claim(batch->pool);
    if (!claim)
        return NULL;
    *claim = (struct claim){.batch = batch, .queue = queue, .begin = begin, .end = begin};
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

const struct claim *batch_claims(const struct batch *batch)
{
    return batch->claims;
}

static void claim_release(struct claim *claim)
{
    struct batch *batch = claim->batch;
    batch_pool_put_claim(batch->pool, claim);
    batch->claim_count--;
    batch_pool_put_if_over(batch);
}

static void claim_settle(struct claim *claim, const struct batch_outcome *outcome, uint64_t *rejected)
{
    if (!outcome) {
        claim->outcome.spooled += claim->spans;
    } else if (outcome->exported) {
        uint64_t here = claim->spans < *rejected ? claim->spans : *rejected;
        *rejected -= here;
        claim->outcome.rejected += here;
        claim->outcome.exported += claim->spans - here;
    } else {
        claim->outcome.dropped[outcome->reason] += claim->spans;
    }
    claim->settled = true;
}

static void queue_is_ready(struct batch_pool *pool, struct claim_queue *queue)
{
    if (!queue || queue->ready)
        return;
    queue->ready = true;
    queue->ready_next = pool->ready;
    pool->ready = queue;
}

struct claim_queue *batch_pool_ready(struct batch_pool *pool)
{
    struct claim_queue *queue = pool->ready;
    if (!queue)
        return NULL;
    pool->ready = queue->ready_next;
    queue->ready = false;
    return queue;
}

/* outcome: NULL when spooled */
static void settle_claims(struct batch *batch, const struct batch_outcome *outcome)
{
    uint64_t rejected = outcome ? outcome->rejected : 0;
    struct claim *claim = batch->claims;
    batch->claims = NULL;
    batch->claims_end = &batch->claims;
    batch->claim_count++; /* the batch stays while this walks its claims */
    while (claim) {
        struct claim *next = claim->batch_next;
        claim->batch_next = NULL;
        claim_settle(claim, outcome, &rejected);
        queue_is_ready(batch->pool, claim->queue);
        if (claim->orphaned) {
            outcome_add(claim->orphaned, &claim->outcome);
            claim_release(claim);
        }
        claim = next;
    }
    batch->claim_count--;
}

void batch_settle_spooled(struct batch *batch)
{
    settle_claims(batch, NULL);
    batch->settled_spooled = true;
    batch_pool_put_if_over(batch);
}

void batch_finish(struct batch *batch, const struct batch_outcome *outcome)
{
    batch->open = false;
    batch_recycle_groups(batch);
    settle_claims(batch, outcome);
    batch->finished = true;
    batch_pool_put_if_over(batch);
}

static void unlink_head(struct claim_queue *queue)
{
    queue->head = queue->head->next;
    if (!queue->head)
        queue->tail = NULL;
}

bool claim_take(struct claim_queue *queue, uint64_t *end, struct shmring_counts *outcome)
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

void claim_abandon(struct claim_queue *queue, struct shmring_counts *orphaned)
{
    while (queue->head) {
        struct claim *claim = queue->head;
        unlink_head(queue);
        claim->next = NULL;
        claim->queue = NULL;
        if (claim->settled) {
            outcome_add(orphaned, &claim->outcome);
            claim_release(claim);
            continue;
        }
        claim->orphaned = orphaned;
        /* Its producer may end and another get the same identity: nothing may join the present groups any more. */
        if (claim->batch->open)
            batch_forget_groups(claim->batch);
    }
}
