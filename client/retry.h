/* SPDX-License-Identifier: MIT
 *
 * When to try again what failed and may succeed later: a segment, a thread's ring. Driven by the spans that go without;
 * there is no timer. One word, which any thread may read; one thread at a time writes.
 */
#ifndef AISTRACE_RETRY_H
#define AISTRACE_RETRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* The waits double from the first to the longest. Room that was lacking is found again within a second; where the cause
 * is another one, each attempt may leave a line in a log. */
enum {
    AISTRACE__RETRY_FIRST_MS = 10,
    AISTRACE__RETRY_ROOM_MS = 500,
    AISTRACE__RETRY_LONGEST_MS = 60000,
};

/* All zeros: at once. */
struct aistrace__retry {
    _Atomic uint64_t word; /* coarse monotonic time of the next attempt in ms << 16 | the wait before it in ms */
};

static inline uint64_t aistrace__retry_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Cheap, and async-signal-safe: one load, and 5 ns for the time while a wait is in force. */
static inline bool aistrace__retry_is_due(const struct aistrace__retry *retry)
{
    uint64_t word = atomic_load_explicit(&retry->word, memory_order_relaxed);
    return word == 0 || aistrace__retry_now_ms() >= word >> 16;
}

/* The last attempt failed. */
static inline bool aistrace__retry_is_waiting(const struct aistrace__retry *retry)
{
    return atomic_load_explicit(&retry->word, memory_order_relaxed) != 0;
}

/* It succeeded, or begins anew. */
static inline void aistrace__retry_reset(struct aistrace__retry *retry)
{
    atomic_store_explicit(&retry->word, 0, memory_order_relaxed);
}

/* The next attempt in wait_ms; the wait after it is twice as long. */
static inline void aistrace__retry_in(struct aistrace__retry *retry, uint16_t wait_ms)
{
    atomic_store_explicit(&retry->word, (aistrace__retry_now_ms() + wait_ms) << 16 | wait_ms, memory_order_relaxed);
}

/* It failed with err, a negative errno: the next attempt in twice the wait before. */
void aistrace__retry_later(struct aistrace__retry *retry, int err);

#endif
