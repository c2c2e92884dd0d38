/* SPDX-License-Identifier: MIT */
#include "attribute.h"

#include <inttypes.h>
#include <string.h>

#include "otlp_json.h"
#include "text.h"

static void read_value(struct wire_bytes message, struct attribute *out)
{
    struct wire_field field;
    while (wire_next(&message, &field) > 0) {
        if (field.number >= ATTRIBUTE_STRING && field.number <= ATTRIBUTE_BYTES) {
            out->type = (enum attribute_type)field.number;
            out->bits = field.value;
            out->bytes = field.bytes;
        }
    }
}

bool attribute_next(struct wire_bytes *rest, uint32_t number, struct attribute *out)
{
    struct wire_field field, part;
    if (!wire_next_of(rest, number, &field))
        return false;
    struct attribute attribute = {0};
    struct wire_bytes value = {0};
    while (wire_next(&field.bytes, &part) > 0) {
        if (part.number == OTLP_KEY_VALUE_KEY)
            attribute.key = part.bytes;
        else if (part.number == OTLP_KEY_VALUE_VALUE)
            value = part.bytes;
    }
    read_value(value, &attribute);
    *out = attribute;
    return true;
}

static int append_array(struct buf *out, struct wire_bytes rest)
{
    struct wire_field field;
    int err = buf_append(out, "[", 1);
    for (bool first = true; !err && wire_next_of(&rest, OTLP_ARRAY_VALUE_VALUES, &field); first = false) {
        struct attribute element = {0};
        read_value(field.bytes, &element);
        err = buf_append(out, ",", first ? 0 : 1);
        if (!err)
            err = attribute_append_json(out, &element);
    }
    return err ? err : buf_append(out, "]", 1);
}

static int append_map(struct buf *out, struct wire_bytes rest)
{
    struct attribute member;
    int err = buf_append(out, "{", 1);
    for (bool first = true; !err && attribute_next(&rest, OTLP_MAP_VALUES, &member); first = false) {
        err = buf_append(out, ",", first ? 0 : 1);
        if (!err)
            err = text_append_json(out, member.key.data, member.key.len);
        if (!err)
            err = buf_append(out, ":", 1);
        if (!err)
            err = attribute_append_json(out, &member);
    }
    return err ? err : buf_append(out, "}", 1);
}

int attribute_append_json(struct buf *out, const struct attribute *attribute)
{
    switch (attribute->type) {
    case ATTRIBUTE_STRING:
        return text_append_json(out, attribute->bytes.data, attribute->bytes.len);
    case ATTRIBUTE_BOOL:
        return buf_printf(out, "%s", attribute->bits ? "true" : "false");
    case ATTRIBUTE_INT:
        return buf_printf(out, "%" PRId64, (int64_t)attribute->bits);
    case ATTRIBUTE_DOUBLE:
        return otlp_json_double(out, attribute->bits);
    case ATTRIBUTE_ARRAY:
        return append_array(out, attribute->bytes);
    case ATTRIBUTE_MAP:
        return append_map(out, attribute->bytes);
    case ATTRIBUTE_BYTES:
        return otlp_json_base64(out, attribute->bytes);
    case ATTRIBUTE_EMPTY:
        break;
    }
    return buf_append(out, "null", 4);
}

int attribute_append_text(struct buf *out, const struct attribute *attribute)
{
    if (attribute->type == ATTRIBUTE_STRING)
        return buf_append(out, attribute->bytes.data, attribute->bytes.len);
    return attribute_append_json(out, attribute);
}
