/* SPDX-License-Identifier: MIT */
#include "latency.h"

#include <stddef.h>

enum { SUB_BUCKETS = 1 << LATENCY_SUB_BITS };

/* A group of SUB_BUCKETS per power of two; the first two groups are exact. */
static size_t bucket_of(uint64_t ns)
{
    if (ns < SUB_BUCKETS)
        return (size_t)ns;
    int shift = 63 - __builtin_clzll(ns) - LATENCY_SUB_BITS;
    return ((size_t)shift << LATENCY_SUB_BITS) + (size_t)(ns >> shift);
}

static uint64_t end_of(size_t bucket)
{
    if (bucket < SUB_BUCKETS)
        return bucket;
    int shift = (int)(bucket >> LATENCY_SUB_BITS) - 1;
    return (((bucket & (SUB_BUCKETS - 1)) + SUB_BUCKETS + 1) << shift) - 1;
}

void latency_add(struct latency *latency, uint64_t ns)
{
    latency->count++;
    latency->buckets[bucket_of(ns)]++;
}

void latency_merge(struct latency *into, const struct latency *from)
{
    into->count += from->count;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

uint64_t latency_quantile_ns(const struct latency *latency, double share)
{
    double wanted = share * (double)latency->count;
    uint64_t seen = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS && latency->count > 0; i++) {
        seen += latency->buckets[i];
        if (seen > 0 && (double)seen >= wanted)
            return end_of(i);
    }
    return 0;
}
