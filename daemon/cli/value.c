/* SPDX-License-Identifier: MIT */
#include "value.h"

#include <string.h>

#include "line.h"
#include "tree.h"

enum { MAX_DEPTH = 64 };

static int append_string(struct buf *out, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t bytes = json_string_length(value);
    bool quote = bytes == 0 || memchr(text, ' ', bytes) || memchr(text, '"', bytes);
    int err = quote ? buf_append_text(out, "\"") : 0;
    if (!err)
        err = buf_append(out, text, bytes);
    return !err && quote ? buf_append_text(out, "\"") : err;
}

static int append_value(struct buf *out, const json_t *value, unsigned depth);

static int append_list(struct buf *out, const json_t *values, bool with_keys, unsigned depth)
{
    const json_t *item;
    size_t i;
    int err = buf_append_text(out, with_keys ? "{" : "[");
    json_array_foreach(values, i, item)
    {
        struct tree_text key = tree_get_text(item, "key");
        if (!err && i > 0)
            err = buf_append_text(out, ", ");
        if (!err && with_keys)
            err = buf_append(out, key.data, key.bytes);
        if (!err && with_keys)
            err = buf_append_text(out, "=");
        if (!err)
            err = append_value(out, with_keys ? json_object_get(item, "value") : item, depth);
    }
    return err ? err : buf_append_text(out, with_keys ? "}" : "]");
}

/* An AnyValue: an object with one member, named for the type. */
static int append_value(struct buf *out, const json_t *any, unsigned depth)
{
    const json_t *array = json_object_get(json_object_get(any, "arrayValue"), "values");
    const json_t *map = json_object_get(json_object_get(any, "kvlistValue"), "values");
    if (depth == 0)
        return buf_append_text(out, "…");
    if (array || map)
        return append_list(out, map ? map : array, map != NULL, depth - 1);
    const json_t *value = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)any));
    if (json_is_string(value))
        return json_object_get(any, "stringValue") ? append_string(out, value)
                                                   : buf_append_text(out, json_string_value(value));
    if (json_is_boolean(value))
        return buf_append_text(out, json_is_true(value) ? "true" : "false");
    if (json_is_integer(value))
        return buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value))
        return buf_printf(out, "%.15g", json_real_value(value));
    return json_object_get(any, "arrayValue") ? buf_append_text(out, "[]") : buf_append_text(out, "-");
}

int value_append_attribute(struct buf *out, const json_t *attribute, size_t max_columns)
{
    struct tree_text key = tree_get_text(attribute, "key");
    struct buf value = {0};
    int err = buf_append(out, key.data, key.bytes);
    if (!err)
        err = buf_append_text(out, "=");
    if (!err)
        err = append_value(&value, json_object_get(attribute, "value"), MAX_DEPTH);
    if (!err && line_columns((const char *)value.data, value.len) > max_columns) {
        struct line line = {.out = out};
        line_put(&line, LINE_PLAIN, (const char *)value.data, value.len, max_columns);
        err = line.err;
    } else if (!err) {
        err = buf_append(out, value.data, value.len);
    }
    buf_done(&value);
    return err;
}
