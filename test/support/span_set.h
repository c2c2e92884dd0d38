/* SPDX-License-Identifier: MIT
 *
 * What a directory of segments holds, read through shmring_reader: the tests' own view of what a client wrote.
 */
#ifndef SPAN_SET_H
#define SPAN_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shmring.h"
#include "span_format.h"

struct span_set_span {
    struct aistrace_span_record fixed;
    uint16_t flags;
    uint32_t thread;
    uint8_t *items;
    uint32_t items_bytes;
    uint8_t instance[16]; /* of its segment */
};

struct span_set {
    struct span_set_span *spans;
    size_t count;
    size_t segments;                        /* seen by the last drain */
    uint64_t committed;                     /* by the producers' own counters, at the last drain */
    uint64_t ring_full;                     /* likewise */
    uint8_t resource[SHMRING_RESOURCE_MAX]; /* of the segment read last */
    uint32_t resource_bytes;
};

struct span_set_item {
    struct aistrace_item head;
    const uint8_t *key;
    const uint8_t *value;
};

/* Appends everything unread in every segment of dir, and releases it. Aborts the test on any error. */
void span_set_drain(struct span_set *set, const char *dir);
void span_set_done(struct span_set *set);

const struct span_set_span *span_set_find(const struct span_set *set, const uint8_t span_id[8]);

/* Sorts by span id. -> how many ids come more than once. */
size_t span_set_duplicates(struct span_set *set);

/* Next item of [*cursor, end). -> false at the end; aborts on an item that runs over it. */
bool span_set_item_next(const uint8_t **cursor, const uint8_t *end, struct span_set_item *out);

/* The last item of that tag and key (NULL: any). */
bool span_set_item(const uint8_t *items, size_t bytes, int tag, const char *key, struct span_set_item *out);

/* True when the last item of that tag and key has exactly this value. */
bool span_set_is(const struct span_set_span *span, int tag, const char *key, const void *value, size_t bytes);
bool span_set_is_text(const struct span_set_span *span, int tag, const char *key, const char *text);
size_t span_set_items(const struct span_set_span *span, int tag);

/* Opens the only segment of dir. The caller closes it. */
struct shmring_reader *span_set_open(const char *dir);

/* A new empty directory below /dev/shm, removed by span_set_dir_remove. */
char *span_set_dir_new(void);
void span_set_dir_clear(const char *dir);
void span_set_dir_remove(char *dir);

#endif
