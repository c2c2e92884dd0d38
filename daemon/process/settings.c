/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"

static int check_files(void *user, struct config *config, struct buf *faults)
{
    (void)user;
    return uplink_route_check(config, faults);
}

int settings_load(const struct config_flags *flags, struct config **out, struct buf *errors)
{
    return config_load(flags, check_files, NULL, out, errors);
}

void settings_tell_errors(const struct buf *errors, const char *prefix, struct log *log)
{
    for (size_t at = 0; at < errors->len;) {
        const char *line = (const char *)errors->data + at;
        const char *end = memchr(line, '\n', errors->len - at);
        size_t bytes = end ? (size_t)(end - line) : errors->len - at;
        log_line(log, LOG_ERROR, "%s%.*s", prefix, (int)bytes, line);
        at += bytes + 1;
    }
}

/* ---- what is not in force ---- */

static void refuse(struct settings_refusal *refusal, const char *words, size_t bytes)
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    if (!refusal->refused)
        strftime(refusal->since, sizeof(refusal->since), "%Y-%m-%dT%H:%M:%SZ", &utc);
    refusal->refused = true;
    snprintf(refusal->words, sizeof(refusal->words), "%.*s", (int)bytes, words);
}

void settings_refuse(struct settings_refusal *refusal, const char *words, struct log *log)
{
    refuse(refusal, words, strlen(words));
    log_line(log, LOG_ERROR, "reload: %s; the old configuration stays in force", words);
}

bool settings_due(struct settings_refusal *refusal)
{
    return refusal->config && uplink_route_due(&refusal->watch, refusal->config);
}

static void forget_config(struct settings_refusal *refusal)
{
    config_unref(refusal->config);
    refusal->config = NULL;
}

void settings_accept(struct settings_refusal *refusal)
{
    refusal->refused = false;
    forget_config(refusal);
}

void settings_describe_refusal(const struct settings_refusal *refusal, struct buf *out)
{
    if (refusal->refused)
        buf_printf(out, "; the configuration on disk is not in force since %s: %s", refusal->since, refusal->words);
}

/* ---- reload ---- */

/* Where rings and spool are, and how large the spool may be, is settled at the start. */
static bool waits_for_start(const char *key)
{
    static const char spool[] = "aistraced.spool.";
    return strcmp(key, "aistraced.ring_dir") == 0 || strncmp(key, spool, sizeof(spool) - 1) == 0;
}

static void name_change(void *user, const char *key)
{
    struct log *log = user;
    if (waits_for_start(key))
        log_line(log, LOG_WARN, "reload: %s has changed; it takes effect at the next start", key);
    else
        log_line(log, LOG_INFO, "reload: %s has changed", key);
}

static void take_errors(const struct buf *errors, struct log *log, struct settings_refusal *refusal)
{
    const uint8_t *end = memchr(errors->data, '\n', errors->len);
    refuse(refusal, (const char *)errors->data, end ? (size_t)(end - errors->data) : errors->len);
    settings_tell_errors(errors, "reload: ", log);
    log_line(log, LOG_ERROR, "reload: the configuration is not valid; the old one stays in force");
}

static int keep_text(char **fresh, const char *live)
{
    char *copy = strdup(live);
    if (!copy)
        return -ENOMEM;
    free(*fresh);
    *fresh = copy;
    return 0;
}

/* The next reload has to find again that they differ. */
static int keep_what_waits(struct config *fresh, const struct config *live)
{
    fresh->spool_max_bytes = live->spool_max_bytes;
    fresh->spool_max_bytes_given = live->spool_max_bytes_given;
    fresh->spool_sync = live->spool_sync;
    int err = keep_text(&fresh->ring_dir, live->ring_dir);
    return err ? err : keep_text(&fresh->spool_dir, live->spool_dir);
}

/* A file may be half replaced just now, or come later than the configuration that names it: files at fault are watched
 * as they were before they were read. */
static int check_and_watch_files(void *user, struct config *config, struct buf *faults)
{
    struct settings_refusal *refusal = user;
    uplink_route_taken(&refusal->watch, config);
    int err = uplink_route_check(config, faults);
    if (err)
        refusal->config = config_ref(config);
    return err;
}

int settings_reload(const struct config_flags *flags, const struct config *live, struct log *log,
                    struct settings_refusal *refusal, struct config **out)
{
    struct buf errors = {0};
    struct config *fresh;
    forget_config(refusal);
    int err = config_load(flags, check_and_watch_files, refusal, &fresh, &errors);
    if (err == -EINVAL)
        take_errors(&errors, log, refusal);
    buf_done(&errors);
    if (!err) {
        err = config_compare(live, fresh, name_change, log);
        err = err ? err : keep_what_waits(fresh, live);
        if (err)
            config_unref(fresh);
    }
    if (err && err != -EINVAL)
        settings_refuse(refusal, strerror(-err), log);
    if (!err)
        *out = fresh;
    return err;
}
