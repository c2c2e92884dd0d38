/* SPDX-License-Identifier: MIT
 *
 * Spans as a test thinks of them, and their records, written item by item without the client library. Random ones come
 * from a seed. Each text knows how it has to arrive: it is put together from pieces, each with its replacement.
 */
#ifndef SPAN_MODEL_H
#define SPAN_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "span_format.h"

struct model_text {
    struct buf raw;
    struct buf want; /* as it must arrive */
    bool bad;        /* raw is not UTF-8 */
};

enum { MODEL_STRINGS_MAX = 5 };

struct model_attribute {
    struct model_text key;
    uint8_t type; /* enum aistrace_value_type */
    int64_t integer;
    double real;
    bool boolean;
    struct model_text text; /* STRING; BYTES: raw */
    struct model_text strings[MODEL_STRINGS_MAX];
    size_t string_count;
};

struct model_attributes {
    struct model_attribute *list; /* in the order they are set; keys may repeat */
    size_t count;
};

struct model_event {
    uint64_t time_unix_ns;
    struct model_text name;
    struct model_attributes attributes;
    uint32_t dropped_attributes;
};

struct model_link {
    struct aistrace_link_value fixed;
    struct model_text trace_state;
    struct model_attributes attributes;
};

struct model_span {
    struct aistrace_span_record fixed;
    uint16_t flags; /* enum aistrace_sampling */
    struct model_text name;
    struct model_text status_message;
    struct model_text trace_state;
    struct model_attributes attributes;
    struct model_event *events;
    size_t event_count;
    struct model_link *links;
    size_t link_count;
};

struct model_random {
    uint64_t state;
};
uint64_t model_next(struct model_random *random);
size_t model_below(struct model_random *random, size_t bound);

/* How big: 0 small as usual, 1 with everything, 2 at the limits. */
void model_span_random(struct model_span *span, struct model_random *random, int size);
void model_span_done(struct model_span *span);

/* Six attributes, four of them strings: the span that the performance figures speak of. */
void model_span_usual(struct model_span *span, uint64_t number);

void model_text_set(struct model_text *text, const char *ascii);

/* The record's payload, appended. */
void model_span_record(const struct model_span *span, struct buf *out);
void model_attribute_item(const struct model_attribute *attribute, struct buf *out);
void model_item(struct buf *out, uint8_t tag, uint8_t type, const void *key, size_t key_bytes, const void *value,
                size_t value_bytes);

#endif
