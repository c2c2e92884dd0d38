/* SPDX-License-Identifier: MIT
 *
 * Spans in bounded memory, grouped by trace. Knows bytes, ids and times, nothing of protobuf; no I/O; time is an
 * argument. When memory is full, the trace whose latest span arrived longest ago is evicted first. One thread.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint/otlp/wire.h"

enum { STORE_DEFAULT_BYTES = 64 << 20, STORE_MIN_BYTES = 1 << 20 };

struct store;

/* What spans of one resource and scope share; kept once. The four messages are as they came. */
struct store_origin {
    struct wire_bytes resource;
    struct wire_bytes resource_schema_url;
    struct wire_bytes scope;
    struct wire_bytes scope_schema_url;
    struct wire_bytes service; /* the resource's service.name; points into resource, or empty */
};

struct store_group; /* a kept origin */

struct store_span {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_id[8]; /* zero: none */
    uint64_t start_ns;
    uint64_t end_ns;
    uint8_t kind;           /* OTLP numbers */
    uint8_t status;         /* OTLP numbers */
    struct wire_bytes name; /* points into message, or empty */
    struct wire_bytes message;
};

/* A kept trace and a kept span, to be read only. */
struct store_entry {
    struct store_span span; /* name and message: the store's copy */
    const struct store_group *group;
    const struct store_entry *next; /* of the trace, in the order of arrival */
};
struct store_trace {
    uint8_t trace_id[16];
    uint64_t start_ns;   /* earliest */
    uint64_t end_ns;     /* latest */
    uint64_t arrived_ms; /* the latest span */
    size_t spans;
    const struct store_entry *first;
};

struct store_stats {
    uint64_t received;   /* = duplicates + kept + evicted_spans */
    uint64_t duplicates; /* of a span that is kept; the first one stays */
    uint64_t spans;
    uint64_t traces;
    uint64_t evicted_spans;
    uint64_t evicted_traces;
    uint64_t bytes; /* memory in use, tables included; at most max_bytes */
    uint64_t max_bytes;
};

/* key: random, for the hash tables. -> 0, -EINVAL (max_bytes below STORE_MIN_BYTES), -ENOMEM. */
int store_new(uint64_t max_bytes, uint64_t key, struct store **out);
void store_free(struct store *store);

/* The group of an origin, made if it is missing. It stays until released, and as long as spans of it are kept. */
int store_hold_group(struct store *store, const struct store_origin *origin, struct store_group **out);
void store_release_group(struct store *store, struct store_group *group);
const struct store_origin *store_group_origin(const struct store_group *group);

/* Copies the span. -> 1 kept, 0 a duplicate, -ENOMEM. A span larger than all of the memory counts as evicted. */
int store_add(struct store *store, struct store_group *group, const struct store_span *span, uint64_t now_ms);

/* Traces from the newest (latest arrival) to the oldest; valid until the next store_add. NULL: none. */
const struct store_trace *store_newest(const struct store *store);
const struct store_trace *store_older(const struct store_trace *trace);
const struct store_trace *store_find(const struct store *store, const uint8_t trace_id[16]);

/* A pinned trace stays readable until it is unpinned, also when it is evicted meanwhile (it is then no longer found,
 * counted or accounted). */
void store_pin(const struct store_trace *trace);
void store_unpin(struct store *store, const struct store_trace *trace);

/* Groups that have spans, in no order: services. NULL: none, or no more. */
const struct store_group *store_next_group(const struct store *store, const struct store_group *after);

void store_get_stats(const struct store *store, struct store_stats *out);

#endif
