/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "admin/admin.h"
#include "admin/metrics.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/stats.h"
#include "base/timer_grid.h"
#include "daemon_export.h"
#include "process/daemon_explain.h"
#include "process/daemon_footprint.h"
#include "process/daemon_notify.h"
#include "process/settings.h"
#include "source/source.h"

enum {
    DRAIN_POLL_MS = 10,
    REST_MS = 2000, /* before the drain's deadline, but not before half of it, the spool gets what is left */
};

static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

/* d in this file. */
struct daemon {
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    uv_timer_t drain_timer;
    uv_timer_t watch_timer; /* of the configuration's file, and of files that made a reload fail */
    struct file_watch watch;
    const struct config_flags *flags;
    struct config *config; /* in force */
    struct settings_refusal refusal;
    struct log *log;
    struct stats stats;
    struct source *source;
    struct daemon_export export;
    struct admin *admin; /* NULL when metrics_listen is empty */
    bool draining;
    bool closing;
    uint64_t drain_until_ms;
    uint64_t rest_ms; /* when the spool gets what is left */
    enum daemon_exit result;
};

/* ---- what the admin asks ---- */

static void on_metrics(void *user, struct buf *out)
{
    struct daemon *d = user;
    struct stats_snapshot snapshot;
    source_snapshot(d->source, &snapshot);
    metrics_render(out, &snapshot);
}

/* An invalid configuration on disk is told, but the daemon is ready: it delivers with the old one. */
static bool on_ready(void *user, struct buf *out)
{
    struct daemon *d = user;
    const char *trouble = d->draining ? "draining" : d->config->enabled ? daemon_export_trouble(&d->export) : NULL;
    buf_printf(out, "%s", trouble ? trouble : "ok");
    settings_describe_refusal(&d->refusal, out);
    return !trouble;
}

static const struct admin_callbacks admin_callbacks = {on_metrics, on_ready};

/* ---- the end: exporter, source, admin close in this order, then the handles of this file ---- */

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_admin_closed(void *user)
{
    struct daemon *d = user;
    for (int i = 0; i < SIGNALS; i++)
        close_handle((uv_handle_t *)&d->signals[i]);
    close_handle((uv_handle_t *)&d->drain_timer);
    close_handle((uv_handle_t *)&d->watch_timer);
    uv_stop(&d->loop); /* only a look-up of a host name may still run, which cannot be cancelled */
}

static void on_source_closed(void *user)
{
    struct daemon *d = user;
    d->source = NULL;
    if (d->admin)
        admin_close(d->admin, on_admin_closed, d);
    else
        on_admin_closed(d);
}

static void on_export_closed(void *user)
{
    struct daemon *d = user;
    source_close(d->source, on_source_closed, d);
}

static void close_all(struct daemon *d)
{
    if (d->closing)
        return;
    d->closing = true;
    if (d->source)
        daemon_export_close(&d->export, on_export_closed, d);
    else
        on_source_closed(d);
}

/* "invalid 3, refused 5", or "". */
static void list_dropped(const struct shmring_counts *outcome, struct buf *out)
{
    for (unsigned i = 0; i < DROP_REASONS; i++) {
        if (outcome->dropped[i] > 0)
            buf_printf(out, "%s%s %" PRIu64, out->len ? ", " : "", drop_reason_name((enum drop_reason)i),
                       outcome->dropped[i]);
    }
}

static void finish(struct daemon *d, bool drained)
{
    struct stats_snapshot s;
    struct buf dropped = {0};
    uv_timer_stop(&d->drain_timer);
    source_snapshot(d->source, &s);
    uint64_t left = s.in_flight + s.unread;
    d->result = drained || left == 0 ? DAEMON_EXIT_OK : DAEMON_EXIT_LEFT;
    list_dropped(&s.outcome, &dropped);
    log_flush(d->log, true);
    log_line(d->log, d->result == DAEMON_EXIT_OK ? LOG_INFO : LOG_WARN,
             "stopped: exported %" PRIu64 ", sampled out %" PRIu64 ", rejected %" PRIu64 ", dropped %" PRIu64
             "%s%.*s%s, in the spool %" PRIu64 ", left in the rings %" PRIu64,
             s.outcome.exported, s.outcome.sampled_out, s.outcome.rejected,
             outcome_sum(&s.outcome) - s.outcome.exported - s.outcome.sampled_out - s.outcome.rejected,
             dropped.len ? " (" : "", (int)dropped.len, (const char *)dropped.data, dropped.len ? ")" : "",
             s.spooled_now, left);
    buf_done(&dropped);
    close_all(d);
}

static void on_drain_timer(uv_timer_t *timer)
{
    struct daemon *d = timer->data;
    bool rests = d->rest_ms < d->drain_until_ms && uv_now(&d->loop) >= d->rest_ms;
    if (rests)
        source_rest(d->source);
    bool drained = source_drained(d->source) && (rests || daemon_export_held(&d->export) == 0);
    if (!drained && uv_now(&d->loop) < d->drain_until_ms)
        return;
    if (!drained)
        log_line(d->log, LOG_WARN, "aistraced.drain_deadline has passed; what is left waits in the rings");
    finish(d, drained);
}

static void drain(struct daemon *d, int signal_number)
{
    log_line(d->log, LOG_INFO, "SIG%s: draining for at most %" PRIu64 " ms; a second signal stops at once",
             signal_number == SIGTERM ? "TERM" : "INT", d->config->drain_deadline_ms);
    daemon_notify("STOPPING=1\nSTATUS=draining");
    d->draining = true;
    uint64_t margin = d->config->drain_deadline_ms / 2 < REST_MS ? d->config->drain_deadline_ms / 2 : REST_MS;
    d->drain_until_ms = uv_now(&d->loop) + d->config->drain_deadline_ms;
    d->rest_ms = d->drain_until_ms - margin;
    source_drain(d->source);
    uv_timer_start(&d->drain_timer, on_drain_timer, 0, DRAIN_POLL_MS);
}

/* ---- reload: first what can fail, then the exchange, which cannot ---- */

static int start_admin(struct daemon *d, const struct config *config, struct admin **out)
{
    *out = NULL;
    if (!*config->metrics_listen)
        return 0;
    return admin_start(&d->loop, config->metrics_listen, &admin_callbacks, d, d->log, out);
}

/* -> 0 and *out: the admin for fresh; when the address is the same, the present one */
static int admin_for(struct daemon *d, const struct config *fresh, struct admin **out)
{
    *out = d->admin;
    if (strcmp(fresh->metrics_listen, d->config->metrics_listen) == 0)
        return 0;
    int err = start_admin(d, fresh, out);
    if (err) {
        daemon_explain(d->log, fresh, DAEMON_METRICS_LISTEN, err);
        settings_refuse(&d->refusal, "aistraced.metrics_listen cannot be listened on", d->log);
    }
    return err;
}

static int apply(struct daemon *d, struct config *fresh)
{
    struct admin *admin;
    int err = admin_for(d, fresh, &admin);
    if (err)
        return err;
    err = daemon_export_apply(&d->export, fresh);
    if (err) {
        if (admin && admin != d->admin)
            admin_close(admin, NULL, NULL);
        settings_refuse(&d->refusal, "tracing.exporter_endpoint cannot be sent to as configured", d->log);
        return err;
    }
    source_reconfigure(d->source, fresh);
    if (!fresh->enabled)
        daemon_export_retire(&d->export);
    if (d->admin && admin != d->admin)
        admin_close(d->admin, NULL, NULL);
    d->admin = admin;
    log_configure(d->log, fresh->log_level, fresh->log_format);
    config_unref(d->config);
    d->config = fresh;
    return 0;
}

static void notify_ready(const struct daemon *d)
{
    struct buf status = {0};
    buf_printf(&status, "%s%s", d->config->enabled ? "sending to " : "tracing is disabled",
               d->config->enabled ? d->config->endpoint : "");
    settings_describe_refusal(&d->refusal, &status);
    daemon_notify("READY=1\nSTATUS=%.*s", (int)status.len, (const char *)status.data);
    buf_done(&status);
}

static void watch_later(struct daemon *d);

static void reload(struct daemon *d)
{
    struct config *fresh;
    daemon_notify_reloading();
    if (d->flags->file)
        file_watch_taken(&d->watch, d->flags->file);
    int err = settings_reload(d->flags, d->config, d->log, &d->refusal, &fresh);
    if (!err) {
        err = apply(d, fresh);
        if (err)
            config_unref(fresh);
    }
    if (!err) {
        settings_accept(&d->refusal);
        log_line(d->log, LOG_INFO, "reload: the configuration is in force");
    }
    d->stats.config_reloads_ok += !err;
    d->stats.config_reloads_failed += !!err;
    notify_ready(d);
    watch_later(d);
}

static void on_watch_timer(uv_timer_t *timer)
{
    struct daemon *d = timer->data;
    watch_later(d);
    if (d->draining || d->closing)
        return;
    if (d->flags->file && file_watch_due(&d->watch, d->flags->file))
        log_line(d->log, LOG_INFO, "%s has changed", d->flags->file);
    else if (settings_due(&d->refusal))
        log_line(d->log, LOG_INFO, "a file that made the reload fail has changed: trying again");
    else
        return;
    reload(d);
}

static void watch_later(struct daemon *d)
{
    if (d->flags->file || d->refusal.config)
        uv_timer_start(&d->watch_timer, on_watch_timer, timer_grid_ms(uv_now(&d->loop), FILE_WATCH_MS), 0);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct daemon *d = handle->data;
    if (d->closing)
        return;
    if (signal_number == SIGHUP) {
        if (!d->draining)
            reload(d);
    } else if (!d->draining) {
        drain(d, signal_number);
    } else {
        log_line(d->log, LOG_WARN, "second signal: stopping at once");
        finish(d, false);
    }
}

/* ---- start ---- */

static enum daemon_exit explain(const struct daemon *d, enum daemon_setting setting, int err)
{
    return daemon_explain(d->log, d->config, setting, err) ? DAEMON_EXIT_CONFIG : DAEMON_EXIT_SYSTEM;
}

static void tell_footprint(const struct daemon *d)
{
    struct buf text = {0};
    if (daemon_footprint(d->config, &text) == 0)
        log_line(d->log, LOG_INFO, "%.*s", (int)text.len, (const char *)text.data);
    buf_done(&text);
}

static enum daemon_exit start(struct daemon *d)
{
    const struct config *c = d->config;
    int err = source_open(&d->loop, c, &d->stats, d->log, &d->source);
    if (err)
        return explain(d, DAEMON_RING_DIR, err);
    daemon_export_init(&d->export, &d->loop, d->source, &d->stats, d->log);
    err = source_start(d->source);
    if (err)
        return explain(d, DAEMON_SPOOL_DIR, err);
    if (daemon_export_apply(&d->export, d->config) != 0)
        return DAEMON_EXIT_SYSTEM;
    err = start_admin(d, c, &d->admin);
    if (err)
        return explain(d, DAEMON_METRICS_LISTEN, err);
    source_reconfigure(d->source, c);
    log_line(d->log, LOG_INFO, "aistraced %s: reading %s, %s%s", AISTRACE_BUILD_VERSION, c->ring_dir,
             c->enabled ? "sending to " : "tracing is disabled", c->enabled ? c->endpoint : "");
    tell_footprint(d);
    notify_ready(d);
    return DAEMON_EXIT_OK;
}

static int init_handles(struct daemon *d)
{
    int err = uv_timer_init(&d->loop, &d->drain_timer);
    if (!err)
        err = uv_timer_init(&d->loop, &d->watch_timer);
    d->drain_timer.data = d->watch_timer.data = d;
    if (!err && d->flags->file) {
        file_watch_taken(&d->watch, d->flags->file);
        watch_later(d);
    }
    for (int i = 0; i < SIGNALS && !err; i++) {
        err = uv_signal_init(&d->loop, &d->signals[i]);
        d->signals[i].data = d;
        if (!err)
            err = uv_signal_start(&d->signals[i], on_signal, signals[i]);
    }
    return err;
}

static uint64_t loop_now_ms(void *loop)
{
    return uv_now(loop);
}

enum daemon_exit daemon_run(const struct config_flags *flags, struct config *config, struct log *log)
{
    struct daemon d = {.flags = flags, .config = config, .log = log};
    int err = uv_loop_init(&d.loop);
    if (!err) {
        log_set_clock(log, loop_now_ms, &d.loop);
        err = init_handles(&d);
    }
    if (err) { /* the handles end with the process */
        log_set_clock(log, NULL, NULL);
        log_line(log, LOG_ERROR, "cannot start: %s", uv_strerror(err));
        config_unref(config);
        return DAEMON_EXIT_SYSTEM;
    }
    d.result = start(&d);
    if (d.result != DAEMON_EXIT_OK)
        close_all(&d);
    uv_run(&d.loop, UV_RUN_DEFAULT);
    uv_run(&d.loop, UV_RUN_NOWAIT); /* the last handles close */
    if (uv_loop_close(&d.loop) == UV_EBUSY)
        _exit((int)d.result); /* exit() would wait for the look-up, and name servers may not answer for long */
    settings_accept(&d.refusal);
    config_unref(d.config);
    log_set_clock(log, NULL, NULL);
    return d.result;
}
