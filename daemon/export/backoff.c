/* SPDX-License-Identifier: MIT */
#include "backoff.h"

uint64_t backoff_ms(const struct backoff *backoff, unsigned failures, uint64_t random)
{
    double max = (double)backoff->max_ms;
    double wait = (double)backoff->initial_ms;
    while (failures-- && wait < max)
        wait *= backoff->factor;
    if (wait > max)
        wait = max;
    double unit = (double)(random >> 11) * 0x1p-53; /* [0, 1) */
    return (uint64_t)(wait * (1 + backoff->jitter * (2 * unit - 1)));
}

/* splitmix64 */
uint64_t backoff_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}
