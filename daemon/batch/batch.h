/* SPDX-License-Identifier: MIT
 *
 * A batch: encoded spans of many producers on their way to the endpoint, and the claims that say which intervals of
 * which rings it answers for. Pure: no I/O, time is an argument. One thread.
 *
 *     open ──seal──► sealed ──► (the exporter's) ──finish──► its claims are settled, ledgers can move
 *
 * A slot's ring is read in order and only into the one open batch, so a slot's claims are a queue in ring order. A
 * batch has one claim for each slot that it read, and one more behind each interval that a former daemon has spooled,
 * which reading passes over. Batches finish in any order; claims leave their queue from its head only.
 *
 * Two structs for the notes of layers above lie in the batch, and so this header knows their names: struct delivery is
 * the exporter's, struct batch_stay the source's. That is the price of a promise: to hold one more batch, or to spool
 * one, takes no memory that could be missing just then.
 */
#ifndef BATCH_H
#define BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/outcome.h"
#include "span/record_decode.h"

struct batch;
struct spool_record;

/* An interval of one slot's ring. Linked into its slot's queue and into its batch. */
struct claim {
    struct claim *next;       /* in the slot's queue */
    struct claim *batch_next; /* in the batch */
    struct batch *batch;
    struct claim_queue *queue; /* NULL: abandoned */
    uint64_t begin;
    uint64_t end;
    uint64_t spans;                /* encoded into the batch: their outcome comes with the batch's */
    struct shmring_counts outcome; /* sampled_out and dropped as they are read; the rest when the batch finishes */
    bool settled;
    struct shmring_counts *orphaned; /* not NULL: abandoned; its outcome is added there */
};

/* A slot's claims, oldest first. Zero-initialised is empty. */
struct claim_queue {
    struct claim *head;
    struct claim *tail;
    const uint8_t *instance; /* which slot of which segment (16 bytes), for the spool's records; borrowed */
    uint32_t slot;
    struct claim_queue *ready_next; /* the pool's */
    bool ready;
};

enum batch_result { BATCH_ADDED, BATCH_FULL, BATCH_OVERSIZE, BATCH_NO_MEMORY };

struct batch_limits {
    size_t max_spans;
    size_t max_bytes; /* of the encoded ExportTraceServiceRequest */
};

/* Recycles batches, claims and their buffers, so that the steady state allocates nothing. Freeing it frees all that
 * came from it, claims in queues and unfinished batches too. */
struct batch_pool;
int batch_pool_new(struct batch_pool **out);
void batch_pool_free(struct batch_pool *pool);

/* committed_cb: all claims of a batch that the spool has have been taken or abandoned. */
void batch_pool_watch(struct batch_pool *pool, void (*committed_cb)(void *user, struct spool_record *record),
                      void *user);

int batch_open(struct batch_pool *pool, const struct batch_limits *limits, uint64_t deadline_ns, struct batch **out);

/* Encodes span into the batch. BATCH_FULL: the batch would pass a limit; seal it, open another, try again.
 * BATCH_OVERSIZE: the span passes max_bytes even alone. In both cases the batch is unchanged. Spans of one producer
 * (identity only) share a resource block, made of a copy of the resource that came with the first of them. */
enum batch_result batch_add(struct batch *batch, const void *producer, const struct buf *resource,
                            const struct span_view *span, uint64_t *invalid_text);

/* The batch's claim for the slot whose queue this is: found when the queue's tail is this batch's, else appended with
 * begin. The caller moves end and counts. NULL: no memory. */
struct claim *batch_claim(struct batch *batch, struct claim_queue *queue, uint64_t begin);

/* Closes the batch and lays the request out. -> 0 or -ENOMEM (still open). */
int batch_seal(struct batch *batch);

/* Makes a sealed batch without claims from the request of a former batch. *request is swapped for a recycled buffer.
 * -> 0 or -ENOMEM */
int batch_load(struct batch_pool *pool, struct buf *request, size_t span_count, struct batch **out);

size_t batch_span_count(const struct batch *batch);
size_t batch_bytes(const struct batch *batch); /* of the request, exact at any time */
uint64_t batch_deadline_ns(const struct batch *batch);

/* The encoded request in order, for writing; valid from seal to finish. */
const struct iovec *batch_parts(const struct batch *batch, size_t *count);

/* The claims, linked by batch_next, until they are settled. */
const struct claim *batch_claims(const struct batch *batch);

/* What became of the spans of a batch: all exported but the first `rejected` in claim order (OTLP's partial success
 * does not name them: this is the stated rule), or all dropped for one reason. Or nothing yet: the exporter returns the
 * batch as it was; batch_finish does not take such an outcome. */
struct batch_outcome {
    bool exported;
    uint64_t rejected;
    enum drop_reason reason; /* when not exported */
    bool returned;
};

/* Settles the claims as spooled: the spool answers for the spans now. The batch stays as it is, and batch_finish of it
 * only gives back its memory. */
void batch_settle_spooled(struct batch *batch);

/* Settles the claims, of a batch sealed or open. It goes back to the pool when the last of its claims has been taken
 * or abandoned. */
void batch_finish(struct batch *batch, const struct batch_outcome *outcome);

/* The next queue that had a claim settled since this last returned it, or NULL. To be called until it returns NULL
 * after claims have been settled, and before any queue is freed: so what can be released is known without a look at all
 * queues. */
struct claim_queue *batch_pool_ready(struct batch_pool *pool);

/* Takes the oldest claim off the queue if it is settled, adding it up. -> true with *end and *outcome added to. */
bool claim_take(struct claim_queue *queue, uint64_t *end, struct shmring_counts *outcome);

/* Forgets a quarantined slot's claims: their outcomes still come, into `orphaned`, now or at batch_finish. */
void claim_abandon(struct claim_queue *queue, struct shmring_counts *orphaned);

/* The exporter's notes about the batch. Pure storage: zero in a batch just opened. */
struct delivery *batch_delivery(struct batch *batch);

/* The source's notes on a sealed batch that is with the exporter, the spool, or both. Pure storage: zero in a batch
 * just opened. */
struct batch_stay {
    struct batch *older, *younger;
    bool replay; /* read back from the spool */
    bool with_exporter;
    bool writing;                 /* with the spool, not safe yet */
    struct spool_record *record;  /* safe in the spool */
    bool ended;                   /* the exporter has finished; `outcome` waits for the write's end */
    struct batch_outcome outcome; /* of the exporter */
    unsigned overtaken;           /* younger batches that have finished */
};
struct batch_stay *batch_stay(struct batch *batch);

#endif
