/* SPDX-License-Identifier: MIT */
#include "daemon_export.h"

#include <errno.h>
#include <string.h>

enum { RETIRE_POLL_MS = 50 };

int daemon_export_init(struct daemon_export *e, uv_loop_t *loop, struct stats *stats, struct log *log)
{
    *e = (struct daemon_export){.loop = loop, .stats = stats, .log = log};
    return uv_timer_init(loop, &e->timer);
}

static void warn_of_plaintext(const struct daemon_export *e, const struct config *config)
{
    if (config->token_in_clear)
        log_line(
            e->log, LOG_WARN,
            "what authenticates us (tracing.exporter_auth, or headers of the environment) goes to %s in plaintext; "
            "https:// protects it",
            config->endpoint);
}

static bool same_endpoint(const struct config *a, const struct config *b)
{
    return a && strcmp(a->endpoint, b->endpoint) == 0 && a->transport == b->transport;
}

int daemon_export_apply(struct daemon_export *e, struct config *config)
{
    if (!config->enabled)
        return 0;
    int err = e->exporter
                  ? exporter_reconfigure(e->exporter, config)
                  : exporter_start(e->loop, config, e->stats, e->log, source_batch_finished, e->source, &e->exporter);
    if (err) {
        log_line(e->log, LOG_ERROR, "cannot send to %s: %s", config->endpoint, strerror(-err));
        return err;
    }
    uv_timer_stop(&e->timer);
    source_attach_exporter(e->source, e->exporter);
    if (!same_endpoint(e->config, config))
        warn_of_plaintext(e, config);
    config_unref(e->config);
    e->config = config_ref(config);
    return 0;
}

static void on_retired(void *user)
{
    config_unref(user);
}

static void on_retire_timer(uv_timer_t *timer)
{
    struct daemon_export *e = timer->data;
    if (exporter_held(e->exporter) > 0 || source_sending(e->source))
        return;
    uv_timer_stop(timer);
    source_attach_exporter(e->source, NULL);
    exporter_close(e->exporter, on_retired, e->config);
    e->exporter = NULL;
    e->config = NULL;
    if (e->stats->outage_ended_ms == 0)
        e->stats->outage_began_ms = 0; /* nobody waits for its end */
}

void daemon_export_retire(struct daemon_export *e)
{
    if (!e->exporter)
        return;
    e->timer.data = e;
    uv_timer_start(&e->timer, on_retire_timer, 0, RETIRE_POLL_MS);
}

size_t daemon_export_held(const struct daemon_export *e)
{
    return e->exporter ? exporter_held(e->exporter) : 0;
}

const char *daemon_export_trouble(const struct daemon_export *e)
{
    return e->exporter ? exporter_trouble(e->exporter) : NULL;
}

void daemon_export_close(struct daemon_export *e, void (*closed_cb)(void *user), void *user)
{
    if (!uv_is_closing((uv_handle_t *)&e->timer))
        uv_close((uv_handle_t *)&e->timer, NULL);
    if (e->exporter)
        exporter_close(e->exporter, closed_cb, user);
    else
        closed_cb(user);
    e->exporter = NULL;
}
