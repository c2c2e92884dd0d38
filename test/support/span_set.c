/* SPDX-License-Identifier: MIT */
#include "span_set.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/directory.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno));                      \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static void append(struct span_set *set, const struct shmring_view *view, const struct shmring_header *header)
{
    struct span_set_span *span;
    REQUIRE(view->type == AISTRACE_RECORD_SPAN && view->payload_bytes >= sizeof(span->fixed));
    if ((set->count & (set->count - 1)) == 0)
        REQUIRE(set->spans = realloc(set->spans, (set->count ? 2 * set->count : 1) * sizeof(*set->spans)));
    span = &set->spans[set->count++];
    memcpy(&span->fixed, view->payload, sizeof(span->fixed));
    span->flags = view->flags;
    span->thread = view->thread;
    span->items_bytes = view->payload_bytes - (uint32_t)sizeof(span->fixed);
    REQUIRE(span->items = malloc(span->items_bytes + 1u));
    memcpy(span->items, view->payload + sizeof(span->fixed), span->items_bytes);
    memcpy(span->instance, header->instance, sizeof(span->instance));
}

static void drain_slot(struct span_set *set, struct shmring_reader *reader, struct shmring_window *window,
                       uint32_t slot)
{
    struct shmring_ledger ledger = shmring_reader_slot(reader, slot)->ledger;
    struct shmring_view view;
    ssize_t bytes;
    int more;
    while ((bytes = shmring_reader_fill(reader, slot, window)) > 0) {
        while ((more = shmring_reader_next(window, &view)) > 0) {
            append(set, &view, shmring_reader_header(reader));
            ledger.counts.exported++;
        }
        REQUIRE(more == 0);
    }
    REQUIRE(bytes == 0);
    ledger.cpos = shmring_reader_slot(reader, slot)->read;
    shmring_reader_commit(reader, slot, &ledger);
    struct shmring_producer_status producer;
    shmring_reader_producer(reader, slot, &producer);
    set->committed +=
        producer.begun - producer.dropped[SHMRING_DROP_RING_FULL] - producer.dropped[SHMRING_DROP_OVERSIZE];
    set->ring_full += producer.dropped[SHMRING_DROP_RING_FULL];
}

static void drain_segment(struct span_set *set, int dir_fd, const char *name)
{
    struct shmring_reader *reader;
    REQUIRE(shmring_reader_open(dir_fd, name, &reader) == 0);
    struct shmring_window *window;
    REQUIRE(shmring_window_new(1 << 20, &window) == 0);
    for (uint32_t slot = 0; slot < shmring_reader_slots(reader); slot++)
        drain_slot(set, reader, window, slot);
    const uint8_t *resource = shmring_reader_resource(reader, &set->resource_bytes);
    memcpy(set->resource, resource, set->resource_bytes);
    set->segments++;
    shmring_window_free(window);
    shmring_reader_close(reader);
}

static bool is_segment(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > sizeof(SHMRING_SUFFIX) && strcmp(name + bytes - strlen(SHMRING_SUFFIX), SHMRING_SUFFIX) == 0;
}

void span_set_drain(struct span_set *set, const char *path)
{
    DIR *dir = opendir(path);
    REQUIRE(dir);
    set->segments = 0;
    set->committed = set->ring_full = 0;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (is_segment(entry->d_name))
            drain_segment(set, dirfd(dir), entry->d_name);
    }
    closedir(dir);
}

void span_set_done(struct span_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->spans[i].items);
    free(set->spans);
    memset(set, 0, sizeof(*set));
}

const struct span_set_span *span_set_find(const struct span_set *set, const uint8_t span_id[8])
{
    for (size_t i = 0; i < set->count; i++) {
        if (memcmp(set->spans[i].fixed.span_id, span_id, 8) == 0)
            return &set->spans[i];
    }
    return NULL;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct span_set_span *)a)->fixed.span_id, ((const struct span_set_span *)b)->fixed.span_id,
                  8);
}

size_t span_set_duplicates(struct span_set *set)
{
    size_t duplicates = 0;
    if (set->count)
        qsort(set->spans, set->count, sizeof(*set->spans), by_id);
    for (size_t i = 1; i < set->count; i++)
        duplicates += by_id(&set->spans[i - 1], &set->spans[i]) == 0;
    return duplicates;
}

bool span_set_item_next(const uint8_t **cursor, const uint8_t *end, struct span_set_item *out)
{
    if (*cursor == end)
        return false;
    REQUIRE((size_t)(end - *cursor) >= sizeof(out->head));
    memcpy(&out->head, *cursor, sizeof(out->head));
    out->key = *cursor + sizeof(out->head);
    out->value = out->key + out->head.key_bytes;
    REQUIRE((size_t)(end - out->key) >= (size_t)out->head.key_bytes + out->head.value_bytes);
    *cursor = out->value + out->head.value_bytes;
    return true;
}

bool span_set_item(const uint8_t *items, size_t bytes, int tag, const char *key, struct span_set_item *out)
{
    const uint8_t *cursor = items;
    bool found = false;
    struct span_set_item item;
    while (span_set_item_next(&cursor, items + bytes, &item)) {
        if (item.head.tag != tag)
            continue;
        if (key && (item.head.key_bytes != strlen(key) || memcmp(item.key, key, strlen(key)) != 0))
            continue;
        *out = item;
        found = true;
    }
    return found;
}

bool span_set_is(const struct span_set_span *span, int tag, const char *key, const void *value, size_t bytes)
{
    struct span_set_item item;
    return span_set_item(span->items, span->items_bytes, tag, key, &item) && item.head.value_bytes == bytes &&
           memcmp(item.value, value, bytes) == 0;
}

bool span_set_is_text(const struct span_set_span *span, int tag, const char *key, const char *text)
{
    return span_set_is(span, tag, key, text, strlen(text));
}

size_t span_set_items(const struct span_set_span *span, int tag)
{
    const uint8_t *cursor = span->items;
    size_t count = 0;
    struct span_set_item item;
    while (span_set_item_next(&cursor, span->items + span->items_bytes, &item))
        count += item.head.tag == tag;
    return count;
}

struct shmring_reader *span_set_open(const char *path)
{
    struct shmring_reader *reader = NULL;
    DIR *dir = opendir(path);
    REQUIRE(dir);
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (is_segment(entry->d_name))
            REQUIRE(!reader && shmring_reader_open(dirfd(dir), entry->d_name, &reader) == 0);
    }
    closedir(dir);
    REQUIRE(reader);
    return reader;
}

char *span_set_dir_new(void)
{
    char path[TEST_DIRECTORY_BYTES];
    test_directory(path, "spans");
    return strdup(path);
}

void span_set_dir_clear(const char *path)
{
    DIR *dir = opendir(path);
    REQUIRE(dir);
    struct dirent *entry;
    while ((entry = readdir(dir)))
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

void span_set_dir_remove(char *path)
{
    span_set_dir_clear(path);
    rmdir(path);
    free(path);
}
