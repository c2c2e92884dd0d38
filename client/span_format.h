/* SPDX-License-Identifier: MIT
 *
 * The compact span record: payload of a ring record of type AISTRACE_RECORD_SPAN. The client writes it, the daemon
 * reads it; neither trusts more of it than it has checked.
 *
 *   struct aistrace_span_record, then items until the payload ends:
 *   item   := struct aistrace_item, key_bytes of key, value_bytes of value; packed, no alignment
 *   NAME, STATUS_MESSAGE, TRACE_STATE    key empty, value the text; the last of a kind wins
 *   ATTRIBUTE                            key, value by type; a key may come again: the last one wins
 *   EVENT                                key the event's name, value aistrace_event_value, then ATTRIBUTE items
 *   LINK                                 key the link's trace state, value aistrace_link_value, then ATTRIBUTE items
 *
 * Values by type: INT, DOUBLE 8 bytes; BOOL 1 byte, 0 or 1; STRING, BYTES as they are;
 * STRING_ARRAY a sequence of { uint32_t bytes; text }.
 *
 * The segment's resource is a sequence of items too: at most one ROLE or SERVICE, then ATTRIBUTEs.
 * Little-endian; packed fields are read with memcpy.
 */
#ifndef AISTRACE_SPAN_FORMAT_H
#define AISTRACE_SPAN_FORMAT_H

#include <assert.h>
#include <stdint.h>

enum { AISTRACE_RECORD_SPAN = 1 }; /* shmring_record.type */

/* Sampling facts, in shmring_record.flags; local descendants inherit the first three. */
enum aistrace_sampling {
    AISTRACE_SAMPLED = 1u << 0,        /* keep. Equals the W3C sampled flag */
    AISTRACE_UNDECIDED = 1u << 1,      /* the root began before a probability was published; kept */
    AISTRACE_REMOTE_DECIDED = 1u << 2, /* decided by another process: this span has its sampled flag */
    AISTRACE_REMOTE_PARENT = 1u << 3,  /* this span's own parent is in another process */
};

struct aistrace_span_record {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t parent_span_id[8]; /* zero: a root */
    uint64_t start_unix_ns;
    uint64_t duration_ns;
    uint8_t kind;        /* OTLP Span.SpanKind, 1 ... 5 */
    uint8_t status;      /* OTLP Status.StatusCode, 0 ... 2 */
    uint8_t trace_flags; /* W3C flags of this span's context */
    uint8_t reserved0;
    uint32_t dropped_attributes;
    uint32_t dropped_events;
    uint32_t dropped_links;
};
static_assert(sizeof(struct aistrace_span_record) == 64, "fixed part is one cache line");

enum aistrace_item_tag {
    AISTRACE_ITEM_NAME = 1,
    AISTRACE_ITEM_STATUS_MESSAGE = 2,
    AISTRACE_ITEM_TRACE_STATE = 3,
    AISTRACE_ITEM_ATTRIBUTE = 4,
    AISTRACE_ITEM_EVENT = 5,
    AISTRACE_ITEM_LINK = 6,
    AISTRACE_ITEM_ROLE = 16,    /* resource only: service.name is the configured prefix, "-", this */
    AISTRACE_ITEM_SERVICE = 17, /* resource only: service.name verbatim */
};

enum aistrace_value_type {
    AISTRACE_VALUE_NONE = 0, /* of every item that is not an attribute */
    AISTRACE_VALUE_STRING = 1,
    AISTRACE_VALUE_BOOL = 2,
    AISTRACE_VALUE_INT = 3,
    AISTRACE_VALUE_DOUBLE = 4,
    AISTRACE_VALUE_BYTES = 5,
    AISTRACE_VALUE_STRING_ARRAY = 6,
};

#define AISTRACE_KEY_INTERNED 0x8000u /* in key_bytes, reserved: the key is an index into the segment's key table */
#define AISTRACE_KEY_MAX      0x7fffu /* bytes */

struct aistrace_item {
    uint8_t tag;  /* enum aistrace_item_tag */
    uint8_t type; /* enum aistrace_value_type */
    uint16_t key_bytes;
    uint32_t value_bytes;
};
static_assert(sizeof(struct aistrace_item) == 8, "item header");

struct aistrace_event_value {
    uint64_t time_unix_ns;
    uint32_t dropped_attributes;
    uint32_t reserved0;
};
static_assert(sizeof(struct aistrace_event_value) == 16, "event");

struct aistrace_link_value {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t trace_flags;
    uint8_t remote; /* 1: the linked context came from another process */
    uint16_t reserved0;
    uint32_t dropped_attributes;
};
static_assert(sizeof(struct aistrace_link_value) == 32, "link");

/* OpenTelemetry's limits. The client writes no more, and counts what is over in the dropped_* fields; the daemon
 * refuses a record with more, and a segment whose resource has more. Attributes have a key. */
enum {
    AISTRACE_MAX_ATTRIBUTES = 128, /* per span, event, link, resource; of different keys */
    AISTRACE_MAX_EVENTS = 128,
    AISTRACE_MAX_LINKS = 128,
    AISTRACE_MAX_ITEMS = 1 << 16, /* of a record: twice those of a span at all its limits; bounds the daemon's time */
};

#endif
