/* SPDX-License-Identifier: MIT
 *
 * The configuration: AIStore's `tracing` object and our `aistraced` object of one JSON file, environment and flags.
 * Only config*.c know jansson. Precedence: flag, AIS_TRACING_*, OTEL_EXPORTER_OTLP_*, file, default. Every key, its
 * default and its documentation: conf/aistraced.json, conf/README.md; the table: config_schema.c.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "span/otlp_resource.h"

struct buf;

enum { CONFIG_KEYS_MAX = 48, CONFIG_FILE_BYTES_MAX = 1 << 20 };
enum config_compression { CONFIG_COMPRESSION_NONE, CONFIG_COMPRESSION_GZIP };

/* What the endpoint and skip_verify ask for: http:// and unix: are plaintext; https:// is TLS; a bare HOST:PORT is TLS,
 * or with skip_verify what the peer turns out to speak. */
enum config_transport { CONFIG_PLAINTEXT, CONFIG_TLS, CONFIG_TLS_OR_PLAINTEXT };

struct config_header {
    char *name;  /* lower case */
    char *value; /* secret: never printed */
};

enum config_sync { CONFIG_SYNC_ALWAYS, CONFIG_SYNC_NEVER };

/* Where a value came from, in rising precedence. */
enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_OTEL, CONFIG_ENV, CONFIG_FLAG };
struct config_origin {
    enum config_source source;
    const char *name; /* of the environment variable or flag; static */
};

struct config {
    unsigned refs;
    /* tracing */
    bool enabled;
    char *endpoint; /* as configured */
    char *host;     /* the endpoint's; with unix:PATH the path */
    char *port;     /* "" with unix:PATH */
    bool unix_socket;
    enum config_transport transport;
    bool skip_verify;     /* TLS without verification */
    bool token_in_clear;  /* token or headers leave the host unencrypted, as asked for: worth a warning at start */
    char *service_prefix; /* without a trailing "-" */
    double probability;
    struct resource_attribute *attributes; /* owned, keys and values too */
    size_t attribute_count;
    char *token_header; /* lower case; NULL: none */
    char *token_file;
    struct config_header *headers; /* more request headers, of OTEL_EXPORTER_OTLP_HEADERS; owned */
    size_t header_count;
    const char *headers_origin; /* the variable's name; static */
    /* aistraced */
    char *ring_dir;
    uint64_t flush_interval_ms;
    uint64_t max_batch_spans;
    uint64_t max_batch_bytes;
    uint64_t max_in_flight;
    uint64_t timeout_ms;
    uint64_t retry_initial_ms;
    uint64_t retry_max_ms;
    uint64_t keepalive_ms;          /* between PINGs; 0: none */
    uint64_t max_connection_age_ms; /* 0: none */
    char *ca_file;                  /* these three: "" none */
    char *cert_file;
    char *key_file;
    char *metrics_listen; /* "" : off */
    uint64_t drain_deadline_ms;
    enum log_level log_level;
    enum log_format log_format;
    char *spool_dir; /* "": where the README of conf/ says */
    uint64_t spool_max_bytes;
    bool spool_max_bytes_given; /* not the default */
    enum config_sync spool_sync;
    enum config_compression compression;
    /* By row of the table in config_schema.c. */
    struct config_origin origins[CONFIG_KEYS_MAX];
};

/* What the command line gave; NULL: not given. */
struct config_flags {
    const char *file;
    const char *endpoint;
    const char *ring_dir;
    const char *metrics_listen;
};

/* -> 0 and *out, which the caller owns (config_unref); or -EINVAL with one line per error appended to errors: where
 * (file and line, environment variable or flag), key path, what is wrong, what to do. All errors at once. -ENOMEM:
 * without a line. files_cb reads the files that keys name, when tracing is enabled and the endpoint is well-formed: it
 * appends a line for each fault to faults, "KEY: what is wrong and what to do", and returns 0 or -errno. It may become
 * another owner of config, valid or not. NULL: nobody reads the files. */
typedef int (*config_files_cb)(void *user, struct config *config, struct buf *faults);
int config_load(const struct config_flags *flags, config_files_cb files_cb, void *user, struct config **out,
                struct buf *errors);

/* Another owner: each calls config_unref once, and the last one frees. A configuration that has several owners is not
 * changed. On one thread. */
struct config *config_ref(struct config *config);
void config_unref(struct config *config); /* accepts NULL */

/* Effective values, a line each: `key = value  (default | file | env NAME | flag --name)`; then what follows from them,
 * as comments. No secrets: of the token only its file is named, of headers only their names. */
int config_print(const struct config *config, struct buf *out);

/* Calls changed_cb for each key whose value differs. -> 0 or -ENOMEM */
int config_compare(const struct config *a, const struct config *b, void (*changed_cb)(void *user, const char *key),
                   void *user);

/* Where the value of key came from, for messages: "the file", "--ring-dir", "environment NAME", "default". */
enum { CONFIG_PLACE_BYTES = 128 };
const char *config_place(const struct config *config, const char *key, char text[CONFIG_PLACE_BYTES]);

#endif
