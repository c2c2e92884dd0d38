/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/otlp.h"

struct tree_text tree_get_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return (struct tree_text){"", 0};
    return (struct tree_text){json_string_value(value), json_string_length(value)};
}

uint64_t tree_get_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_integer(value))
        return (uint64_t)json_integer_value(value);
    return json_is_string(value) ? strtoull(json_string_value(value), NULL, 10) : 0;
}

static bool same(struct tree_text a, struct tree_text b)
{
    return a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0;
}

static struct tree_text service_of(const json_t *resource)
{
    const json_t *attributes = json_object_get(resource, "attributes"), *attribute;
    size_t i;
    json_array_foreach(attributes, i, attribute)
    {
        if (same(tree_get_text(attribute, "key"), (struct tree_text){"service.name", strlen("service.name")}))
            return tree_get_text(json_object_get(attribute, "value"), "stringValue");
    }
    return (struct tree_text){"", 0};
}

/* ---- collecting ---- */

static size_t count_spans(const json_t *line)
{
    const json_t *group, *scope;
    size_t i, j, count = 0;
    json_array_foreach(json_object_get(line, "resourceSpans"), i, group)
    {
        json_array_foreach(json_object_get(group, "scopeSpans"), j, scope) count +=
            json_array_size(json_object_get(scope, "spans"));
    }
    return count;
}

static struct tree_span read_span(const json_t *json, const json_t *resource, struct tree_text service)
{
    struct tree_span span = {
        .json = json,
        .resource = resource,
        .service = service,
        .id = tree_get_text(json, "spanId"),
        .parent_id = tree_get_text(json, "parentSpanId"),
        .name = tree_get_text(json, "name"),
        .start_ns = tree_get_number(json, "startTimeUnixNano"),
        .end_ns = tree_get_number(json, "endTimeUnixNano"),
        .kind = (int)tree_get_number(json, "kind"),
        .status = (int)tree_get_number(json_object_get(json, "status"), "code"),
        .parent = TREE_NONE,
        .first_child = TREE_NONE,
        .next_sibling = TREE_NONE,
    };
    if (span.end_ns < span.start_ns)
        span.end_ns = span.start_ns;
    return span;
}

static void collect(struct tree *tree)
{
    const json_t *group, *scope, *span;
    size_t i, j, k;
    json_array_foreach(json_object_get(tree->line, "resourceSpans"), i, group)
    {
        const json_t *resource = json_object_get(group, "resource");
        struct tree_text service = service_of(resource);
        json_array_foreach(json_object_get(group, "scopeSpans"), j, scope)
        {
            json_array_foreach(json_object_get(scope, "spans"), k, span) tree->spans[tree->count++] =
                read_span(span, resource, service);
        }
    }
}

/* ---- order ---- */

static int by_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_text(struct tree_text a, struct tree_text b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = memcmp(a.data, b.data, common);
    return order ? order : by_number(a.bytes, b.bytes);
}

/* Of spans that start together the longer one comes first: it is likely to be the parent. */
static int by_start(const void *a, const void *b)
{
    const struct tree_span *left = a, *right = b;
    int order = by_number(left->start_ns, right->start_ns);
    if (order == 0)
        order = by_number(right->end_ns, left->end_ns);
    return order ? order : by_text(left->id, right->id);
}

struct id_entry {
    struct tree_text id;
    ptrdiff_t index;
};

static int by_id(const void *a, const void *b)
{
    return by_text(((const struct id_entry *)a)->id, ((const struct id_entry *)b)->id);
}

static struct id_entry *index_ids(const struct tree *tree)
{
    struct id_entry *ids = calloc(tree->count + 1, sizeof(*ids));
    for (size_t i = 0; ids && i < tree->count; i++)
        ids[i] = (struct id_entry){tree->spans[i].id, (ptrdiff_t)i};
    if (ids)
        qsort(ids, tree->count, sizeof(*ids), by_id);
    return ids;
}

/* ---- linking ---- */

static bool has_parent(const struct tree_span *span)
{
    return span->parent_id.bytes > 0 && strspn(span->parent_id.data, "0") != span->parent_id.bytes;
}

static void find_parents(struct tree *tree, const struct id_entry *ids)
{
    for (size_t i = 0; i < tree->count; i++) {
        struct tree_span *span = &tree->spans[i];
        struct id_entry wanted = {.id = span->parent_id};
        if (!has_parent(span))
            continue;
        const struct id_entry *found = bsearch(&wanted, ids, tree->count, sizeof(*ids), by_id);
        span->orphan = !found;
        if (found)
            span->parent = found->index;
    }
}

/* Spans that are each other's ancestors form a ring: follows the parents up from every span, and cuts a ring at the
 * span whose parent was passed before. on_path[i] is the span from which i was first reached, counted from 1. */
static int cut_rings(struct tree *tree)
{
    size_t *on_path = calloc(tree->count + 1, sizeof(*on_path));
    if (!on_path)
        return -ENOMEM;
    for (size_t i = 0; i < tree->count; i++) {
        ptrdiff_t at = (ptrdiff_t)i;
        while (at != TREE_NONE && on_path[at] == 0) {
            on_path[at] = i + 1;
            ptrdiff_t parent = tree->spans[at].parent;
            if (parent != TREE_NONE && on_path[parent] == i + 1) {
                tree->spans[at].parent = TREE_NONE;
                tree->spans[at].orphan = true;
            }
            at = parent;
        }
    }
    free(on_path);
    return 0;
}

static void link_siblings(struct tree *tree)
{
    tree->first_root = TREE_NONE;
    for (size_t i = tree->count; i-- > 0;) { /* backwards, each to the head: siblings end up by start */
        struct tree_span *span = &tree->spans[i];
        ptrdiff_t *head = span->parent == TREE_NONE ? &tree->first_root : &tree->spans[span->parent].first_child;
        span->next_sibling = *head;
        *head = (ptrdiff_t)i;
    }
    for (ptrdiff_t at = tree_next(tree, TREE_NONE); at != TREE_NONE; at = tree_next(tree, at)) {
        struct tree_span *span = &tree->spans[at];
        span->depth = span->parent == TREE_NONE ? 0 : tree->spans[span->parent].depth + 1;
    }
}

ptrdiff_t tree_next(const struct tree *tree, ptrdiff_t after)
{
    if (after == TREE_NONE)
        return tree->first_root;
    if (tree->spans[after].first_child != TREE_NONE)
        return tree->spans[after].first_child;
    while (after != TREE_NONE && tree->spans[after].next_sibling == TREE_NONE)
        after = tree->spans[after].parent;
    return after == TREE_NONE ? TREE_NONE : tree->spans[after].next_sibling;
}

/* ---- the whole ---- */

static int count_services(struct tree *tree)
{
    struct id_entry *names = calloc(tree->count + 1, sizeof(*names));
    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < tree->count; i++)
        names[i].id = tree->spans[i].service;
    qsort(names, tree->count, sizeof(*names), by_id);
    for (size_t i = 0; i < tree->count; i++)
        tree->services += i == 0 || !same(names[i].id, names[i - 1].id);
    free(names);
    return 0;
}

static void summarise(struct tree *tree)
{
    tree->trace_id = tree_get_text(tree->spans[0].json, "traceId");
    tree->start_ns = tree->spans[0].start_ns;
    for (size_t i = 0; i < tree->count; i++) {
        if (tree->spans[i].end_ns > tree->end_ns)
            tree->end_ns = tree->spans[i].end_ns;
        tree->errors += tree->spans[i].status == OTLP_STATUS_ERROR;
    }
}

int tree_parse(const char *line, size_t bytes, struct tree *out)
{
    struct tree tree = {.line = json_loadb(line, bytes, JSON_ALLOW_NUL, NULL)};
    size_t count = count_spans(tree.line);
    int err = count == 0 ? -EBADMSG : 0;
    struct id_entry *ids = NULL;
    if (!err)
        tree.spans = calloc(count, sizeof(*tree.spans));
    if (tree.spans) {
        collect(&tree);
        qsort(tree.spans, tree.count, sizeof(*tree.spans), by_start);
        ids = index_ids(&tree);
    }
    if (!err && !ids)
        err = -ENOMEM;
    if (!err) {
        find_parents(&tree, ids);
        err = cut_rings(&tree);
    }
    free(ids);
    if (!err)
        err = count_services(&tree);
    if (err) {
        tree_done(&tree);
        return err;
    }
    link_siblings(&tree);
    summarise(&tree);
    *out = tree;
    return 0;
}

void tree_done(struct tree *tree)
{
    free(tree->spans);
    json_decref(tree->line);
    *tree = (struct tree){0};
}
