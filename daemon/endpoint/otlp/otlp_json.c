/* SPDX-License-Identifier: MIT */
#include "otlp_json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encoding.h"
#include "text.h"

enum { NUMBER_MAX = 32 };

/* The encoded bytes between quotes. room: their number. */
static int append_encoded(struct buf *out, struct wire_bytes bytes, size_t room,
                          char *(*encode)(char *out, const void *data, size_t bytes))
{
    int err = buf_reserve(out, room + 2);
    if (err)
        return err;
    char *at = (char *)out->data + out->len;
    *at++ = '"';
    at = encode(at, bytes.data, bytes.len);
    *at++ = '"';
    out->len = (size_t)(at - (char *)out->data);
    return 0;
}

static int append_hex(struct buf *out, struct wire_bytes bytes)
{
    return append_encoded(out, bytes, 2 * bytes.len, hex_encode);
}

int otlp_json_base64(struct buf *out, struct wire_bytes bytes)
{
    return append_encoded(out, bytes, BASE64_BYTES(bytes.len), base64_encode);
}

int otlp_json_double(struct buf *out, uint64_t bits)
{
    double value;
    char text[NUMBER_MAX];
    memcpy(&value, &bits, sizeof(value));
    if (isnan(value))
        return buf_append_text(out, "\"NaN\"");
    if (isinf(value))
        return buf_append_text(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return buf_append_text(out, text);
}

static int append_bytes(struct buf *out, const char *name, struct wire_bytes bytes)
{
    static const char *const ids[] = {"trace_id", "span_id", "parent_span_id"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        if (strcmp(name, ids[i]) == 0)
            return append_hex(out, bytes);
    }
    return otlp_json_base64(out, bytes);
}

static int append_value(struct buf *out, const ProtobufCFieldDescriptor *known, const struct wire_field *field)
{
    switch (known->type) {
    case PROTOBUF_C_TYPE_STRING:
        return text_append_json(out, field->bytes.data, field->bytes.len);
    case PROTOBUF_C_TYPE_BYTES:
        return append_bytes(out, known->name, field->bytes);
    case PROTOBUF_C_TYPE_MESSAGE:
        return otlp_json_message(out, known->descriptor, field->bytes);
    case PROTOBUF_C_TYPE_DOUBLE:
        return otlp_json_double(out, field->value);
    case PROTOBUF_C_TYPE_BOOL:
        return buf_append_text(out, field->value ? "true" : "false");
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return buf_printf(out, "\"%" PRId64 "\"", (int64_t)field->value);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return buf_printf(out, "\"%" PRIu64 "\"", field->value);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return buf_printf(out, "%" PRIu32, (uint32_t)field->value);
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return buf_printf(out, "%" PRId32, (int32_t)field->value);
    default:
        return buf_append_text(out, "null"); /* OTLP has no other types */
    }
}

/* Appends ,"lowerCamel": for a field called lower_camel. */
static int append_name(struct buf *out, const char *name, bool first)
{
    if (buf_reserve(out, strlen(name) + 4))
        return -ENOMEM;
    if (!first)
        out->data[out->len++] = ',';
    out->data[out->len++] = '"';
    for (bool upper = false; *name; name++) {
        if (*name != '_')
            out->data[out->len++] = (uint8_t)(upper && *name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
        upper = *name == '_';
    }
    out->data[out->len++] = '"';
    out->data[out->len++] = ':';
    return 0;
}

static int append_array(struct buf *out, const ProtobufCMessageDescriptor *message,
                        const ProtobufCFieldDescriptor *known, struct wire_bytes rest)
{
    struct wire_field field;
    bool first = true;
    int err = buf_append_text(out, "[");
    while (!err && wire_next(&rest, &field) > 0) {
        if (field.number != known->id || !wire_lookup(message, &field))
            continue;
        if (!first)
            err = buf_append_text(out, ",");
        if (!err)
            err = append_value(out, known, &field);
        first = false;
    }
    return err ? err : buf_append_text(out, "]");
}

/* The last field of each number, by the descriptor's index; of all members of a oneof only the last. */
struct present {
    struct wire_field last[24];
    bool set[24];
};

static void survey(const ProtobufCMessageDescriptor *message, struct wire_bytes rest, struct present *present)
{
    struct wire_field field;
    memset(present, 0, sizeof(*present));
    while (wire_next(&rest, &field) > 0) {
        const ProtobufCFieldDescriptor *known = wire_lookup(message, &field);
        size_t index = known ? (size_t)(known - message->fields) : sizeof(present->set);
        if (index >= sizeof(present->set))
            continue;
        for (unsigned i = 0; known->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && i < message->n_fields; i++)
            present->set[i] &= !(message->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF);
        present->set[index] = true;
        present->last[index] = field;
    }
}

int otlp_json_message(struct buf *out, const ProtobufCMessageDescriptor *message, struct wire_bytes bytes)
{
    struct present present;
    bool first = true;
    survey(message, bytes, &present);
    int err = buf_append_text(out, "{");
    for (unsigned i = 0; i < message->n_fields && i < sizeof(present.set) && !err; i++) {
        const ProtobufCFieldDescriptor *known = &message->fields[i];
        if (!present.set[i])
            continue;
        err = append_name(out, known->name, first);
        if (!err)
            err = known->label == PROTOBUF_C_LABEL_REPEATED ? append_array(out, message, known, bytes)
                                                            : append_value(out, known, &present.last[i]);
        first = false;
    }
    return err ? err : buf_append_text(out, "}");
}
