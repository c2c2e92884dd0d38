/* SPDX-License-Identifier: MIT
 *
 * Trace and span ids: a bijective mixer over a counter with random start and random odd step per thread, both from the
 * kernel at the thread's set-up. Ids collide like random numbers.
 *
 * A clone of a virtual machine that goes on from a snapshot has the counters of all the other clones, and nothing tells
 * the program that it is one. So a thread stirs its counter whenever it reads the system's clock for a span, with the
 * nanoseconds read; and with a random number of the CPU's, where it has them, when it renews the wall clock, which some
 * thread does once a second. Clones that once differ go on differing. Not covered: what a thread begins in a clone
 * before it reads the clock, 0.1 ms or a few times that while it is busy; and two clones whose readings agree to the
 * nanosecond each time, which their CPU's random numbers then end.
 */
#ifndef AISTRACE_IDS_H
#define AISTRACE_IDS_H

#include <stdint.h>
#include <string.h>

#include "likely.h"
#include "own.h"

struct aistrace__ids {
    uint64_t state; /* the counter */
    uint64_t step;  /* odd */
};

/* From the kernel's random numbers; never fails. */
void aistrace__ids_seed(struct aistrace__ids *ids);

/* A random number of the CPU's own, without a system call; 0: it has none. */
uint64_t aistrace__ids_cpu_random(void);

/* Takes the next `count` counter values; -> the first. */
static inline uint64_t aistrace__ids_take(struct aistrace__ids *ids, uint64_t count)
{
    return shmring__own_add(&ids->state, ids->step * count);
}

/* Goes on from elsewhere. */
static inline void aistrace__ids_stir(struct aistrace__ids *ids, uint64_t by)
{
    shmring__own_add(&ids->state, by);
}

static inline uint64_t aistrace__ids_mix(uint64_t id)
{
    id = (id ^ (id >> 32)) * 0xd6e8feb86659fd93u;
    id = (id ^ (id >> 32)) * 0xd6e8feb86659fd93u;
    return id ^ (id >> 32);
}

/* Never zero: only one value mixes to zero. */
static inline uint64_t aistrace__ids_next(struct aistrace__ids *ids)
{
    uint64_t id = aistrace__ids_mix(aistrace__ids_take(ids, 1));
    return likely(id != 0) ? id : aistrace__ids_mix(aistrace__ids_take(ids, 1));
}

/* All the ids of a root at once: the counter is the only thing they wait for. */
static inline __attribute__((always_inline)) void aistrace__ids_root(struct aistrace__ids *ids, uint8_t trace_id[16],
                                                                     uint8_t span_id[8])
{
    uint64_t first = aistrace__ids_take(ids, 3);
    uint64_t trace[2] = {aistrace__ids_mix(first), aistrace__ids_mix(first + ids->step)};
    uint64_t span = aistrace__ids_mix(first + 2 * ids->step);
    if (unlikely(span == 0))
        span = aistrace__ids_next(ids);
    memcpy(trace_id, trace, sizeof(trace)); /* not both zero: no two values mix to the same */
    memcpy(span_id, &span, sizeof(span));
}

static inline void aistrace__ids_child(struct aistrace__ids *ids, uint8_t span_id[8])
{
    uint64_t id = aistrace__ids_next(ids);
    memcpy(span_id, &id, sizeof(id));
}

#endif
