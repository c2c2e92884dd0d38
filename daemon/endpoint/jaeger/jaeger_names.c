/* SPDX-License-Identifier: MIT */
#include "jaeger_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct jaeger_names *names)
{
    size_t cap = names->cap ? 2 * names->cap : 64;
    struct jaeger_name **list = realloc(names->list, cap * sizeof(struct jaeger_name *));
    if (!list)
        return -ENOMEM;
    names->list = list;
    names->cap = cap;
    return 0;
}

int jaeger_names_add(struct jaeger_names *names, struct wire_bytes name, const char *kind)
{
    uint64_t hash = hash_bytes(names->key ^ (uintptr_t)kind, name.data, name.len);
    for (struct hash_link *link = hash_first(&names->table, hash); link; link = link->next) {
        const struct jaeger_name *known = (const struct jaeger_name *)(const void *)link; /* its first member */
        if (link->hash == hash && known->kind == kind && wire_same(known->name, name))
            return 0;
    }
    if (names->count >= names->max_count || name.len > names->max_bytes - names->bytes)
        return 0;
    if (names->count == names->cap && grow(names))
        return -ENOMEM;
    struct jaeger_name *added = malloc(sizeof(*added) + name.len);
    if (!added)
        return -ENOMEM;
    added->kind = kind;
    added->name = (struct wire_bytes){added->data, name.len};
    if (name.len)
        memcpy(added->data, name.data, name.len);
    if (hash_insert(&names->table, &added->link, hash)) {
        free(added);
        return -ENOMEM;
    }
    names->list[names->count++] = added;
    names->bytes += name.len;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct jaeger_name *one = *(struct jaeger_name *const *)a, *two = *(struct jaeger_name *const *)b;
    size_t shorter = one->name.len < two->name.len ? one->name.len : two->name.len;
    int order = memcmp(one->name.data, two->name.data, shorter);
    if (order == 0 && one->name.len != two->name.len)
        order = one->name.len < two->name.len ? -1 : 1;
    return order ? order : strcmp(one->kind ? one->kind : "", two->kind ? two->kind : "");
}

void jaeger_names_sort(struct jaeger_names *names)
{
    if (names->count)
        qsort(names->list, names->count, sizeof(struct jaeger_name *), by_name);
}

void jaeger_names_done(struct jaeger_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    hash_done(&names->table);
    *names = (struct jaeger_names){0};
}
