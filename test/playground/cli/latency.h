/* SPDX-License-Identifier: MIT
 *
 * A histogram of latencies: fixed size, exact below 64 ns, within 1/32 above.
 */
#ifndef LATENCY_H
#define LATENCY_H

#include <stdint.h>

enum { LATENCY_SUB_BITS = 5, LATENCY_BUCKETS = (65 - LATENCY_SUB_BITS) << LATENCY_SUB_BITS };

struct latency {
    uint64_t count;
    uint64_t buckets[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t ns);
void latency_merge(struct latency *into, const struct latency *from);

/* The latency that this share (0 to 1) of them does not exceed, rounded up to its bucket's end; 0 when there are none.
 */
uint64_t latency_quantile_ns(const struct latency *latency, double share);

#endif
