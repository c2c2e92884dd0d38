/* SPDX-License-Identifier: MIT */
#include "config_schema.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config_value.h"

static const char *const level_names[] = {"error", "warn", "info", "debug", NULL};
static const char *const format_names[] = {"text", "json", NULL};
static const char *const compression_names[] = {"none", "gzip", NULL};
static const char *const sync_names[] = {"always", "never", NULL};
static_assert(LOG_ERROR == 0 && LOG_DEBUG == 3 && LOG_TEXT == 0 && LOG_JSON == 1, "names are in the enums' order");

#define FIELD(name) .offset = offsetof(struct config, name)
#define SECOND      1000ull
#define MINUTE      (60 * SECOND)
#define KIB         1024ull
#define MIB         (1024 * KIB)

const struct config_key config_keys[] = {
    {"tracing.enabled", CONFIG_BOOL, FIELD(enabled), .preset = "false"},
    {"tracing.exporter_endpoint", CONFIG_STRING, FIELD(endpoint), .preset = "", .env = "AIS_TRACING_ENDPOINT",
     .flag = "--endpoint"},
    {"tracing.service_name_prefix", CONFIG_STRING, FIELD(service_prefix), .preset = "aistore",
     .env = "AIS_TRACING_SERVICE_PREFIX"},
    {"tracing.attributes", CONFIG_ATTRIBUTES, FIELD(attributes)},
    {"tracing.sampler_probability", CONFIG_PROBABILITY, FIELD(probability), .preset = "1.0",
     .env = "AIS_TRACING_SAMPLING_PROBABILITY", .spelling = "sampler_probablity"},
    {"tracing.skip_verify", CONFIG_BOOL, FIELD(skip_verify), .preset = "false"},
    {"tracing.exporter_auth.token_header", CONFIG_STRING, FIELD(token_header), .preset = "",
     .env = "AIS_TRACING_AUTH_TOKEN_HEADER"},
    {"tracing.exporter_auth.token_file", CONFIG_STRING, FIELD(token_file), .preset = "",
     .env = "AIS_TRACING_AUTH_TOKEN_FILE"},
    {"aistraced.ring_dir", CONFIG_STRING, FIELD(ring_dir), .preset = "/dev/shm/aistrace", .env = "AIS_TRACING_RING_DIR",
     .flag = "--ring-dir", .not_empty = true},
    {"aistraced.flush_interval", CONFIG_DURATION, FIELD(flush_interval_ms), .preset = "1s", .min = 1, .max = MINUTE},
    {"aistraced.max_batch_spans", CONFIG_COUNT, FIELD(max_batch_spans), .preset = "2048", .min = 1, .max = 65536},
    {"aistraced.max_batch_bytes", CONFIG_SIZE, FIELD(max_batch_bytes), .preset = "1MiB", .min = KIB, .max = 4 * MIB},
    {"aistraced.max_in_flight", CONFIG_COUNT, FIELD(max_in_flight), .preset = "8", .min = 1, .max = 256},
    {"aistraced.timeout", CONFIG_DURATION, FIELD(timeout_ms), .preset = "10s", .min = 1, .max = 10 * MINUTE},
    {"aistraced.retry.initial", CONFIG_DURATION, FIELD(retry_initial_ms), .preset = "1s", .min = 1, .max = 10 * MINUTE},
    {"aistraced.retry.max", CONFIG_DURATION, FIELD(retry_max_ms), .preset = "30s", .min = 1, .max = 60 * MINUTE},
    {"aistraced.keepalive", CONFIG_DURATION, FIELD(keepalive_ms), .preset = "0s", .min = 10 * SECOND,
     .max = 60 * MINUTE, .zero = true},
    {"aistraced.max_connection_age", CONFIG_DURATION, FIELD(max_connection_age_ms), .preset = "0s", .min = SECOND,
     .max = 24 * 60 * MINUTE, .zero = true},
    {"aistraced.compression", CONFIG_NAMES, FIELD(compression), .preset = "none", .names = compression_names},
    {"aistraced.ca_file", CONFIG_STRING, FIELD(ca_file), .preset = ""},
    {"aistraced.cert_file", CONFIG_STRING, FIELD(cert_file), .preset = ""},
    {"aistraced.key_file", CONFIG_STRING, FIELD(key_file), .preset = ""},
    {"aistraced.spool.dir", CONFIG_STRING, FIELD(spool_dir), .preset = ""},
    {"aistraced.spool.max_bytes", CONFIG_SIZE, FIELD(spool_max_bytes), .preset = "1GiB", .max = UINT64_MAX},
    {"aistraced.spool.sync", CONFIG_NAMES, FIELD(spool_sync), .preset = "always", .names = sync_names},
    {"aistraced.drain_deadline", CONFIG_DURATION, FIELD(drain_deadline_ms), .preset = "10s", .max = 10 * MINUTE},
    {"aistraced.metrics_listen", CONFIG_STRING, FIELD(metrics_listen), .preset = "127.0.0.1:9464",
     .flag = "--metrics-listen"},
    {"aistraced.log.level", CONFIG_NAMES, FIELD(log_level), .preset = "info", .names = level_names},
    {"aistraced.log.format", CONFIG_NAMES, FIELD(log_format), .preset = "text", .names = format_names},
};
const size_t config_key_count = sizeof(config_keys) / sizeof(config_keys[0]);
static_assert(sizeof(config_keys) / sizeof(config_keys[0]) <= CONFIG_KEYS_MAX, "an origin for every key");

/* ---- errors ---- */

static void add_error(struct config_errors *errors, const char *where, const char *path, const char *format,
                      va_list args)
{
    if (errors->count++ >= CONFIG_ERRORS_MAX)
        return;
    char message[1024], place[512] = "";
    vsnprintf(message, sizeof(message), format, args);
    unsigned line = errors->places && path ? config_places_line(errors->places, path) : 0;
    if (where)
        snprintf(place, sizeof(place), "%s: ", where);
    else if (errors->file && line > 0)
        snprintf(place, sizeof(place), "%.480s:%u: ", errors->file, line);
    else if (errors->file)
        snprintf(place, sizeof(place), "%.480s: ", errors->file);
    size_t start = errors->out->len;
    if (buf_printf(errors->out, "%s%s%s%s\n", place, path ? path : "", path ? ": " : "", message) != 0)
        errors->no_memory = true;
    for (size_t i = start; i + 1 < errors->out->len; i++) { /* what was written in the file must not steer a terminal */
        if (errors->out->data[i] < 0x20 || errors->out->data[i] == 0x7f)
            errors->out->data[i] = '?';
    }
}

void config_error(struct config_errors *errors, const char *where, const char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add_error(errors, where, path, format, args);
    va_end(args);
}

void config_error_of(struct config_errors *errors, const struct config *config, const char *path, const char *format,
                     ...)
{
    char where[CONFIG_WHERE_BYTES];
    va_list args;
    va_start(args, format);
    add_error(errors, config_where(&config->origins[config_key_find(path)], where), path, format, args);
    va_end(args);
}

const char *config_where(const struct config_origin *origin, char text[CONFIG_WHERE_BYTES])
{
    if (!origin->name)
        return NULL;
    snprintf(text, CONFIG_WHERE_BYTES, "%s%s", origin->source == CONFIG_FLAG ? "" : "environment ", origin->name);
    return text;
}

/* ---- rows ---- */

/* The last part of the row's path if its object is the one of this prefix ("tracing"), else NULL. */
static const char *member_of(const struct config_key *key, const char *prefix)
{
    size_t bytes = strlen(prefix);
    if (strncmp(key->path, prefix, bytes) != 0 || key->path[bytes] != '.')
        return NULL;
    return key->path + bytes + 1;
}

int config_key_member(const char *prefix, const char *name)
{
    if (strchr(name, '.'))
        return -1;
    for (size_t row = 0; row < config_key_count; row++) {
        const char *member = member_of(&config_keys[row], prefix);
        const char *spelling = config_keys[row].spelling;
        if (member && (strcmp(member, name) == 0 || (spelling && strcmp(spelling, name) == 0)))
            return (int)row;
    }
    return -1;
}

int config_key_find(const char *path)
{
    for (size_t row = 0; row < config_key_count; row++) {
        if (strcmp(config_keys[row].path, path) == 0)
            return (int)row;
    }
    return -1;
}

bool config_key_is_object(const char *prefix, const char *name)
{
    if (strchr(name, '.'))
        return false;
    size_t bytes = strlen(name);
    for (size_t row = 0; row < config_key_count; row++) {
        const char *member = member_of(&config_keys[row], prefix);
        if (member && strncmp(member, name, bytes) == 0 && member[bytes] == '.')
            return true;
    }
    return false;
}

/* The path of a key of that name elsewhere, or NULL. */
static const char *elsewhere(const char *name)
{
    for (size_t row = 0; row < config_key_count; row++) {
        if (strcmp(strrchr(config_keys[row].path, '.') + 1, name) == 0)
            return config_keys[row].path;
    }
    return NULL;
}

void config_unknown_key(const char *prefix, const char *name, const char *path, struct config_errors *errors)
{
    const char *there = elsewhere(name);
    if (there) {
        config_error(errors, NULL, path, "unknown key here; known is \"%s\"", there);
        return;
    }
    char nearest[64] = "";
    size_t least = SIZE_MAX;
    for (size_t row = 0; row < config_key_count; row++) {
        const char *member = member_of(&config_keys[row], prefix);
        char candidate[64];
        if (!member)
            continue;
        snprintf(candidate, sizeof(candidate), "%.*s", (int)strcspn(member, "."), member);
        bool part = strlen(name) >= 4 && strstr(candidate, name); /* "endpoint" means exporter_endpoint */
        size_t distance = part ? 1 : config_edit_distance(name, candidate);
        if (distance < least) {
            least = distance;
            memcpy(nearest, candidate, sizeof(nearest));
        }
    }
    if (*nearest)
        config_error(errors, NULL, path, "unknown key; the nearest known one is \"%s\"", nearest);
    else
        config_error(errors, NULL, path, "unknown key");
}
