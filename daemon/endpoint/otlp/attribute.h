/* SPDX-License-Identifier: MIT
 *
 * Attributes in OTLP's protobuf bytes (checked by wire_check), read in place. Pure.
 */
#ifndef ATTRIBUTE_H
#define ATTRIBUTE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/otlp.h"
#include "wire.h"

enum attribute_type {
    ATTRIBUTE_EMPTY = 0,
    ATTRIBUTE_STRING = OTLP_ANY_VALUE_STRING,
    ATTRIBUTE_BOOL = OTLP_ANY_VALUE_BOOL,
    ATTRIBUTE_INT = OTLP_ANY_VALUE_INT,
    ATTRIBUTE_DOUBLE = OTLP_ANY_VALUE_DOUBLE,
    ATTRIBUTE_ARRAY = OTLP_ANY_VALUE_ARRAY,
    ATTRIBUTE_MAP = OTLP_ANY_VALUE_MAP,
    ATTRIBUTE_BYTES = OTLP_ANY_VALUE_BYTES,
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
