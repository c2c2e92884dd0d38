/* SPDX-License-Identifier: MIT
 *
 * OpenTelemetry's environment: the variables of its OTLP exporter, of which the form for traces wins, and those of its
 * resource.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encoding.h"
#include "base/given.h"
#include "config_schema.h"
#include "config_value.h"

enum { HEADERS_MAX = 32, HEADER_VALUE_BYTES_MAX = 8192 };

static const char headers_form[] = "write name=value,name=value with %XX for what is not plain";

struct pair {
    const char *traces_name, *name;
};
#define OTLP(option) "OTEL_EXPORTER_OTLP_TRACES_" option, "OTEL_EXPORTER_OTLP_" option

static const struct {
    const char *path;
    struct pair variables;
} keys[] = {
    {"tracing.exporter_endpoint", {OTLP("ENDPOINT")}}, {"aistraced.ca_file", {OTLP("CERTIFICATE")}},
    {"aistraced.key_file", {OTLP("CLIENT_KEY")}},      {"aistraced.cert_file", {OTLP("CLIENT_CERTIFICATE")}},
    {"aistraced.compression", {OTLP("COMPRESSION")}},
};
static const struct pair insecure_variables = {OTLP("INSECURE")}, timeout_variables = {OTLP("TIMEOUT")},
                         headers_variables = {OTLP("HEADERS")};

static const char *from_pair(const struct pair *pair, const char **used)
{
    const char *value = given_env(pair->traces_name);
    *used = value ? pair->traces_name : pair->name;
    return value ? value : given_env(pair->name);
}

/* ---- lists of key=value ---- */

/* In place. A NUL would end the text. */
static int decode(char *text)
{
    size_t bad, bytes = percent_decode(text, text, strlen(text), &bad);
    text[bytes] = '\0';
    return bad || strlen(text) < bytes ? -EINVAL : 0;
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

/* Splits and decodes one member, in place. */
static int take_member(char *member, char **key, char **value)
{
    char *equals = strchr(member, '=');
    if (!equals)
        return -EINVAL;
    *equals = '\0';
    *key = trim(member);
    *value = trim(equals + 1);
    return **key && !decode(*key) && !decode(*value) ? 0 : -EINVAL;
}

struct list {
    struct config *config;
    struct config_errors *errors;
    const char *name; /* of the variable */
};

/* Calls member_cb for each member that is not blank until it returns something else than 0. The copy is wiped: it may
 * hold secrets. */
static void each_member(const struct list *list, const char *text,
                        int (*member_cb)(const struct list *list, unsigned number, char *member))
{
    char *copy = strdup(text), *save = NULL;
    if (!copy) {
        list->errors->no_memory = true;
        return;
    }
    size_t bytes = strlen(copy);
    unsigned number = 1;
    for (char *member = strtok_r(copy, ",", &save); member; member = strtok_r(NULL, ",", &save)) {
        if (*trim(member) && member_cb(list, number, member) != 0)
            break;
        number++;
    }
    explicit_bzero(copy, bytes);
    free(copy);
}

/* ---- resource ---- */

/* Programs name themselves, or their role: what is left of a service's name is its prefix. */
static void set_service_name(const struct list *list, const char *value)
{
    static const char path[] = "tracing.service_name_prefix";
    if (config_source_of(list->config, path) == CONFIG_DEFAULT)
        config_set_path(list->config, path, value, CONFIG_OTEL, list->name, list->errors);
}

static int add_attribute(const struct list *list, unsigned number, char *member)
{
    static const char path[] = "tracing.attributes";
    char *key, *value;
    if (take_member(member, &key, &value) != 0) {
        char where[CONFIG_WHERE_BYTES];
        snprintf(where, sizeof(where), "environment %s", list->name);
        config_error(list->errors, where, path, "member %u is not of the form key=value; %s", number, headers_form);
        return -EINVAL;
    }
    if (strcmp(key, "service.name") == 0) {
        set_service_name(list, value);
        return 0;
    }
    int err = config_add_attribute(list->config, key, value);
    if (err == -ENOMEM)
        list->errors->no_memory = true;
    struct config_origin *origin = &list->config->origins[config_key_find(path)];
    if (!err && origin->source == CONFIG_DEFAULT)
        *origin = (struct config_origin){CONFIG_OTEL, list->name};
    return 0;
}

static void load_resource(struct config *config, struct config_errors *errors)
{
    struct list list = {config, errors, "OTEL_SERVICE_NAME"};
    const char *value = given_env(list.name);
    if (value)
        set_service_name(&list, value);
    list.name = "OTEL_RESOURCE_ATTRIBUTES";
    value = given_env(list.name);
    if (value)
        each_member(&list, value, add_attribute);
}

/* ---- headers: no error repeats what was written, it may be a secret ---- */

static const char *header_value_problem(const char *value)
{
    size_t bytes = strlen(value);
    if (bytes > HEADER_VALUE_BYTES_MAX)
        return "the value is longer than 8192 bytes";
    for (size_t i = 0; i < bytes; i++) {
        if (value[i] < ' ' || value[i] > '~')
            return "the value has characters that a header cannot carry; only visible ASCII can";
    }
    if (bytes > 0 && (value[0] == ' ' || value[bytes - 1] == ' '))
        return "the value begins or ends with a blank, which a header cannot carry";
    return NULL;
}

/* Takes name. -> 0 or -ENOMEM */
static int append_header(struct config *config, char *name, const char *value)
{
    size_t bytes = (config->header_count + 1) * sizeof(*config->headers);
    struct config_header *headers = realloc(config->headers, bytes);
    if (headers)
        config->headers = headers;
    char *copy = headers ? strdup(value) : NULL;
    if (!copy) {
        free(name);
        return -ENOMEM;
    }
    headers[config->header_count++] = (struct config_header){name, copy};
    return 0;
}

static bool has_header(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->header_count; i++) {
        if (strcmp(config->headers[i].name, name) == 0)
            return true;
    }
    return false;
}

static int add_header(const struct list *list, unsigned number, char *member)
{
    char *key, *value, *name = NULL, where[CONFIG_WHERE_BYTES];
    const char *problem = NULL;
    int err = take_member(member, &key, &value);
    if (err)
        problem = "not of the form name=value";
    else if ((err = config_parse_header_name(key, &name, &problem)) == 0)
        problem = has_header(list->config, name)              ? "a header of this name is there already; keep one"
                  : list->config->header_count == HEADERS_MAX ? "more than 32 headers"
                                                              : header_value_problem(value);
    if (!err && !problem) {
        err = append_header(list->config, name, value);
        name = NULL;
    }
    free(name);
    if (err == -ENOMEM)
        list->errors->no_memory = true;
    if (!problem)
        return err;
    snprintf(where, sizeof(where), "environment %s", list->name);
    config_error(list->errors, where, NULL, "header %u: %s; %s", number, problem, headers_form);
    return -EINVAL;
}

static void load_headers(struct config *config, struct config_errors *errors)
{
    struct list list = {.config = config, .errors = errors};
    const char *value = from_pair(&headers_variables, &list.name);
    config->headers_origin = value ? list.name : NULL;
    if (value)
        each_member(&list, value, add_header);
}

/* ---- timeout, plaintext ---- */

static void load_timeout(struct config *config, struct config_errors *errors)
{
    const char *name, *value = from_pair(&timeout_variables, &name);
    char text[64]; /* OpenTelemetry's timeout is in milliseconds and has no unit */
    if (!value)
        return;
    bool digits = value[strspn(value, "0123456789")] == '\0';
    snprintf(text, sizeof(text), "%.50s%s", value, digits ? "ms" : "");
    config_set_path(config, "aistraced.timeout", text, CONFIG_OTEL, name, errors);
}

static void load_insecure(bool *insecure, struct config_errors *errors)
{
    const char *name, *value = from_pair(&insecure_variables, &name);
    if (!value || config_parse_bool(value, insecure) == 0)
        return;
    char where[CONFIG_WHERE_BYTES];
    snprintf(where, sizeof(where), "environment %s", name);
    config_error(errors, where, NULL, "\"%.100s\" is not true or false", value);
}

void config_load_otel(struct config *config, bool *insecure, struct config_errors *errors)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *name, *value = from_pair(&keys[i].variables, &name);
        if (value)
            config_set_path(config, keys[i].path, value, CONFIG_OTEL, name, errors);
    }
    struct config_origin endpoint = config->origins[config_key_find("tracing.exporter_endpoint")];
    if (endpoint.source == CONFIG_OTEL && config_source_of(config, "tracing.enabled") == CONFIG_DEFAULT)
        config_set_path(config, "tracing.enabled", "true", CONFIG_OTEL, endpoint.name, errors);
    load_timeout(config, errors);
    load_insecure(insecure, errors);
    load_headers(config, errors);
    load_resource(config, errors);
}
