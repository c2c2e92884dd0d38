/* SPDX-License-Identifier: MIT
 *
 * Tells the client library what a span is, and writes the same down as one JSON line when the span ends: the other side
 * of the interop test. It keeps its own model of OpenTelemetry's rules (limits, replaced keys, final status) and asks
 * the library for nothing but ids and flags. Text is written as hex, doubles as their bits.
 */
#ifndef TOLD_H
#define TOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "aistrace.h"

enum { TOLD_LIMIT = 128 }; /* OpenTelemetry's, of attributes, events and links */

struct told_attributes {
    char *keys[TOLD_LIMIT];   /* hex */
    char *values[TOLD_LIMIT]; /* JSON */
    unsigned count;
    unsigned dropped;
};

struct told_event {
    char *name; /* hex */
    uint64_t not_before_ns;
    uint64_t not_after_ns;
    struct told_attributes attributes;
};

struct told_link {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    unsigned flags;
    char *trace_state; /* hex */
    struct told_attributes attributes;
};

/* Large: not for the stack. Zeroed by told_start. */
struct told_span {
    struct aistrace_span span;
    const char *note; /* which case this is, for people */
    char *name;
    uint8_t parent_span_id[8];
    bool remote_parent;
    bool sampled;
    bool lossy;    /* the buffer is too small on purpose: what arrives is a part, the rest is counted */
    bool bad_text; /* text that is not UTF-8 on purpose: its bad bytes arrive replaced */
    int kind;
    int status;
    char *message;
    char *trace_state;
    struct told_attributes attributes;
    struct told_event *events[TOLD_LIMIT];
    struct told_link *links[TOLD_LIMIT];
    unsigned event_count;
    unsigned link_count;
    unsigned dropped_events;
    unsigned dropped_links;
    uint64_t start_not_before_ns; /* Unix time around aistrace_span_start */
    uint64_t start_not_after_ns;
    uint64_t outer_ns; /* monotonic times for bounds of the duration */
    uint64_t inner_ns;
};

/* parent: what the span's parent will be, or NULL for a root; remote: it came out of aistrace_context_parse. */
void told_start(struct told_span *told, const char *note, const char *name, const struct aistrace_span_options *options,
                const struct aistrace_context *parent, bool remote);
void told_set(struct told_span *told, const struct aistrace_attribute *attribute);
void told_name(struct told_span *told, const char *name);
void told_status(struct told_span *told, enum aistrace_status status, const char *message);
void told_event(struct told_span *told, const char *name, const struct aistrace_attribute *attributes, size_t count);
void told_link(struct told_span *told, const struct aistrace_context *context, bool remote,
               const struct aistrace_attribute *attributes, size_t count);

/* Ends the span and writes its line. */
void told_end(struct told_span *told, FILE *out);

/* As a JSON object: for the resource. */
void told_print_attributes(FILE *out, const struct aistrace_attribute *attributes, size_t count);

#endif
