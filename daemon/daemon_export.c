/* SPDX-License-Identifier: MIT */
#include "daemon_export.h"

#include <errno.h>
#include <string.h>

enum { RETIRE_POLL_MS = 50 };

void daemon_export_init(struct daemon_export *export, uv_loop_t *loop, struct source *source, struct stats *stats,
                        struct log *log)
{
    *export = (struct daemon_export){.loop = loop, .source = source, .stats = stats, .log = log};
    uv_timer_init(loop, &export->timer); /* cannot fail */
    export->timer.data = export;
}

static void warn_of_plaintext(const struct daemon_export *export, const struct config *config)
{
    if (config->token_in_clear)
        log_line(
            export->log, LOG_WARN,
            "the secrets that each request carries (tracing.exporter_auth, or headers of the environment) go to %s "
            "in plaintext; https:// protects them",
            config->endpoint);
}

static bool same_endpoint(const struct config *a, const struct config *b)
{
    return a && strcmp(a->endpoint, b->endpoint) == 0 && a->transport == b->transport;
}

int daemon_export_apply(struct daemon_export *export, struct config *config)
{
    if (!config->enabled)
        return 0;
    int err = export->exporter ? exporter_reconfigure(export->exporter, config)
                               : exporter_start(export->loop, config, export->stats, export->log, source_batch_finished,
                                                export->source, &export->exporter);
    if (err) {
        log_line(export->log, LOG_ERROR, "cannot send to %s: %s", config->endpoint, strerror(-err));
        return err;
    }
    uv_timer_stop(&export->timer);
    source_attach_exporter(export->source, export->exporter);
    if (!same_endpoint(export->config, config))
        warn_of_plaintext(export, config);
    config_unref(export->config);
    export->config = config_ref(config);
    return 0;
}

static void on_retired(void *user)
{
    config_unref(user);
}

static void on_retire_timer(uv_timer_t *timer)
{
    struct daemon_export *export = timer->data;
    if (exporter_held(export->exporter) > 0 || source_sending(export->source))
        return;
    uv_timer_stop(timer);
    source_attach_exporter(export->source, NULL);
    exporter_close(export->exporter, on_retired, export->config);
    export->exporter = NULL;
    export->config = NULL;
    if (export->stats->outage_ended_ms == 0)
        export->stats->outage_began_ms = 0; /* nobody waits for its end */
}

void daemon_export_retire(struct daemon_export *export)
{
    if (!export->exporter)
        return;
    uv_timer_start(&export->timer, on_retire_timer, 0, RETIRE_POLL_MS);
}

size_t daemon_export_held(const struct daemon_export *export)
{
    return export->exporter ? exporter_held(export->exporter) : 0;
}

const char *daemon_export_trouble(const struct daemon_export *export)
{
    return export->exporter ? exporter_trouble(export->exporter) : NULL;
}

static void on_closed(void *user)
{
    struct daemon_export *export = user;
    config_unref(export->config);
    export->config = NULL;
    export->closed_cb(export->closed_user);
}

void daemon_export_close(struct daemon_export *export, void (*closed_cb)(void *user), void *user)
{
    struct exporter *exporter = export->exporter;
    export->exporter = NULL;
    export->closed_cb = closed_cb;
    export->closed_user = user;
    uv_close((uv_handle_t *)&export->timer, NULL);
    if (exporter)
        exporter_close(exporter, on_closed, export);
    else
        on_closed(export);
}
