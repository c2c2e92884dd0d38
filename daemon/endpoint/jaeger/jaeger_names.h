/* SPDX-License-Identifier: MIT
 *
 * A sorted set of names with kinds: services, operations. Bounded: beyond max_count or max_bytes no name is added.
 * Pure.
 */
#ifndef JAEGER_NAMES_H
#define JAEGER_NAMES_H

#include "base/buf.h"
#include "endpoint/otlp/wire.h"
#include "endpoint/store/hash.h"

struct jaeger_name {
    struct hash_link link;
    struct wire_bytes name;
    const char *kind; /* static text, or NULL */
    uint8_t data[];
};

struct jaeger_names {
    struct hash_table table;
    struct jaeger_name **list;
    size_t count, cap, bytes;
    size_t max_count, max_bytes;
    uint64_t key; /* random */
};

/* Copies the name when it is new and there is room. -> 0 or -ENOMEM. */
int jaeger_names_add(struct jaeger_names *names, struct wire_bytes name, const char *kind);
void jaeger_names_sort(struct jaeger_names *names);
void jaeger_names_done(struct jaeger_names *names);

#endif
