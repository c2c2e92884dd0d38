/* SPDX-License-Identifier: MIT
 *
 * A chained hash table of links embedded in what it holds. Doubles when full, never shrinks. One thread.
 */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_link {
    struct hash_link *next;
    uint64_t hash;
};

struct hash_table {
    struct hash_link **buckets;
    size_t size; /* a power of two, or 0 */
    size_t used;
};

/* key: secret, so that a sender who chooses the data cannot choose the bucket. */
uint64_t hash_bytes(uint64_t key, const void *data, size_t bytes);

/* First of the chain that may hold the hash; go on with link->next, comparing hash and key. NULL: none. */
struct hash_link *hash_first(const struct hash_table *table, uint64_t hash);

int hash_insert(struct hash_table *table, struct hash_link *link, uint64_t hash); /* -> 0 or -ENOMEM */
void hash_remove(struct hash_table *table, struct hash_link *link);
void hash_done(struct hash_table *table);

#endif
