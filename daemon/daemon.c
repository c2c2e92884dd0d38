/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "admin.h"
#include "buf.h"
#include "daemon_reload.h"
#include "daemon_watch.h"
#include "exporter.h"
#include "source.h"
#include "stats.h"

enum { DRAIN_POLL_MS = 10 };

static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

struct daemon {
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    uv_timer_t drain_timer;
    uv_timer_t watch_timer; /* of the configuration's file */
    struct daemon_watch watch;
    const struct config_flags *flags;
    struct config *config;
    struct log *log;
    struct stats stats;
    struct source *source;
    struct exporter *exporter; /* NULL while tracing has never been enabled */
    struct admin *admin;       /* NULL when metrics_listen is empty */
    bool draining;
    bool closing;
    uint64_t drain_until_ms;
    enum daemon_exit result;
};

/* ---- what the admin asks ---- */

static void on_metrics(void *user, struct buf *out)
{
    struct daemon *d = user;
    struct stats_snapshot snapshot;
    source_snapshot(d->source, &snapshot);
    stats_render(out, &snapshot);
}

static bool on_ready(void *user, struct buf *out)
{
    struct daemon *d = user;
    const char *trouble = d->draining ? "draining" : NULL;
    if (!trouble && d->config->enabled && d->exporter)
        trouble = exporter_trouble(d->exporter);
    if (trouble)
        buf_printf(out, "%s", trouble);
    return !trouble;
}

static const struct admin_callbacks admin_callbacks = {on_metrics, on_ready};

/* ---- the end: exporter, source, admin, then our own handles ---- */

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
    uv_stop(&d->loop); /* what is left is no handle of ours: a look-up of a host name that cannot be called off */
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

static void on_exporter_closed(void *user)
{
    struct daemon *d = user;
    d->exporter = NULL;
    if (d->source)
        source_close(d->source, on_source_closed, d);
    else
        on_source_closed(d);
}

static void close_all(struct daemon *d)
{
    if (d->closing)
        return;
    d->closing = true;
    if (d->exporter)
        exporter_close(d->exporter, on_exporter_closed, d);
    else
        on_exporter_closed(d);
}

/* "invalid 3, refused 5", or "". */
static void list_dropped(const struct outcome *outcome, struct buf *out)
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
    struct buf dropped = {.data = NULL};
    uv_timer_stop(&d->drain_timer);
    source_snapshot(d->source, &s);
    uint64_t left = s.in_flight + s.unread;
    d->result = drained || left == 0 ? DAEMON_EXIT_OK : DAEMON_EXIT_LEFT;
    list_dropped(&s.outcome, &dropped);
    log_flush(d->log, uv_now(&d->loop), true);
    log_line(d->log, d->result == DAEMON_EXIT_OK ? LOG_INFO : LOG_WARN,
             "stopped: exported %" PRIu64 ", sampled out %" PRIu64 ", rejected %" PRIu64 ", dropped %" PRIu64
             "%s%.*s%s, left in the rings %" PRIu64,
             s.outcome.exported, s.outcome.sampled_out, s.outcome.rejected,
             outcome_sum(&s.outcome) - s.outcome.exported - s.outcome.sampled_out - s.outcome.rejected -
                 s.outcome.spooled,
             dropped.len ? " (" : "", (int)dropped.len, (const char *)dropped.data, dropped.len ? ")" : "", left);
    buf_done(&dropped);
    close_all(d);
}

/* ---- signals ---- */

static void on_drain_timer(uv_timer_t *timer)
{
    struct daemon *d = timer->data;
    bool drained = source_drained(d->source) && (!d->exporter || exporter_held(d->exporter) == 0);
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
    d->draining = true;
    d->drain_until_ms = uv_now(&d->loop) + d->config->drain_deadline_ms;
    source_drain(d->source);
    uv_timer_start(&d->drain_timer, on_drain_timer, 0, DRAIN_POLL_MS);
}

static int start_exporter(struct daemon *d)
{
    const struct config *c = d->config;
    int err = exporter_start(&d->loop, c, &d->stats, d->log, source_batch_finished, d->source, &d->exporter);
    if (err) {
        log_line(d->log, LOG_ERROR, "cannot start the exporter: %s", strerror(-err));
        return err;
    }
    source_attach_exporter(d->source, d->exporter);
    if (c->transport == CONFIG_TLS_OR_PLAINTEXT)
        log_line(d->log, LOG_WARN,
                 "tracing.skip_verify: spans go to %s in plaintext; http:// in tracing.exporter_endpoint says that you "
                 "mean it",
                 c->endpoint);
    if (c->token_in_clear)
        log_line(d->log, LOG_WARN, "tracing.exporter_auth: the token goes to %s in plaintext", c->endpoint);
    return 0;
}

static void reload(struct daemon *d)
{
    bool was_enabled = d->config->enabled;
    if (d->flags->file)
        daemon_watch_taken(&d->watch, d->flags->file);
    int err = daemon_reload(d->flags, d->config, d->exporter != NULL, d->log);
    if (!err && d->config->enabled && !d->exporter)
        err = start_exporter(d);
    if (err) {
        d->config->enabled = was_enabled;
        d->stats.config_reloads_failed++;
        return;
    }
    d->stats.config_reloads_ok++;
    source_publish(d->source);
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

static void on_watch_timer(uv_timer_t *timer)
{
    struct daemon *d = timer->data;
    if (d->draining || d->closing || !daemon_watch_due(&d->watch, d->flags->file))
        return;
    log_line(d->log, LOG_INFO, "%s has changed", d->flags->file);
    reload(d);
}

/* ---- start ---- */

/* A start that failed because of a setting, in words: which, from where, and the mend. */
struct start_problem {
    int err;
    const char *text;
};

static const struct start_problem ring_dir_problems[] = {
    {-EWOULDBLOCK, "another aistraced reads it; stop that one, or give this one a directory of its own"},
    {-EPERM, "it belongs to another user; run as its owner, or name another directory"},
    {-EACCES, "no permission; run as its owner, or name another directory"},
    {-ENOTDIR, "it is not a directory; name another"},
    {-ELOOP, "it is a symbolic link, which is not followed; name the directory itself"},
    {-ENOENT, "the directory above it does not exist; create that, or name another"},
    {-ENOSPC, "its file system is full; free some, or mount a larger tmpfs"},
    {-EROFS, "its file system is read-only; name a directory on a tmpfs"},
    {0, "it cannot be used"},
};

static const struct start_problem metrics_problems[] = {
    {-EADDRINUSE, "the address is in use; stop who has it, choose another, or \"\" for none"},
    {-EADDRNOTAVAIL, "this machine has no such address; choose another, or \"\" for none"},
    {-EACCES, "no permission for this port; choose one from 1024 up"},
    {0, "it cannot be listened on"},
};

static enum daemon_exit explain(struct daemon *d, const char *key, const char *value, const char *flag,
                                const struct start_problem *problem, int err)
{
    char place[CONFIG_PLACE_BYTES];
    if (err == -ENOMEM || err == -EMFILE || err == -ENFILE) {
        log_line(d->log, LOG_ERROR, "cannot start: %s", strerror(-err));
        return DAEMON_EXIT_SYSTEM;
    }
    while (problem->err != 0 && problem->err != err)
        problem++;
    const char *from = config_place(d->config, key, place);
    bool flagged = strcmp(from, flag) == 0;
    log_line(d->log, LOG_ERROR, "%s \"%s\" (%s%s%s): %s (%s)", key, value, from, flagged ? "" : "; the flag is ",
             flagged ? "" : flag, problem->text, strerror(-err));
    return DAEMON_EXIT_CONFIG;
}

static enum daemon_exit start(struct daemon *d)
{
    const struct config *c = d->config;
    int err = source_start(&d->loop, c, &d->stats, d->log, &d->source);
    if (err)
        return explain(d, "aistraced.ring_dir", c->ring_dir, "--ring-dir", ring_dir_problems, err);
    if (c->enabled && start_exporter(d) != 0)
        return DAEMON_EXIT_SYSTEM;
    if (*c->metrics_listen) {
        err = admin_start(&d->loop, c->metrics_listen, &admin_callbacks, d, d->log, &d->admin);
        if (err)
            return explain(d, "aistraced.metrics_listen", c->metrics_listen, "--metrics-listen", metrics_problems, err);
    }
    source_publish(d->source);
    log_line(d->log, LOG_INFO, "aistraced %s: reading %s, %s%s", AISTRACE_BUILD_VERSION, c->ring_dir,
             c->enabled ? "sending to " : "tracing is disabled", c->enabled ? c->endpoint : "");
    return DAEMON_EXIT_OK;
}

static int init_handles(struct daemon *d)
{
    int err = uv_timer_init(&d->loop, &d->drain_timer);
    if (!err)
        err = uv_timer_init(&d->loop, &d->watch_timer);
    d->drain_timer.data = d->watch_timer.data = d;
    if (!err && d->flags->file) {
        daemon_watch_taken(&d->watch, d->flags->file);
        err = uv_timer_start(&d->watch_timer, on_watch_timer, DAEMON_WATCH_MS, DAEMON_WATCH_MS);
    }
    for (int i = 0; i < SIGNALS && !err; i++) {
        err = uv_signal_init(&d->loop, &d->signals[i]);
        d->signals[i].data = d;
        if (!err)
            err = uv_signal_start(&d->signals[i], on_signal, signals[i]);
    }
    return err;
}

enum daemon_exit daemon_run(const struct config_flags *flags, struct config *config, struct log *log)
{
    struct daemon d = {.flags = flags, .config = config, .log = log};
    int err = uv_loop_init(&d.loop);
    if (!err)
        err = init_handles(&d);
    if (err) { /* the process ends: its handles need no care */
        log_line(log, LOG_ERROR, "cannot start: %s", uv_strerror(err));
        return DAEMON_EXIT_SYSTEM;
    }
    d.result = start(&d);
    if (d.result != DAEMON_EXIT_OK)
        close_all(&d);
    uv_run(&d.loop, UV_RUN_DEFAULT);
    uv_run(&d.loop, UV_RUN_NOWAIT); /* the last handles close */
    if (uv_loop_close(&d.loop) == UV_EBUSY)
        _exit((int)d.result); /* exit() would wait for the look-up, and the name servers may be silent for long */
    return d.result;
}
