/* SPDX-License-Identifier: MIT
 *
 * Trace and span ids: a bijective mixer over a counter with random start and random odd step per thread, both from the
 * kernel at the thread's set-up. One thread never repeats an id; two threads collide like random numbers.
 */
#ifndef AISTRACE_IDS_H
#define AISTRACE_IDS_H

#include <string.h>

#include "tracer.h"

void aistrace__ids_seed(struct aistrace__thread *thread);

/* Takes the next counter value. A signal handler may come at any point, so the addition must be one instruction; only
 * this thread is concerned, so it needs no lock prefix. */
static inline uint64_t aistrace__ids_count(struct aistrace__thread *thread)
{
    uint64_t value = thread->id_step;

#if defined(__x86_64__)
    __asm__ volatile("xaddq %0, %1" : "+r"(value), "+m"(thread->id_state)::"cc");
#else
    value = __atomic_fetch_add(&thread->id_state, value, __ATOMIC_RELAXED);
#endif
    return value;
}

static inline uint64_t aistrace__ids_next(struct aistrace__thread *thread)
{
    uint64_t id;

    do {
        id = aistrace__ids_count(thread);
        id = (id ^ (id >> 32)) * 0xd6e8feb86659fd93u;
        id = (id ^ (id >> 32)) * 0xd6e8feb86659fd93u;
        id ^= id >> 32;
    } while (unlikely(id == 0));
    return id;
}

static inline void aistrace__ids_span(struct aistrace__thread *thread, uint8_t span_id[8])
{
    uint64_t id = aistrace__ids_next(thread);

    memcpy(span_id, &id, sizeof(id));
}

static inline void aistrace__ids_trace(struct aistrace__thread *thread, uint8_t trace_id[16])
{
    aistrace__ids_span(thread, trace_id);
    aistrace__ids_span(thread, trace_id + 8);
}

#endif
