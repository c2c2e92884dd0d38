/* SPDX-License-Identifier: MIT */
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

enum { MALLOC_OVERHEAD = 16 };

struct store_group {
    struct hash_link link;
    struct store_group *prev, *next;
    struct store_origin origin;
    uint64_t references;
    size_t bytes;
    uint8_t data[];
};

struct entry {
    struct store_entry view;
    struct hash_link link;
    size_t bytes;
    uint8_t data[];
};

struct trace {
    struct store_trace view;
    struct hash_link link;
    struct trace *older, *newer;
    struct entry *last;
    unsigned pins;
    bool evicted;
};

struct store {
    struct hash_table traces;
    struct hash_table spans;
    struct hash_table groups;
    struct trace *oldest, *newest;
    struct store_group *first_group;
    uint64_t key;
    struct store_stats stats;
};

#define container(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static struct trace *trace_of(const struct store_trace *view)
{
    return container(view, struct trace, view);
}

static struct entry *entry_of(const struct store_entry *view)
{
    return container(view, struct entry, view);
}

int store_new(uint64_t max_bytes, uint64_t key, struct store **out)
{
    if (max_bytes < STORE_MIN_BYTES)
        return -EINVAL;
    struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return -ENOMEM;
    store->key = key;
    store->stats.max_bytes = max_bytes;
    *out = store;
    return 0;
}

static uint64_t accounted(const struct store *store)
{
    return store->stats.bytes +
           (store->traces.size + store->spans.size + store->groups.size) * sizeof(struct hash_link *);
}

/* ---- groups ---- */

static uint64_t hash_origin(const struct store *store, const struct store_origin *origin)
{
    uint64_t hash = hash_bytes(store->key, origin->resource.data, origin->resource.len);
    hash = hash_bytes(hash, origin->scope.data, origin->scope.len);
    hash = hash_bytes(hash, origin->resource_schema_url.data, origin->resource_schema_url.len);
    return hash_bytes(hash, origin->scope_schema_url.data, origin->scope_schema_url.len);
}

static bool same_origin(const struct store_origin *a, const struct store_origin *b)
{
    return wire_same(a->resource, b->resource) && wire_same(a->scope, b->scope) &&
           wire_same(a->resource_schema_url, b->resource_schema_url) &&
           wire_same(a->scope_schema_url, b->scope_schema_url);
}

static struct wire_bytes keep(uint8_t **at, struct wire_bytes from)
{
    struct wire_bytes kept = {*at, from.len};
    if (from.len)
        memcpy(*at, from.data, from.len);
    *at += from.len;
    return kept;
}

/* A part of `from` as the same part of its copy. */
static struct wire_bytes rebase(struct wire_bytes part, struct wire_bytes from, struct wire_bytes copy)
{
    if (part.len == 0)
        return (struct wire_bytes){copy.data, 0};
    return (struct wire_bytes){copy.data + (part.data - from.data), part.len};
}

int store_hold_group(struct store *store, const struct store_origin *origin, struct store_group **out)
{
    uint64_t hash = hash_origin(store, origin);
    for (struct hash_link *link = hash_first(&store->groups, hash); link; link = link->next) {
        struct store_group *found = container(link, struct store_group, link);
        if (link->hash == hash && same_origin(&found->origin, origin)) {
            found->references++;
            *out = found;
            return 0;
        }
    }
    size_t bytes =
        origin->resource.len + origin->resource_schema_url.len + origin->scope.len + origin->scope_schema_url.len;
    struct store_group *group = calloc(1, sizeof(*group) + bytes);
    if (!group)
        return -ENOMEM;
    uint8_t *at = group->data;
    group->origin.resource = keep(&at, origin->resource);
    group->origin.resource_schema_url = keep(&at, origin->resource_schema_url);
    group->origin.scope = keep(&at, origin->scope);
    group->origin.scope_schema_url = keep(&at, origin->scope_schema_url);
    group->origin.service = rebase(origin->service, origin->resource, group->origin.resource);
    group->bytes = sizeof(*group) + bytes + MALLOC_OVERHEAD;
    group->references = 1;
    if (hash_insert(&store->groups, &group->link, hash)) {
        free(group);
        return -ENOMEM;
    }
    group->next = store->first_group;
    if (group->next)
        group->next->prev = group;
    store->first_group = group;
    store->stats.bytes += group->bytes;
    *out = group;
    return 0;
}

static void free_group(struct store *store, struct store_group *group)
{
    hash_remove(&store->groups, &group->link);
    if (group->prev)
        group->prev->next = group->next;
    else
        store->first_group = group->next;
    if (group->next)
        group->next->prev = group->prev;
    store->stats.bytes -= group->bytes;
    free(group);
}

void store_release_group(struct store *store, struct store_group *group)
{
    if (group && --group->references == 0)
        free_group(store, group);
}

const struct store_origin *store_group_origin(const struct store_group *group)
{
    return &group->origin;
}

const struct store_group *store_next_group(const struct store *store, const struct store_group *after)
{
    return after ? after->next : store->first_group;
}

/* ---- traces ---- */

static struct trace *find_trace(const struct store *store, const uint8_t trace_id[16], uint64_t hash)
{
    for (struct hash_link *link = hash_first(&store->traces, hash); link; link = link->next) {
        struct trace *trace = container(link, struct trace, link);
        if (link->hash == hash && memcmp(trace->view.trace_id, trace_id, 16) == 0)
            return trace;
    }
    return NULL;
}

static void unlink_trace(struct store *store, struct trace *trace)
{
    *(trace->older ? &trace->older->newer : &store->oldest) = trace->newer;
    *(trace->newer ? &trace->newer->older : &store->newest) = trace->older;
    trace->older = trace->newer = NULL;
}

static void link_newest(struct store *store, struct trace *trace)
{
    trace->older = store->newest;
    *(trace->older ? &trace->older->newer : &store->oldest) = trace;
    store->newest = trace;
}

static void free_trace(struct store *store, struct trace *trace)
{
    for (const struct store_entry *at = trace->view.first, *next; at; at = next) {
        next = at->next;
        struct entry *entry = entry_of(at);
        store_release_group(store, (struct store_group *)at->group);
        free(entry);
    }
    free(trace);
}

static void evict(struct store *store, struct trace *trace)
{
    for (const struct store_entry *at = trace->view.first; at; at = at->next) {
        struct entry *entry = entry_of(at);
        hash_remove(&store->spans, &entry->link);
        store->stats.bytes -= entry->bytes;
    }
    hash_remove(&store->traces, &trace->link);
    unlink_trace(store, trace);
    store->stats.bytes -= sizeof(*trace) + MALLOC_OVERHEAD;
    store->stats.spans -= trace->view.spans;
    store->stats.traces--;
    store->stats.evicted_spans += trace->view.spans;
    store->stats.evicted_traces++;
    trace->evicted = true;
    if (trace->pins == 0)
        free_trace(store, trace);
}

void store_free(struct store *store)
{
    if (!store)
        return;
    while (store->oldest) {
        store->oldest->pins = 0;
        evict(store, store->oldest);
    }
    while (store->first_group)
        free_group(store, store->first_group);
    hash_done(&store->traces);
    hash_done(&store->spans);
    hash_done(&store->groups);
    free(store);
}

void store_pin(const struct store_trace *trace)
{
    trace_of(trace)->pins++;
}

void store_unpin(struct store *store, const struct store_trace *view)
{
    struct trace *trace = trace_of(view);
    if (--trace->pins == 0 && trace->evicted)
        free_trace(store, trace);
}

const struct store_trace *store_newest(const struct store *store)
{
    return store->newest ? &store->newest->view : NULL;
}

const struct store_trace *store_older(const struct store_trace *trace)
{
    const struct trace *older = trace_of(trace)->older;
    return older ? &older->view : NULL;
}

const struct store_trace *store_find(const struct store *store, const uint8_t trace_id[16])
{
    struct trace *trace = find_trace(store, trace_id, hash_bytes(store->key, trace_id, 16));
    return trace ? &trace->view : NULL;
}

/* ---- spans ---- */

static uint64_t hash_span(uint64_t trace_hash, const uint8_t span_id[8])
{
    return hash_bytes(trace_hash, span_id, 8);
}

static bool have_span(const struct store *store, const struct store_span *span, uint64_t hash)
{
    for (struct hash_link *link = hash_first(&store->spans, hash); link; link = link->next) {
        const struct entry *entry = container(link, struct entry, link);
        if (link->hash == hash && memcmp(entry->view.span.span_id, span->span_id, 8) == 0 &&
            memcmp(entry->view.span.trace_id, span->trace_id, 16) == 0)
            return true;
    }
    return false;
}

static struct entry *new_entry(struct store_group *group, const struct store_span *span)
{
    struct entry *entry = malloc(sizeof(*entry) + span->message.len);
    if (!entry)
        return NULL;
    uint8_t *at = entry->data;
    entry->view = (struct store_entry){.span = *span, .group = group};
    entry->view.span.message = keep(&at, span->message);
    entry->view.span.name = rebase(span->name, span->message, entry->view.span.message);
    entry->bytes = sizeof(*entry) + span->message.len + MALLOC_OVERHEAD;
    return entry;
}

static struct trace *new_trace(struct store *store, const struct store_span *span, uint64_t hash)
{
    struct trace *trace = calloc(1, sizeof(*trace));
    if (!trace)
        return NULL;
    memcpy(trace->view.trace_id, span->trace_id, 16);
    trace->view.start_ns = span->start_ns;
    trace->view.end_ns = span->end_ns;
    if (hash_insert(&store->traces, &trace->link, hash)) {
        free(trace);
        return NULL;
    }
    store->stats.bytes += sizeof(*trace) + MALLOC_OVERHEAD;
    store->stats.traces++;
    link_newest(store, trace);
    return trace;
}

static void append(struct store *store, struct trace *trace, struct entry *entry, uint64_t now_ms)
{
    struct store_trace *view = &trace->view;
    *(trace->last ? &trace->last->view.next : &view->first) = &entry->view;
    trace->last = entry;
    view->spans++;
    view->arrived_ms = now_ms;
    if (entry->view.span.start_ns < view->start_ns)
        view->start_ns = entry->view.span.start_ns;
    if (entry->view.span.end_ns > view->end_ns)
        view->end_ns = entry->view.span.end_ns;
    if (store->newest != trace) {
        unlink_trace(store, trace);
        link_newest(store, trace);
    }
}

int store_add(struct store *store, struct store_group *group, const struct store_span *span, uint64_t now_ms)
{
    uint64_t trace_hash = hash_bytes(store->key, span->trace_id, 16);
    uint64_t span_hash = hash_span(trace_hash, span->span_id);
    if (have_span(store, span, span_hash)) {
        store->stats.received++;
        store->stats.duplicates++;
        return 0;
    }
    struct entry *entry = new_entry(group, span);
    if (!entry)
        return -ENOMEM;
    struct trace *trace = find_trace(store, span->trace_id, trace_hash);
    if (!trace)
        trace = new_trace(store, span, trace_hash);
    if (!trace || hash_insert(&store->spans, &entry->link, span_hash)) {
        if (trace && !trace->view.first) {
            evict(store, trace);
            store->stats.evicted_traces--;
        }
        free(entry);
        return -ENOMEM;
    }
    group->references++;
    append(store, trace, entry, now_ms);
    store->stats.bytes += entry->bytes;
    store->stats.received++;
    store->stats.spans++;
    while (accounted(store) > store->stats.max_bytes && store->oldest)
        evict(store, store->oldest);
    return 1;
}

void store_get_stats(const struct store *store, struct store_stats *out)
{
    *out = store->stats;
    out->bytes = accounted(store);
}
