/* SPDX-License-Identifier: MIT */
#include "key_set.h"

#include <string.h>

static_assert(AISTRACE_MAX_ATTRIBUTES < 256, "a bucket is one byte");

enum { BUCKETS = sizeof(((struct key_set *)0)->buckets) };

static uint64_t hash(const uint8_t *key, size_t bytes)
{
    uint64_t h = bytes;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ key[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

void key_set_init(struct key_set *set)
{
    set->count = 0;
    memset(set->buckets, 0, sizeof(set->buckets));
}

size_t key_set_add(struct key_set *set, const uint8_t *key, size_t bytes)
{
    size_t bucket = hash(key, bytes) % BUCKETS;
    for (; set->buckets[bucket]; bucket = (bucket + 1) % BUCKETS) {
        size_t i = set->buckets[bucket] - 1u;
        if (set->keys[i].bytes == bytes && memcmp(set->keys[i].key, key, bytes) == 0)
            return i;
    }
    if (set->count == AISTRACE_MAX_ATTRIBUTES)
        return AISTRACE_MAX_ATTRIBUTES;
    set->keys[set->count].key = key;
    set->keys[set->count].bytes = bytes;
    set->buckets[bucket] = (uint8_t)++set->count;
    return set->count - 1;
}
