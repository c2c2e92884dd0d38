/* SPDX-License-Identifier: MIT
 *
 * The distinct attribute keys of one span, event or link, in the order of their first use.
 */
#ifndef KEY_SET_H
#define KEY_SET_H

#include <stddef.h>
#include <stdint.h>

#include "span_format.h"

struct key_set {
    size_t count;
    struct {
        const uint8_t *key;
        size_t bytes;
    } keys[AISTRACE_MAX_ATTRIBUTES];
    uint8_t buckets[4 * AISTRACE_MAX_ATTRIBUTES]; /* index into keys + 1; 0: free */
};

void key_set_init(struct key_set *set);

/* Adds the key unless the set has it; borrows it. -> its index; AISTRACE_MAX_ATTRIBUTES: the set is full without it */
size_t key_set_add(struct key_set *set, const uint8_t *key, size_t bytes);

#endif
