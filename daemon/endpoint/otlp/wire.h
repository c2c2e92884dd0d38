/* SPDX-License-Identifier: MIT
 *
 * Protobuf wire format, read in place. The descriptors that protobuf-c generates say what a field is; no structs are
 * built, so a message costs no memory, strings keep their length, and nesting is bounded (protobuf-c's own unpacking
 * recurses as deep as the sender likes, and ends a string at its first NUL). Pure.
 */
#ifndef WIRE_H
#define WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_MAX_DEPTH = 64 }; /* messages within messages */

struct wire_bytes {
    const uint8_t *data;
    size_t len;
};

struct wire_field {
    uint32_t number;
    uint8_t type;            /* ProtobufCWireType */
    uint64_t value;          /* of varint and fixed types; else the length */
    struct wire_bytes bytes; /* of length-prefixed */
};

/* Takes the next field off the front of rest. -> 1; 0 at the end; -EBADMSG, rest is then where it was. */
int wire_next(struct wire_bytes *rest, struct wire_field *out);

/* The next field of a message that has the number. -> whether there is one; rest is then behind it. */
bool wire_next_of(struct wire_bytes *rest, uint32_t number, struct wire_field *out);

/* The last field that has the number; zero when there is none. */
struct wire_field wire_last_of(struct wire_bytes message, uint32_t number);

/* Whether the bytes are the same; whether they are this text, without its NUL. */
bool wire_same(struct wire_bytes a, struct wire_bytes b);
bool wire_is(struct wire_bytes bytes, const char *text);

/* The descriptor of a field, or NULL: unknown, or known but of another wire type. */
const ProtobufCFieldDescriptor *wire_lookup(const ProtobufCMessageDescriptor *message, const struct wire_field *field);

/* Checks a message with all that it contains. -> 0; -EBADMSG: not protobuf, a known field of the wrong wire type, or
 * nested deeper than WIRE_MAX_DEPTH. */
int wire_check(const ProtobufCMessageDescriptor *message, struct wire_bytes bytes);

#endif
