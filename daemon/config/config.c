/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/given.h"
#include "config_schema.h"

static const char *const sections[] = {"tracing", "aistraced", NULL};

/* ---- file ---- */

enum { PIPE_WAIT_MS = 1000 };

/* It may be a pipe, at the start (`--config <(...)`) as well as in the file's place later: who writes there must not
 * hold up a daemon that runs. */
static int wait_for_text(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int count;
    do
        count = poll(&ready, 1, PIPE_WAIT_MS);
    while (count < 0 && errno == EINTR);
    return count > 0 ? 0 : count == 0 ? -ETIMEDOUT : -errno;
}

static int read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int err;
    do {
        err = wait_for_text(fd);
        if (!err)
            err = file_read_all(fd, CONFIG_FILE_BYTES_MAX - out->len, out);
    } while (err == -EAGAIN);
    close(fd);
    return err;
}

static void check_duplicates(const struct config_places *places, struct config_errors *errors)
{
    for (size_t i = 1; i < places->count; i++) {
        const struct config_key_place *first = &places->items[i - 1], *again = &places->items[i];
        if (strcmp(first->path, again->path) != 0)
            continue;
        char where[512];
        snprintf(where, sizeof(where), "%.480s:%u", errors->file, again->line);
        config_error(errors, where, again->path, "the key is there twice, first in line %u; keep one", first->line);
    }
}

static void load_text(struct config *config, const struct buf *text, struct config_places *places,
                      struct config_errors *errors)
{
    if (text->data && memchr(text->data, '\0', text->len)) { /* jansson takes it for the end of a number */
        config_error(errors, NULL, NULL, "the file has a byte of 0: it is not text, or was not written out");
        return;
    }
    unsigned deep = config_scan_too_deep((const char *)text->data, text->len);
    if (deep) {
        config_error(errors, NULL, NULL, "line %u: nested deeper than %d levels; flatten it", deep, CONFIG_DEPTH_MAX);
        return;
    }
    json_error_t error;
    json_t *root = json_loadb((const char *)text->data, text->len, 0, &error);
    if (!root) {
        char where[512];
        snprintf(where, sizeof(where), "%.480s:%d", errors->file, error.line);
        config_error(errors, where, NULL, "this is not JSON: %s (column %d)", error.text, error.column);
        return;
    }
    if (!json_is_object(root)) {
        config_error(errors, NULL, NULL, "the file is not a JSON object; write {\"tracing\": {...}}");
    } else if (config_scan((const char *)text->data, text->len, sections, places) != 0) {
        errors->no_memory = true;
    } else {
        errors->places = places;
        check_duplicates(places, errors);
        for (const char *const *section = sections; *section; section++) {
            json_t *value = json_object_get(root, *section);
            if (value)
                config_set_section(config, *section, value, errors);
        }
    }
    json_decref(root);
}

static void load_file(struct config *config, const char *path, struct config_places *places,
                      struct config_errors *errors)
{
    struct buf text = {0};
    int err = read_file(path, &text);
    errors->file = path;
    if (err == -EFBIG)
        config_error(errors, NULL, NULL, "the file is larger than 1 MiB; leave out what is no configuration");
    else if (err == -ENOMEM)
        errors->no_memory = true;
    else if (err)
        config_error(errors, NULL, NULL, "cannot be read: %s; give the configuration file with --config",
                     strerror(-err));
    else
        load_text(config, &text, places, errors);
    buf_done(&text);
}

/* ---- environment, flags ---- */

static void load_env(struct config *config, struct config_errors *errors)
{
    for (size_t row = 0; row < config_key_count; row++) {
        const char *value = config_keys[row].env ? given_env(config_keys[row].env) : NULL;
        if (value)
            config_set_text(config, (int)row, value, (struct config_origin){CONFIG_ENV, config_keys[row].env}, errors);
    }
}

static void load_flags(struct config *config, const struct config_flags *flags, struct config_errors *errors)
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

/* ---- the files that keys name ---- */

static void tell_fault(const struct config *config, char *line, struct config_errors *errors)
{
    char *colon = strstr(line, ": ");
    if (colon)
        *colon = '\0';
    if (colon && config_key_find(line) >= 0)
        config_error_of(errors, config, line, "%s", colon + 2);
    else
        config_error(errors, line, NULL, "%s", colon ? colon + 2 : "");
}

static void look_into_files(struct config *config, config_files_cb files_cb, void *user, struct config_errors *errors)
{
    struct buf faults = {0};
    int err = files_cb(user, config, &faults);
    bool unsaid = err && !faults.len;
    if (err == -ENOMEM || unsaid || buf_append(&faults, "", 1) != 0) {
        errors->no_memory = true;
    } else if (err) {
        char *save = NULL;
        for (char *line = strtok_r((char *)faults.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
            tell_fault(config, line, errors);
    }
    buf_done(&faults);
}

/* ---- all of it ---- */

int config_load(const struct config_flags *flags, config_files_cb files_cb, void *user, struct config **out,
                struct buf *errors_out)
{
    struct config_errors errors = {.out = errors_out};
    struct config_places places = {0};
    bool insecure = false;
    struct config *config = calloc(1, sizeof(*config));
    if (!config)
        return -ENOMEM;
    config->refs = 1;
    int err = config_set_defaults(config);
    if (!err) {
        if (flags->file)
            load_file(config, flags->file, &places, &errors);
        config_load_otel(config, &insecure, &errors);
        load_env(config, &errors);
        load_flags(config, flags, &errors);
        config_check(config, insecure, &errors);
        if (files_cb && config->enabled && config->host && !errors.no_memory)
            look_into_files(config, files_cb, user, &errors);
        if (errors.count > CONFIG_ERRORS_MAX)
            buf_printf(errors_out, "and %u more errors\n", errors.count - CONFIG_ERRORS_MAX);
        err = errors.no_memory ? -ENOMEM : errors.count ? -EINVAL : 0;
    }
    config_places_done(&places);
    if (err) {
        config_unref(config);
        return err;
    }
    *out = config;
    return 0;
}

struct config *config_ref(struct config *config)
{
    config->refs++;
    return config;
}

void config_unref(struct config *config)
{
    if (!config || --config->refs)
        return;
    for (size_t i = 0; i < config->attribute_count; i++) {
        free((char *)(uintptr_t)config->attributes[i].key);
        free((char *)(uintptr_t)config->attributes[i].value);
    }
    free(config->attributes);
    for (size_t i = 0; i < config->header_count; i++) {
        free(config->headers[i].name);
        explicit_bzero(config->headers[i].value, strlen(config->headers[i].value));
        free(config->headers[i].value);
    }
    free(config->headers);
    for (size_t row = 0; row < config_key_count; row++) {
        char *text;
        if (config_keys[row].kind != CONFIG_STRING)
            continue;
        memcpy(&text, (char *)config + config_keys[row].offset, sizeof(text));
        free(text);
    }
    free(config->host);
    free(config->port);
    free(config);
}
