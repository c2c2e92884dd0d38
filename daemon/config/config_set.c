/* SPDX-License-Identifier: MIT
 *
 * Puts values into the configuration, each checked by what its row of the table says: texts of defaults, environment
 * and flags, and the file's JSON.
 */
#include "config_schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config_value.h"

enum { STRING_BYTES_MAX = 4096, ATTRIBUTES_MAX = 128, ATTRIBUTE_KEY_BYTES_MAX = 255, FAULT_TEXT = 768 };

/* One value on its way into the configuration. */
struct setting {
    struct config *config;
    const struct config_key *key;
    const char *where; /* as in config_error */
    const char *path;  /* as it was spelled */
    struct config_errors *errors;
};

static void *field(const struct setting *setting)
{
    return (char *)setting->config + setting->key->offset;
}

/* Adds an error about the value. */
static void fault(const struct setting *setting, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(const struct setting *setting, const char *format, ...)
{
    char text[FAULT_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    config_error(setting->errors, setting->where, setting->path, "%s", text);
}

/* ---- values ---- */

static void format_limit(const struct config_key *key, uint64_t value, char out[CONFIG_VALUE_TEXT])
{
    if (key->kind == CONFIG_DURATION)
        config_format_duration_ms(value, out);
    else if (key->kind == CONFIG_SIZE)
        config_format_size_bytes(value, out);
    else
        snprintf(out, CONFIG_VALUE_TEXT, "%" PRIu64, value);
}

static const char *const expected[] = {
    [CONFIG_BOOL] = "true or false",
    [CONFIG_STRING] = "a string",
    [CONFIG_COUNT] = "a whole number",
    [CONFIG_DURATION] = "a string of a whole number and a unit of ms, s, m or h, such as \"200ms\"",
    [CONFIG_SIZE] = "a string of a whole number and a unit of B, KiB, MiB or GiB, such as \"64MiB\"",
    [CONFIG_PROBABILITY] = "a share from 0 to 1, such as \"0.25\"",
    [CONFIG_NAMES] = "a string",
    [CONFIG_ATTRIBUTES] = "an object of strings",
};

static int set_number(const struct setting *setting, const char *text)
{
    const struct config_key *key = setting->key;
    uint64_t value;
    int err = key->kind == CONFIG_DURATION ? config_parse_duration_ms(text, &value)
              : key->kind == CONFIG_SIZE   ? config_parse_size_bytes(text, &value)
                                           : config_parse_count(text, &value);
    if (err == -EINVAL) {
        fault(setting, "\"%.100s\" is not %s", text, expected[key->kind]);
        return err;
    }
    bool off = !err && value == 0 && key->zero;
    if (err || (!off && value < key->min) || value > key->max) {
        char min[CONFIG_VALUE_TEXT], max[CONFIG_VALUE_TEXT];
        format_limit(key, key->min, min);
        format_limit(key, key->max, max);
        fault(setting, "%.100s is out of range: from %s to %s%s", text, min, max, key->zero ? ", or 0s for off" : "");
        return -ERANGE;
    }
    memcpy(field(setting), &value, sizeof(value));
    return 0;
}

static int set_probability(const struct setting *setting, const char *text)
{
    double value;
    int err = config_parse_double(text, &value);
    if (err == -EINVAL)
        fault(setting, "\"%.100s\" is not a number; give %s", text, expected[setting->key->kind]);
    else if (err || value < 0 || value > 1)
        fault(setting, "%.100s is out of range: give %s", text, expected[setting->key->kind]);
    else
        memcpy(field(setting), &value, sizeof(value));
    return err || value < 0 || value > 1 ? -EINVAL : 0;
}

static int set_name(const struct setting *setting, const char *text)
{
    char list[128] = "";
    for (unsigned i = 0; setting->key->names[i]; i++) {
        if (strcmp(setting->key->names[i], text) == 0) {
            memcpy(field(setting), &i, sizeof(i));
            return 0;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", setting->key->names[i]);
    }
    fault(setting, "\"%.100s\" is not one of: %s", text, list);
    return -EINVAL;
}

static int set_string(const struct setting *setting, const char *text)
{
    if (strlen(text) > STRING_BYTES_MAX) {
        fault(setting, "longer than %d bytes; shorten it", STRING_BYTES_MAX);
        return -EINVAL;
    }
    if (setting->key->not_empty && !*text) {
        fault(setting, "must not be empty; leave the key out for the default, \"%s\"", setting->key->preset);
        return -EINVAL;
    }
    char *copy = strdup(text);
    if (!copy) {
        setting->errors->no_memory = true;
        return -ENOMEM;
    }
    char **at = field(setting);
    free(*at);
    *at = copy;
    return 0;
}

static int set_bool(const struct setting *setting, const char *text)
{
    if (config_parse_bool(text, field(setting)) == 0)
        return 0;
    fault(setting, "\"%.100s\" is not %s", text, expected[setting->key->kind]);
    return -EINVAL;
}

static int (*const setters[])(const struct setting *setting, const char *text) = {
    [CONFIG_BOOL] = set_bool,       [CONFIG_STRING] = set_string, [CONFIG_COUNT] = set_number,
    [CONFIG_DURATION] = set_number, [CONFIG_SIZE] = set_number,   [CONFIG_PROBABILITY] = set_probability,
    [CONFIG_NAMES] = set_name,
};

/* path: as it was spelled. */
static struct setting setting_of(struct config *config, size_t row, const char *path, struct config_errors *errors)
{
    return (struct setting){.config = config, .key = &config_keys[row], .path = path, .errors = errors};
}

static void set(struct setting setting, const char *text, struct config_origin origin)
{
    char where[CONFIG_WHERE_BYTES];
    setting.where = config_where(&origin, where);
    if (!setters[setting.key->kind](&setting, text))
        setting.config->origins[setting.key - config_keys] = origin;
}

int config_set_defaults(struct config *config)
{
    struct buf ignored = {0};
    struct config_errors errors = {.out = &ignored};
    for (size_t row = 0; row < config_key_count; row++) {
        if (config_keys[row].preset)
            config_set_text(config, (int)row, config_keys[row].preset, (struct config_origin){CONFIG_DEFAULT, NULL},
                            &errors);
    }
    buf_done(&ignored);
    return errors.no_memory ? -ENOMEM : errors.count ? -EINVAL : 0;
}

void config_set_text(struct config *config, int row, const char *text, struct config_origin origin,
                     struct config_errors *errors)
{
    set(setting_of(config, (size_t)row, config_keys[row].path, errors), text, origin);
}

void config_set_path(struct config *config, const char *path, const char *text, enum config_source source,
                     const char *name, struct config_errors *errors)
{
    config_set_text(config, config_key_find(path), text, (struct config_origin){source, name}, errors);
}

enum config_source config_source_of(const struct config *config, const char *path)
{
    return config->origins[config_key_find(path)].source;
}

int config_add_attribute(struct config *config, const char *key, const char *value)
{
    for (size_t i = 0; i < config->attribute_count; i++) {
        if (strcmp(config->attributes[i].key, key) == 0)
            return -EEXIST;
    }
    size_t bytes = (config->attribute_count + 1) * sizeof(*config->attributes);
    struct resource_attribute *attributes = realloc(config->attributes, bytes);
    if (!attributes)
        return -ENOMEM;
    config->attributes = attributes;
    char *key_copy = strdup(key), *value_copy = strdup(value);
    if (!key_copy || !value_copy) {
        free(key_copy);
        free(value_copy);
        return -ENOMEM;
    }
    attributes[config->attribute_count++] = (struct resource_attribute){.key = key_copy, .value = value_copy};
    return 0;
}

/* ---- the file's objects ---- */

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {[JSON_OBJECT] = "an object",
                                        [JSON_ARRAY] = "an array",
                                        [JSON_STRING] = "a string",
                                        [JSON_INTEGER] = "a number",
                                        [JSON_REAL] = "a fractional number",
                                        [JSON_TRUE] = "true",
                                        [JSON_FALSE] = "false",
                                        [JSON_NULL] = "null"};
    return names[json_typeof(value)];
}

static void set_attribute(const struct setting *setting, const char *name, const json_t *value)
{
    if (!json_is_string(value))
        fault(setting, "%s where a string is expected", type_name(value));
    else if (!*name || strlen(name) > ATTRIBUTE_KEY_BYTES_MAX)
        fault(setting, "the name of an attribute has 1 to %d bytes", ATTRIBUTE_KEY_BYTES_MAX);
    else if (json_string_length(value) > STRING_BYTES_MAX)
        fault(setting, "longer than %d bytes; shorten it", STRING_BYTES_MAX);
    else if (config_add_attribute(setting->config, name, json_string_value(value)) == -ENOMEM)
        setting->errors->no_memory = true;
}

static void set_attributes(const struct setting *setting, json_t *object)
{
    const char *name;
    json_t *value;
    if (json_object_size(object) > ATTRIBUTES_MAX) {
        fault(setting, "more than %d attributes; leave some out", ATTRIBUTES_MAX);
        return;
    }
    json_object_foreach(object, name, value)
    {
        char path[CONFIG_PATH_BYTES];
        struct setting attribute = *setting;
        attribute.path = path;
        snprintf(path, sizeof(path), "%.200s.%.300s", setting->path, name);
        set_attribute(&attribute, name, value);
    }
    setting->config->origins[setting->key - config_keys] = (struct config_origin){CONFIG_FILE, NULL};
}

static bool type_fits(const struct config_key *key, const json_t *value)
{
    switch (key->kind) {
    case CONFIG_BOOL:
        return json_is_boolean(value);
    case CONFIG_COUNT:
        return json_is_integer(value);
    case CONFIG_SIZE:
        return json_is_string(value) || (json_is_integer(value) && json_integer_value(value) == 0);
    case CONFIG_PROBABILITY:
        return json_is_string(value) || json_is_number(value);
    case CONFIG_ATTRIBUTES:
        return json_is_object(value);
    default:
        return json_is_string(value);
    }
}

/* As short as it can be and still mean the same number. */
enum { REAL_TEXT = 48 };
static void format_real(double value, char text[REAL_TEXT])
{
    double again;
    snprintf(text, REAL_TEXT, "%.15g", value);
    if (config_parse_double(text, &again) != 0 || again < value || again > value)
        snprintf(text, REAL_TEXT, "%.17g", value);
}

static void set_from_json(const struct setting *setting, json_t *value)
{
    const struct config_key *key = setting->key;
    if (!type_fits(key, value)) {
        fault(setting, "%s where %s is expected", type_name(value), expected[key->kind]);
        return;
    }
    if (key->kind == CONFIG_ATTRIBUTES) {
        set_attributes(setting, value);
        return;
    }
    char number[REAL_TEXT];
    const char *text = json_is_string(value) ? json_string_value(value) : number;
    if (json_is_boolean(value))
        text = json_is_true(value) ? "true" : "false";
    else if (json_is_integer(value))
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        format_real(json_real_value(value), number);
    if (key->kind == CONFIG_COUNT && json_integer_value(value) < 0)
        fault(setting, "%s is out of range: from %" PRIu64 " to %" PRIu64, text, key->min, key->max);
    else
        set(*setting, text, (struct config_origin){CONFIG_FILE, NULL});
}

/* A key that has a second spelling, of which the file gave the other one before: both have to say the same. */
static void set_again(const struct setting *setting, json_t *value)
{
    struct buf before = {0}, after = {0};
    int err = config_print_value(setting->config, setting->key, &before);
    set_from_json(setting, value);
    if (!err)
        err = config_print_value(setting->config, setting->key, &after);
    if (err)
        setting->errors->no_memory = true;
    else if (before.len != after.len || memcmp(before.data, after.data, before.len) != 0)
        fault(setting, "both spellings of one key are there, with different values; keep one");
    buf_done(&before);
    buf_done(&after);
}

static void set_object(struct config *config, const char *prefix, json_t *object, struct config_errors *errors)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        char path[CONFIG_PATH_BYTES];
        snprintf(path, sizeof(path), "%.200s.%.300s", prefix, name);
        int row = config_key_member(prefix, name);
        if (row >= 0) {
            struct setting setting = setting_of(config, (size_t)row, path, errors);
            bool again = setting.key->spelling && config->origins[row].source == CONFIG_FILE;
            (again ? set_again : set_from_json)(&setting, value);
        } else if (!config_key_is_object(prefix, name)) {
            config_unknown_key(prefix, name, path, errors);
        } else if (!json_is_object(value)) {
            config_error(errors, NULL, path, "%s where an object is expected", type_name(value));
        } else {
            set_object(config, path, value, errors);
        }
    }
}

void config_set_section(struct config *config, const char *section, json_t *value, struct config_errors *errors)
{
    if (!json_is_object(value))
        config_error(errors, NULL, section, "%s where an object is expected", type_name(value));
    else
        set_object(config, section, value, errors);
}
