/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include <sys/mman.h>

enum { CHUNK = 32 };

static struct aistrace__tally first_chunk[CHUNK];
static atomic_flag first_chunk_used = ATOMIC_FLAG_INIT;
static struct aistrace__tally shared = {.owned = true}; /* nobody's own: several threads add to it, atomically */
static _Atomic(struct aistrace__tally *) all = &shared;

/* ---- who owns which ---- */

static struct aistrace__tally *new_chunk(void)
{
    if (!atomic_flag_test_and_set(&first_chunk_used))
        return first_chunk;
    void *chunk = mmap(NULL, sizeof(first_chunk), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return chunk == MAP_FAILED ? NULL : chunk;
}

/* -> the first of a new chunk, whose others are there for everybody */
static struct aistrace__tally *grow(void)
{
    struct aistrace__tally *chunk = new_chunk(), *head = atomic_load(&all);
    if (!chunk)
        return NULL;
    atomic_store(&chunk->owned, true);
    for (int i = 0; i < CHUNK - 1; i++)
        chunk[i].next = &chunk[i + 1];
    do
        chunk[CHUNK - 1].next = head;
    while (!atomic_compare_exchange_weak(&all, &head, chunk));
    return chunk;
}

struct aistrace__tally *aistrace__tally_take(void)
{
    for (struct aistrace__tally *tally = atomic_load(&all); tally; tally = tally->next) {
        bool owned = atomic_load_explicit(&tally->owned, memory_order_relaxed);
        if (!owned && atomic_compare_exchange_strong(&tally->owned, &owned, true))
            return tally;
    }
    return grow();
}

void aistrace__tally_release(struct aistrace__tally *tally)
{
    /* release: the next owner goes on from these counts */
    if (tally)
        atomic_store_explicit(&tally->owned, false, memory_order_release);
}

void aistrace__tally_count_shared(unsigned reason)
{
    __atomic_fetch_add(&shared.dropped[reason - AISTRACE__TALLY_FIRST], 1, __ATOMIC_RELAXED);
}

/* ---- what they have counted ---- */

/* -> how much of the reason with that index was not told before; now it is */
static uint64_t take_news(struct aistrace__tally *tally, unsigned index)
{
    uint64_t dropped = __atomic_load_n(&tally->dropped[index], __ATOMIC_RELAXED), news = dropped - tally->told[index];
    tally->told[index] = dropped;
    return news;
}

void aistrace__tallies_begin(void)
{
    for (struct aistrace__tally *tally = atomic_load(&all); tally; tally = tally->next)
        for (unsigned index = 0; index < AISTRACE__TALLY_REASONS; index++)
            take_news(tally, index);
}

void aistrace__tally_tell(struct aistrace__tally *tally, struct shmring *ring)
{
    for (unsigned reason = AISTRACE__TALLY_FIRST; reason < SHMRING_DROP_REASONS; reason++) {
        uint64_t news = take_news(tally, reason - AISTRACE__TALLY_FIRST);
        if (news)
            shmring_count_drops(ring, (enum shmring_drop)reason, news);
    }
}

void aistrace__tallies_tell(struct shmring *ring)
{
    for (struct aistrace__tally *tally = atomic_load(&all); tally; tally = tally->next)
        aistrace__tally_tell(tally, ring);
}

uint64_t aistrace__tallies_no_segment(void)
{
    const unsigned index = AISTRACE__DROP_NO_SEGMENT - AISTRACE__TALLY_FIRST;
    uint64_t sum = 0;
    for (const struct aistrace__tally *tally = atomic_load(&all); tally; tally = tally->next)
        sum += __atomic_load_n(&tally->dropped[index], __ATOMIC_RELAXED) - tally->told[index];
    return sum;
}
