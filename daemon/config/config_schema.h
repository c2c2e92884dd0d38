/* SPDX-License-Identifier: MIT
 *
 * The table of keys: path, type, default, range, where it may come from besides the file, and where it goes.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <jansson.h>

#include "config.h"
#include "config_scan.h"

/* Errors, collected in one text: CONFIG_ERRORS_MAX of them in words, then the number of the others. */
enum { CONFIG_ERRORS_MAX = 50 };
struct config_errors {
    struct buf *out;
    const char *file; /* for `file:line` */
    const struct config_places *places;
    unsigned count;
    bool no_memory;
};

/* "WHERE: PATH: message", one line. where NULL: the file and the line of path; without a file nothing. */
void config_error(struct config_errors *errors, const char *where, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same about the value of a key; where is where that value came from. */
void config_error_of(struct config_errors *errors, const struct config *config, const char *path, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));

/* The `where` of config_error for a value of this origin; NULL when the value is the file's, or a default. */
enum { CONFIG_WHERE_BYTES = 128 };
const char *config_where(const struct config_origin *origin, char text[CONFIG_WHERE_BYTES]);

enum config_kind {
    CONFIG_BOOL,
    CONFIG_STRING,
    CONFIG_COUNT,
    CONFIG_DURATION,
    CONFIG_SIZE,
    CONFIG_PROBABILITY,
    CONFIG_NAMES, /* one of a list */
    CONFIG_ATTRIBUTES,
};

struct config_key {
    const char *path;
    enum config_kind kind;
    bool not_empty;
    bool zero;          /* 0 means off, whatever min says */
    size_t offset;      /* in struct config */
    const char *preset; /* as text */
    uint64_t min;       /* of counts, durations (ms), sizes (bytes) */
    uint64_t max;
    const char *const *names;
    const char *env;
    const char *flag;     /* as written: --name */
    const char *spelling; /* a second spelling of the last part of path */
};
extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* Row of a full path, or -1. */
int config_key_find(const char *path);

/* Row of the member `name` (either spelling) of the object at prefix, or -1. */
int config_key_member(const char *prefix, const char *name);
bool config_key_is_object(const char *prefix, const char *name); /* rows have paths below prefix.name */
void config_unknown_key(const char *prefix, const char *name, const char *path, struct config_errors *errors);

/* Every row's default. -> 0 or -ENOMEM */
int config_set_defaults(struct config *config);

/* A value given as text by the environment or a flag. */
void config_set_text(struct config *config, int row, const char *text, struct config_origin origin,
                     struct config_errors *errors);

void config_set_path(struct config *config, const char *path, const char *text, enum config_source source,
                     const char *name, struct config_errors *errors);
enum config_source config_source_of(const struct config *config, const char *path);

/* The value as it is written in JSON, appended. -> 0 or -ENOMEM */
int config_print_value(const struct config *config, const struct config_key *key, struct buf *out);

/* All of a section ("tracing", "aistraced") of the file. */
void config_set_section(struct config *config, const char *section, json_t *value, struct config_errors *errors);

int config_add_attribute(struct config *config, const char *key, const char *value); /* -> 0, -EEXIST, -ENOMEM */

/* OpenTelemetry's variables, which win over the file. insecure: OTEL_EXPORTER_OTLP_INSECURE. */
void config_load_otel(struct config *config, bool *insecure, struct config_errors *errors);

/* What keys demand of each other, once each has its value. */
void config_check(struct config *config, bool insecure, struct config_errors *errors);

/* Parts of config_check. An endpoint that a person or a deployment gave outside the file turns tracing on. */
void config_turn_on(struct config *config, struct config_errors *errors);
void config_check_endpoint(struct config *config, bool insecure, struct config_errors *errors);

#endif
