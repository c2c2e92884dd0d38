/* SPDX-License-Identifier: MIT
 *
 * Exponential backoff with jitter. Pure: the caller brings the randomness.
 */
#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdint.h>

struct backoff {
    uint64_t initial_ms;
    uint64_t max_ms; /* before the jitter */
    double factor;
    double jitter; /* 0.2: between 80 % and 120 % of the wait */
};

/* How long to wait after failure number `failures` (0: the first). random: any 64 bits. */
uint64_t backoff_ms(const struct backoff *backoff, unsigned failures, uint64_t random);

/* The next of a sequence that is good enough for jitter, not for secrets. *state: any seed. */
uint64_t backoff_random(uint64_t *state);

#endif
