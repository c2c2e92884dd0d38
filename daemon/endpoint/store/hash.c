/* SPDX-License-Identifier: MIT */
#include "hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_bytes(uint64_t key, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t state = mix(key ^ 0x9e3779b97f4a7c15u, (uint64_t)bytes ^ 0xd1b54a32d192ed03u);
    for (size_t left = bytes; left > 0;) {
        uint64_t word = 0;
        size_t take = left < sizeof(word) ? left : sizeof(word);
        memcpy(&word, at, take);
        state = mix(state ^ word, key ^ 0xa0761d6478bd642fu) ^ (state >> 32) ^ word;
        at += take;
        left -= take;
    }
    return mix(state ^ key, 0xe7037ed1a0b428dbu);
}

struct hash_link *hash_first(const struct hash_table *table, uint64_t hash)
{
    return table->size ? table->buckets[hash & (table->size - 1)] : NULL;
}

static int grow(struct hash_table *table)
{
    size_t size = table->size ? table->size * 2 : 64;
    struct hash_link **buckets = calloc(size, sizeof(*buckets));
    if (!buckets)
        return -ENOMEM;
    for (size_t i = 0; i < table->size; i++) {
        for (struct hash_link *link = table->buckets[i], *next; link; link = next) {
            struct hash_link **head = &buckets[link->hash & (size - 1)];
            next = link->next;
            link->next = *head;
            *head = link;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->size = size;
    return 0;
}

int hash_insert(struct hash_table *table, struct hash_link *link, uint64_t hash)
{
    if (table->used >= table->size) {
        int err = grow(table);
        if (err)
            return err;
    }
    struct hash_link **head = &table->buckets[hash & (table->size - 1)];
    *link = (struct hash_link){.next = *head, .hash = hash};
    *head = link;
    table->used++;
    return 0;
}

void hash_remove(struct hash_table *table, struct hash_link *link)
{
    struct hash_link **at = &table->buckets[link->hash & (table->size - 1)];
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    table->used--;
}

void hash_done(struct hash_table *table)
{
    free(table->buckets);
    *table = (struct hash_table){0};
}
