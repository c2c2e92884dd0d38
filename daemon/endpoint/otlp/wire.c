/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <errno.h>
#include <string.h>

static int long_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *at < end && shift < 70; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << (shift < 64 ? shift : 63);
        if (!(byte & 0x80)) {
            *out = value;
            return shift < 63 || byte <= 1 ? 0 : -EBADMSG;
        }
    }
    return -EBADMSG;
}

/* Most varints are one byte. */
static inline int varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    if (*at < end && **at < 0x80) {
        *out = *(*at)++;
        return 0;
    }
    return long_varint(at, end, out);
}

static int fixed(const uint8_t **at, const uint8_t *end, size_t bytes, uint64_t *out)
{
    if ((size_t)(end - *at) < bytes)
        return -EBADMSG;
    *out = 0;
    memcpy(out, *at, bytes); /* little-endian, as the machine is */
    *at += bytes;
    return 0;
}

static inline int next(struct wire_bytes *rest, struct wire_field *out)
{
    if (rest->len == 0)
        return 0;
    const uint8_t *at = rest->data, *end = at + rest->len;
    uint64_t key, value = 0;
    struct wire_bytes bytes = {0};
    if (varint(&at, end, &key) || key >> 3 == 0 || key >> 32 != 0)
        return -EBADMSG;
    int err;
    switch (key & 7) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        err = varint(&at, end, &value);
        break;
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        err = fixed(&at, end, 8, &value);
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        err = fixed(&at, end, 4, &value);
        break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        err = varint(&at, end, &value);
        if (!err && value > (size_t)(end - at))
            err = -EBADMSG;
        if (!err) {
            bytes = (struct wire_bytes){at, (size_t)value};
            at += value;
        }
        break;
    default:
        err = -EBADMSG;
    }
    if (err)
        return -EBADMSG;
    rest->data = at;
    rest->len = (size_t)(end - at);
    out->number = (uint32_t)(key >> 3);
    out->type = (uint8_t)(key & 7);
    out->value = value;
    out->bytes = bytes;
    return 1;
}

int wire_next(struct wire_bytes *rest, struct wire_field *out)
{
    return next(rest, out);
}

bool wire_next_of(struct wire_bytes *rest, uint32_t number, struct wire_field *out)
{
    struct wire_field field;
    while (next(rest, &field) > 0) {
        if (field.number == number) {
            *out = field;
            return true;
        }
    }
    return false;
}

struct wire_field wire_last_of(struct wire_bytes message, uint32_t number)
{
    struct wire_field last = {0};
    while (wire_next_of(&message, number, &last))
        ;
    return last;
}

bool wire_same(struct wire_bytes a, struct wire_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool wire_is(struct wire_bytes bytes, const char *text)
{
    return wire_same(bytes, (struct wire_bytes){(const uint8_t *)text, strlen(text)});
}

/* By ProtobufCType; the types that are not listed are varints. */
static const uint8_t wire_types[] = {
    [PROTOBUF_C_TYPE_FIXED64] = PROTOBUF_C_WIRE_TYPE_64BIT,
    [PROTOBUF_C_TYPE_SFIXED64] = PROTOBUF_C_WIRE_TYPE_64BIT,
    [PROTOBUF_C_TYPE_DOUBLE] = PROTOBUF_C_WIRE_TYPE_64BIT,
    [PROTOBUF_C_TYPE_FIXED32] = PROTOBUF_C_WIRE_TYPE_32BIT,
    [PROTOBUF_C_TYPE_SFIXED32] = PROTOBUF_C_WIRE_TYPE_32BIT,
    [PROTOBUF_C_TYPE_FLOAT] = PROTOBUF_C_WIRE_TYPE_32BIT,
    [PROTOBUF_C_TYPE_STRING] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
    [PROTOBUF_C_TYPE_BYTES] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
    [PROTOBUF_C_TYPE_MESSAGE] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, /* the highest ProtobufCType */
};

static const ProtobufCFieldDescriptor *by_number(const ProtobufCMessageDescriptor *message, uint32_t number)
{
    /* Most messages number their fields without gaps. */
    if (number <= message->n_fields && message->fields[number - 1].id == number)
        return &message->fields[number - 1];
    return protobuf_c_message_descriptor_get_field(message, number);
}

const ProtobufCFieldDescriptor *wire_lookup(const ProtobufCMessageDescriptor *message, const struct wire_field *field)
{
    const ProtobufCFieldDescriptor *found = by_number(message, field->number);
    return found && wire_types[found->type] == field->type ? found : NULL;
}

static int check(const ProtobufCMessageDescriptor *message, struct wire_bytes bytes, unsigned depth)
{
    struct wire_field field;
    int more;
    if (depth == 0)
        return -EBADMSG;
    while ((more = next(&bytes, &field)) > 0) {
        const ProtobufCFieldDescriptor *known = by_number(message, field.number);
        if (!known)
            continue;
        if (wire_types[known->type] != field.type)
            return -EBADMSG;
        if (known->type == PROTOBUF_C_TYPE_MESSAGE && check(known->descriptor, field.bytes, depth - 1))
            return -EBADMSG;
    }
    return more;
}

int wire_check(const ProtobufCMessageDescriptor *message, struct wire_bytes bytes)
{
    return check(message, bytes, WIRE_MAX_DEPTH);
}
