/* SPDX-License-Identifier: MIT */
#include "daemon_reload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"

static const char ring_dir_key[] = "aistraced.ring_dir";

static void name_change(void *user, const char *key)
{
    struct log *log = user;
    if (strcmp(key, ring_dir_key) == 0)
        log_line(log, LOG_WARN, "reload: %s has changed; it takes effect at the next start", key);
    else
        log_line(log, LOG_INFO, "reload: %s has changed", key);
}

static void refuse(struct daemon_refusal *refusal, const char *words, size_t bytes)
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    if (!refusal->refused)
        strftime(refusal->since, sizeof(refusal->since), "%Y-%m-%dT%H:%M:%SZ", &utc);
    refusal->refused = true;
    snprintf(refusal->words, sizeof(refusal->words), "%.*s", (int)bytes, words);
}

void daemon_reload_refuse(struct daemon_refusal *refusal, const char *words, struct log *log)
{
    refuse(refusal, words, strlen(words));
    log_line(log, LOG_ERROR, "reload: %s; the old configuration stays in force", words);
}

static void take_errors(const struct buf *errors, struct log *log, struct daemon_refusal *refusal)
{
    for (size_t at = 0; at < errors->len;) {
        const uint8_t *line = errors->data + at;
        const uint8_t *end = memchr(line, '\n', errors->len - at);
        size_t bytes = end ? (size_t)(end - line) : errors->len - at;
        log_line(log, LOG_ERROR, "reload: %.*s", (int)bytes, (const char *)line);
        if (at == 0)
            refuse(refusal, (const char *)line, bytes);
        at += bytes + 1;
    }
    log_line(log, LOG_ERROR, "reload: the configuration is not valid; the old one stays in force");
}

/* The rings stay where they are until a start. */
static int keep_ring_dir(struct config *fresh, const struct config *live)
{
    char *copy = strdup(live->ring_dir);
    if (!copy)
        return -ENOMEM;
    free(fresh->ring_dir);
    fresh->ring_dir = copy;
    return 0;
}

int daemon_reload_load(const struct config_flags *flags, const struct config *live, struct log *log,
                       struct daemon_refusal *refusal, struct config **out)
{
    struct buf errors = {.data = NULL};
    struct config *fresh;
    int err = config_load(flags, &fresh, &errors);
    if (err == -EINVAL)
        take_errors(&errors, log, refusal);
    buf_done(&errors);
    if (!err) {
        err = config_compare(live, fresh, name_change, log);
        err = err ? err : keep_ring_dir(fresh, live);
        if (err)
            config_free(fresh);
    }
    if (err && err != -EINVAL)
        daemon_reload_refuse(refusal, strerror(-err), log);
    if (!err)
        *out = fresh;
    return err;
}

void daemon_reload_describe(const struct daemon_refusal *refusal, struct buf *out)
{
    if (refusal->refused)
        buf_printf(out, "; the configuration on disk is not in force since %s: %s", refusal->since, refusal->words);
}
