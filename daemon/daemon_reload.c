/* SPDX-License-Identifier: MIT */
#include "daemon_reload.h"

#include <string.h>

#include "buf.h"

enum when {
    AT_ONCE,
    WITH_EXPORTER, /* at once as long as no exporter borrows it */
    AT_RESTART,
};

static const struct {
    const char *key;
    enum when when;
} rules[] = {
    {"tracing.enabled", AT_ONCE},
    {"tracing.sampler_probability", AT_ONCE},
    {"tracing.service_name_prefix", AT_ONCE},
    {"tracing.attributes", AT_ONCE},
    {"aistraced.drain_deadline", AT_ONCE},
    {"aistraced.log.level", AT_ONCE},
    {"aistraced.log.format", AT_ONCE},
    {"tracing.exporter_endpoint", WITH_EXPORTER},
    {"tracing.skip_verify", WITH_EXPORTER},
    {"tracing.exporter_auth.token_header", WITH_EXPORTER},
    {"tracing.exporter_auth.token_file", WITH_EXPORTER},
};

struct change {
    struct log *log;
    bool exporting;
};

static void name_change(void *user, const char *key)
{
    const struct change *change = user;
    enum when when = AT_RESTART;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(rules[i].key, key) == 0)
            when = rules[i].when;
    }
    if (when == AT_RESTART || (when == WITH_EXPORTER && change->exporting))
        log_line(change->log, LOG_WARN, "reload: %s has changed; it takes effect at the next start", key);
    else
        log_line(change->log, LOG_INFO, "reload: %s has changed", key);
}

static void swap_text(char **a, char **b)
{
    char *text = *a;
    *a = *b;
    *b = text;
}

static void swap_attributes(struct config *a, struct config *b)
{
    struct resource_attribute *attributes = a->attributes;
    size_t count = a->attribute_count;
    a->attributes = b->attributes;
    a->attribute_count = b->attribute_count;
    b->attributes = attributes;
    b->attribute_count = count;
}

static void log_errors(const struct buf *errors, struct log *log)
{
    for (size_t at = 0; at < errors->len;) {
        const uint8_t *line = errors->data + at;
        const uint8_t *end = memchr(line, '\n', errors->len - at);
        size_t bytes = end ? (size_t)(end - line) : errors->len - at;
        log_line(log, LOG_ERROR, "reload: %.*s", (int)bytes, (const char *)line);
        at += bytes + 1;
    }
    log_line(log, LOG_ERROR, "reload: the configuration is not valid; the old one stays in force");
}

int daemon_reload(const struct config_flags *flags, struct config *live, bool exporting, struct log *log)
{
    struct buf errors = {.data = NULL};
    struct config *fresh;
    int err = config_load(flags, &fresh, &errors);
    if (err) {
        log_errors(&errors, log);
        buf_done(&errors);
        return err;
    }
    buf_done(&errors);
    log_configure(log, fresh->log_level, fresh->log_format);
    struct change change = {.log = log, .exporting = exporting};
    err = config_compare(live, fresh, name_change, &change);
    if (err) {
        config_free(fresh);
        return err;
    }
    live->enabled = fresh->enabled;
    live->probability = fresh->probability;
    swap_text(&live->service_prefix, &fresh->service_prefix);
    swap_attributes(live, fresh);
    live->drain_deadline_ms = fresh->drain_deadline_ms;
    live->log_level = fresh->log_level;
    live->log_format = fresh->log_format;
    if (!exporting) {
        swap_text(&live->endpoint, &fresh->endpoint);
        swap_text(&live->host, &fresh->host);
        swap_text(&live->port, &fresh->port);
        swap_text(&live->token_header, &fresh->token_header);
        swap_text(&live->token_file, &fresh->token_file);
        live->transport = fresh->transport;
        live->skip_verify = fresh->skip_verify;
        live->token_in_clear = fresh->token_in_clear;
    }
    config_free(fresh);
    log_line(log, LOG_INFO, "reload: the configuration is in force");
    return 0;
}
