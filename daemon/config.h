/* SPDX-License-Identifier: MIT
 *
 * The configuration: AIStore's `tracing` object and our `aistraced` object of one JSON file, environment and flags.
 * The only file that knows jansson. Precedence: flag, AIS_TRACING_*, OTEL_EXPORTER_OTLP_*, file, default.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "otlp_encode.h"

struct buf;

struct config {
    /* tracing */
    bool enabled;
    char *endpoint;       /* as configured */
    char *host;           /* of it */
    char *port;
    bool tls;
    bool skip_verify;
    char *service_prefix; /* without a trailing "-" */
    double probability;
    struct resource_attribute *attributes; /* owned, keys and values too */
    size_t attribute_count;
    char *token_header;   /* lower case; NULL: none */
    char *token_file;
    /* aistraced */
    char *ring_dir;
    uint64_t flush_interval_ms;
    uint64_t max_batch_spans;
    uint64_t max_batch_bytes;
    uint64_t max_in_flight;
    uint64_t timeout_ms;
    uint64_t retry_initial_ms;
    uint64_t retry_max_ms;
    char *metrics_listen; /* "" : off */
    uint64_t drain_deadline_ms;
    enum log_level log_level;
    enum log_format log_format;
};

/* What the command line gave; NULL: not given. */
struct config_flags {
    const char *file;
    const char *endpoint;
    const char *ring_dir;
    const char *metrics_listen;
};

/* -> 0 and *out (config_free), or -EINVAL with one line per error appended to errors: key path, what is wrong, how to
 * mend it, the line where the syntax is wrong. */
int config_load(const struct config_flags *flags, struct config **out, struct buf *errors);
void config_free(struct config *config);

/* Effective values as JSON text, one per line with its source; secrets redacted. */
int config_print(const struct config *config, struct buf *out);

#endif
