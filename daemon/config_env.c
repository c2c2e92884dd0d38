/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_schema.h"
#include "config_value.h"

/* An empty variable counts as none. */
static const char *from_env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static const char *from_env_pair(const char *traces_name, const char *name, const char **used)
{
    const char *value = from_env(traces_name);
    *used = value ? traces_name : name;
    return value ? value : from_env(name);
}

/* key=value,key=value with percent escapes; modified in place. */
static int percent_decode(char *text)
{
    char *to = text;
    for (; *text; text++) {
        if (*text != '%') {
            *to++ = *text;
        } else if (isxdigit((unsigned char)text[1]) && isxdigit((unsigned char)text[2]) &&
                   strncmp(text, "%00", 3) != 0) {
            *to++ = (char)strtoul((char[]){text[1], text[2], '\0'}, NULL, 16);
            text += 2;
        } else {
            return -EINVAL;
        }
    }
    *to = '\0';
    return 0;
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t bytes = strlen(text);
    while (bytes > 0 && strchr(" \t", text[bytes - 1]))
        bytes--;
    text[bytes] = '\0';
    return text;
}

static void load_otel_attributes(struct config *config, struct config_errors *errors)
{
    static const char name[] = "OTEL_RESOURCE_ATTRIBUTES", path[] = "tracing.attributes";
    const char *value = from_env(name);
    char *copy = value ? strdup(value) : NULL;
    if (value && !copy)
        errors->no_memory = true;
    char *save = NULL;
    for (char *item = copy ? strtok_r(copy, ",", &save) : NULL; item; item = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(item, '=');
        if (equals)
            *equals = '\0';
        char *key = trim(item), *text = equals ? trim(equals + 1) : NULL;
        if (!text || !*key || percent_decode(key) != 0 || percent_decode(text) != 0) {
            config_error(errors, "environment OTEL_RESOURCE_ATTRIBUTES", path,
                         "not of the form key=value,key=value with %% escapes");
            break;
        }
        int err = config_add_attribute(config, key, text);
        if (err == -ENOMEM)
            errors->no_memory = true;
        int row = config_key_find(path);
        if (err == 0 && config->origins[row].source == CONFIG_DEFAULT)
            config->origins[row] = (struct config_origin){CONFIG_OTEL, name};
    }
    free(copy);
}

void config_load_otel(struct config *config, bool *insecure, struct config_errors *errors)
{
    const char *name;
    const char *value = from_env_pair("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", &name);
    if (value)
        config_set_path(config, "tracing.exporter_endpoint", value, CONFIG_OTEL, name, errors);
    if (value && config_source_of(config, "tracing.enabled") == CONFIG_DEFAULT)
        config_set_path(config, "tracing.enabled", "true", CONFIG_OTEL, name, errors);
    value = from_env_pair("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT", &name);
    if (value) {
        char text[64]; /* OpenTelemetry's timeout is in milliseconds and has no unit */
        bool digits = value[strspn(value, "0123456789")] == '\0';
        snprintf(text, sizeof(text), "%.50s%s", value, digits ? "ms" : "");
        config_set_path(config, "aistraced.timeout", text, CONFIG_OTEL, name, errors);
    }
    value = from_env_pair("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE", &name);
    if (value && config_parse_bool(value, insecure) != 0) {
        char where[80];
        snprintf(where, sizeof(where), "environment %s", name);
        config_error(errors, where, NULL, "\"%.100s\" is not true or false", value);
    }
    load_otel_attributes(config, errors);
}

void config_load_env(struct config *config, struct config_errors *errors)
{
    for (size_t row = 0; row < config_key_count; row++) {
        const char *value = config_keys[row].env ? from_env(config_keys[row].env) : NULL;
        if (value)
            config_set_text(config, (int)row, value, (struct config_origin){CONFIG_ENV, config_keys[row].env}, errors);
    }
}

void config_load_flags(struct config *config, const struct config_flags *flags, struct config_errors *errors)
{
    const struct {
        const char *path;
        const char *value;
    } given[] = {
        {"tracing.exporter_endpoint", flags->endpoint},
        {"aistraced.ring_dir", flags->ring_dir},
        {"aistraced.metrics_listen", flags->metrics_listen},
    };
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        int row = config_key_find(given[i].path);
        if (given[i].value)
            config_set_text(config, row, given[i].value, (struct config_origin){CONFIG_FLAG, config_keys[row].flag},
                            errors);
    }
}
