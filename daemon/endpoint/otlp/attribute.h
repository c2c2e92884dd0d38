/* SPDX-License-Identifier: MIT
 *
 * Attributes in OTLP's protobuf bytes (checked by wire_check), read in place. Pure.
 */
#ifndef ATTRIBUTE_H
#define ATTRIBUTE_H

#include <stdbool.h>

#include "base/buf.h"
#include "wire.h"

/* Field numbers of OTLP's messages; the tests hold them against the generated descriptors' names. */
enum { OTLP_RESOURCE_ATTRIBUTES = 1 };
enum { OTLP_SCOPE_NAME = 1, OTLP_SCOPE_VERSION = 2 };
enum { OTLP_STATUS_MESSAGE = 2, OTLP_STATUS_CODE = 3 };
enum { OTLP_EVENT_TIME = 1, OTLP_EVENT_NAME = 2, OTLP_EVENT_ATTRIBUTES = 3 };
enum { OTLP_LINK_TRACE_ID = 1, OTLP_LINK_SPAN_ID = 2 };
enum {
    OTLP_SPAN_TRACE_STATE = 3,
    OTLP_SPAN_ATTRIBUTES = 9,
    OTLP_SPAN_DROPPED_ATTRIBUTES = 10,
    OTLP_SPAN_EVENTS = 11,
    OTLP_SPAN_DROPPED_EVENTS = 12,
    OTLP_SPAN_LINKS = 13,
    OTLP_SPAN_DROPPED_LINKS = 14,
    OTLP_SPAN_STATUS = 15,
    OTLP_SPAN_FLAGS = 16,
};
enum { OTLP_KIND_SERVER = 2, OTLP_STATUS_OK = 1, OTLP_STATUS_ERROR = 2 };

enum attribute_type {
    ATTRIBUTE_EMPTY,
    ATTRIBUTE_STRING,
    ATTRIBUTE_BOOL,
    ATTRIBUTE_INT,
    ATTRIBUTE_DOUBLE,
    ATTRIBUTE_ARRAY,
    ATTRIBUTE_MAP,
    ATTRIBUTE_BYTES,
};

struct attribute {
    struct wire_bytes key;
    enum attribute_type type;
    uint64_t bits;           /* BOOL, INT (two's complement), DOUBLE */
    struct wire_bytes bytes; /* STRING, BYTES; ARRAY and MAP: their message */
};

/* The next attribute of a message whose attributes are the fields of this number. */
bool attribute_next(struct wire_bytes *rest, uint32_t number, struct attribute *out);

/* The value as JSON: a string, a number, true, an array, an object, null. -> 0 or -ENOMEM. */
int attribute_append_json(struct buf *out, const struct attribute *attribute);

/* The value as a search asks for it: strings as they are, everything else as its JSON. -> 0 or -ENOMEM. */
int attribute_append_text(struct buf *out, const struct attribute *attribute);

#endif
