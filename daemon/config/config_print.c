/* SPDX-License-Identifier: MIT
 *
 * Values as text: all that are in effect with where each came from, and which ones differ between two configurations.
 */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "config_schema.h"
#include "config_value.h"

static int print_json_string(const char *text, struct buf *out)
{
    json_t *string = json_string(text ? text : "");
    char *dumped = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    int err = buf_printf(out, "%s", dumped ? dumped : "\"\"");
    free(dumped);
    json_decref(string);
    return err;
}

static int print_attributes(const struct config *config, struct buf *out)
{
    int err = buf_printf(out, "{");
    for (size_t i = 0; i < config->attribute_count && !err; i++) {
        err = buf_printf(out, "%s", i ? ", " : "");
        if (!err)
            err = print_json_string(config->attributes[i].key, out);
        if (!err)
            err = buf_printf(out, ": ");
        if (!err)
            err = print_json_string(config->attributes[i].value, out);
    }
    return err ? err : buf_printf(out, "}");
}

int config_print_value(const struct config *config, const struct config_key *key, struct buf *out)
{
    const char *at = (const char *)config + key->offset;
    union {
        bool flag;
        char *text;
        uint64_t number;
        double share;
        unsigned name;
    } value;
    char formatted[CONFIG_VALUE_TEXT];
    switch (key->kind) {
    case CONFIG_BOOL:
        memcpy(&value.flag, at, sizeof(value.flag));
        return buf_printf(out, value.flag ? "true" : "false");
    case CONFIG_STRING:
        memcpy(&value.text, at, sizeof(value.text));
        return print_json_string(value.text, out);
    case CONFIG_COUNT:
        memcpy(&value.number, at, sizeof(value.number));
        return buf_printf(out, "%" PRIu64, value.number);
    case CONFIG_DURATION:
        memcpy(&value.number, at, sizeof(value.number));
        config_format_duration_ms(value.number, formatted);
        return buf_printf(out, "\"%s\"", formatted);
    case CONFIG_SIZE:
        memcpy(&value.number, at, sizeof(value.number));
        config_format_size_bytes(value.number, formatted);
        return buf_printf(out, "\"%s\"", formatted);
    case CONFIG_PROBABILITY:
        memcpy(&value.share, at, sizeof(value.share));
        return buf_printf(out, "\"%.15g\"", value.share);
    case CONFIG_NAMES:
        memcpy(&value.name, at, sizeof(value.name));
        return buf_printf(out, "\"%s\"", key->names[value.name]);
    case CONFIG_ATTRIBUTES:
        return print_attributes(config, out);
    }
    return 0;
}

static int print_origin(const struct config_origin *origin, struct buf *out)
{
    static const char *const kinds[] = {[CONFIG_DEFAULT] = "default",
                                        [CONFIG_FILE] = "file",
                                        [CONFIG_OTEL] = "env ",
                                        [CONFIG_ENV] = "env ",
                                        [CONFIG_FLAG] = "flag "};
    return buf_printf(out, "  (%s%s)\n", kinds[origin->source], origin->name ? origin->name : "");
}

static const char *way(const struct config *config)
{
    switch (config->transport) {
    case CONFIG_TLS:
        return config->skip_verify ? "over TLS, without verification" : "over TLS, verified";
    case CONFIG_TLS_OR_PLAINTEXT:
        return "over TLS, without verification, or in plaintext if it speaks that";
    default:
        return "in plaintext";
    }
}

/* What follows from several keys, as comments. */
static int print_consequences(const struct config *config, struct buf *out)
{
    char wire[CONFIG_VALUE_TEXT];
    int err = 0;
    for (size_t i = 0; i < config->header_count && !err; i++)
        err = buf_printf(out, "# header %s: (set)  (env %s)\n", config->headers[i].name, config->headers_origin);
    if (err || !config->enabled || !config->host)
        return err;
    config_format_size_bytes(config->max_in_flight * config->max_batch_bytes, wire);
    return buf_printf(out, "# %s%s%s is reached %s; at most %s are on the wire\n", config->host,
                      *config->port ? ":" : "", config->port, way(config), wire);
}

int config_print(const struct config *config, struct buf *out)
{
    int err = 0;
    for (size_t row = 0; row < config_key_count && !err; row++) {
        err = buf_printf(out, "%s = ", config_keys[row].path);
        if (!err)
            err = config_print_value(config, &config_keys[row], out);
        if (!err)
            err = print_origin(&config->origins[row], out);
    }
    return err ? err : print_consequences(config, out);
}

int config_compare(const struct config *a, const struct config *b, void (*changed_cb)(void *user, const char *key),
                   void *user)
{
    struct buf left = {0}, right = {0};
    int err = 0;
    for (size_t row = 0; row < config_key_count && !err; row++) {
        left.len = right.len = 0;
        err = config_print_value(a, &config_keys[row], &left);
        if (!err)
            err = config_print_value(b, &config_keys[row], &right);
        if (!err && (left.len != right.len || memcmp(left.data, right.data, left.len) != 0))
            changed_cb(user, config_keys[row].path);
    }
    buf_done(&left);
    buf_done(&right);
    return err;
}

const char *config_place(const struct config *config, const char *key, char text[CONFIG_PLACE_BYTES])
{
    const struct config_origin *origin = &config->origins[config_key_find(key)];
    const char *where = config_where(origin, text);
    return where ? where : origin->source == CONFIG_FILE ? "the file" : "default";
}
