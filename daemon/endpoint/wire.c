/* SPDX-License-Identifier: MIT */
#include "wire.h"

#include <errno.h>
#include <string.h>

static int varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
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

static int fixed(const uint8_t **at, const uint8_t *end, size_t bytes, uint64_t *out)
{
    if ((size_t)(end - *at) < bytes)
        return -EBADMSG;
    *out = 0;
    memcpy(out, *at, bytes); /* little-endian, as the machine is */
    *at += bytes;
    return 0;
}

int wire_next(struct wire_bytes *rest, struct wire_field *out)
{
    if (rest->len == 0)
        return 0;
    const uint8_t *at = rest->data, *end = at + rest->len;
    uint64_t key, length;
    struct wire_field field = {0};
    if (varint(&at, end, &key) < 0 || key >> 3 == 0 || key >> 32 != 0)
        return -EBADMSG;
    field.number = (uint32_t)(key >> 3);
    field.type = (uint8_t)(key & 7);
    int err;
    switch (field.type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        err = varint(&at, end, &field.value);
        break;
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        err = fixed(&at, end, 8, &field.value);
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        err = fixed(&at, end, 4, &field.value);
        break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        err = varint(&at, end, &length);
        if (err == 0 && length > (size_t)(end - at))
            err = -EBADMSG;
        if (err == 0) {
            field.bytes = (struct wire_bytes){at, (size_t)length};
            at += length;
        }
        break;
    default:
        err = -EBADMSG;
    }
    if (err < 0)
        return err;
    *rest = (struct wire_bytes){at, (size_t)(end - at)};
    *out = field;
    return 1;
}

static uint8_t wire_type_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default:
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

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
    return found && wire_type_of(found->type) == field->type ? found : NULL;
}

static int check(const ProtobufCMessageDescriptor *message, struct wire_bytes bytes, unsigned depth)
{
    struct wire_field field;
    int more;
    if (depth == 0)
        return -EBADMSG;
    while ((more = wire_next(&bytes, &field)) > 0) {
        const ProtobufCFieldDescriptor *known = by_number(message, field.number);
        if (!known)
            continue;
        if (wire_type_of(known->type) != field.type)
            return -EBADMSG;
        if (known->type == PROTOBUF_C_TYPE_MESSAGE && check(known->descriptor, field.bytes, depth - 1) < 0)
            return -EBADMSG;
    }
    return more;
}

int wire_check(const ProtobufCMessageDescriptor *message, struct wire_bytes bytes)
{
    return check(message, bytes, WIRE_MAX_DEPTH);
}
