/* SPDX-License-Identifier: MIT */
#include "exporter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporter_state.h"
#include "grpc/gzip.h"
#include "uplink_route.h"

static void pump(struct exporter *exporter);

static void release(struct exporter *exporter)
{
    if (!ending_release(&exporter->ending))
        return;
    struct ending ending = exporter->ending;
    gzip_free(exporter->gzip);
    free(exporter->authority);
    free(exporter);
    ending_tell(&ending);
}

/* ---- what the uplink says ---- */

static void on_ready(void *user, bool fresh)
{
    struct exporter *exporter = user;
    if (fresh && exporter->trouble_kind != TROUBLE_ANSWER) {
        exporter->trouble_kind = TROUBLE_NONE;
        if (!exporter_held(exporter))
            exporter_outcome_recovered(exporter);
    }
    if (fresh) {
        exporter->gzip_refused = false;
        exporter_queue_connected(exporter);
    }
    pump(exporter);
}

static void on_result(void *user, void *call, const struct grpc_result *result, enum link_state link)
{
    struct exporter *exporter = user;
    exporter_outcome_ended(exporter, call, result, link);
    pump(exporter);
}

static void on_trouble(void *user, const char *why)
{
    struct exporter *exporter = user;
    exporter_outcome_trouble(exporter, TROUBLE_CONNECTION, "%s", why);
    log_cause(exporter->log, LOG_WARN, "connection_failed", "%s", why);
}

static void on_notice(void *user, enum uplink_notice notice, const char *text)
{
    static const struct {
        enum log_level level;
        const char *cause;
    } rows[] = {
        [UPLINK_RENEWED] = {LOG_INFO, "files_renewed"},       [UPLINK_NOT_RENEWED] = {LOG_ERROR, "files_not_renewed"},
        [UPLINK_TOKEN_EXPOSED] = {LOG_WARN, "token_exposed"}, [UPLINK_CALMED] = {LOG_WARN, "too_many_pings"},
        [UPLINK_IN_CLEAR] = {LOG_WARN, "in_clear"},
    };
    struct exporter *exporter = user;
    if (notice == UPLINK_RENEWED)
        exporter->denied_until_ms = 0; /* the denial may have been for the old token */
    log_cause(exporter->log, rows[notice].level, rows[notice].cause, "%s", text);
}

/* ---- the work: deadlines, calls, the next time to look ---- */

static void expire(struct exporter *exporter)
{
    struct delivery *delivery;
    while ((delivery = exporter->on_wire.head) && delivery->at_ms <= exporter_now_ms(exporter)) {
        char text[64];
        snprintf(text, sizeof(text), "no answer within %" PRIu64 " ms", exporter->config->timeout_ms);
        const struct grpc_result result = {.code = GRPC_DEADLINE_EXCEEDED, .message = text};
        enum link_state link = uplink_cancel(exporter->uplink, delivery->link, delivery);
        exporter_outcome_ended(exporter, delivery, &result, link);
    }
}

static void submit(struct exporter *exporter, struct delivery *delivery)
{
    struct h2_request request;
    exporter_request(exporter, delivery, &request);
    int err = uplink_submit(exporter->uplink, delivery, &request, &delivery->link);
    if (err) {
        log_cause(exporter->log, LOG_ERROR, "submit_failed", "cannot send a batch: %s", strerror(-err));
        exporter_queue_wait(exporter, delivery, exporter_outcome_failed_ms(exporter, delivery));
        return;
    }
    exporter_queue_send(exporter, delivery, exporter_now_ms(exporter) + request.timeout_ms);
}

static bool can_submit(const struct exporter *exporter)
{
    /* While the token is denied, one batch at a time is sent, to find out whether it still is. */
    size_t most = exporter->denials ? 1 : exporter->config->max_in_flight;
    return exporter->on_wire.count < most && uplink_ready(exporter->uplink);
}

static void on_timer(uv_timer_t *timer)
{
    struct exporter *exporter = timer->data;
    expire(exporter);
    pump(exporter);
}

static void arm(struct exporter *exporter)
{
    uint64_t now_ms = exporter_now_ms(exporter);
    uint64_t at_ms = exporter->on_wire.head ? exporter->on_wire.head->at_ms : UINT64_MAX;
    /* When a batch could be sent but is not due yet. A batch that cannot be sent waits for an event. */
    if (can_submit(exporter) && (exporter->queued.head || exporter->waiting.head)) {
        uint64_t due_ms = exporter->queued.head ? now_ms : exporter->waiting.head->at_ms;
        if (due_ms < exporter->denied_until_ms)
            due_ms = exporter->denied_until_ms;
        if (due_ms < at_ms)
            at_ms = due_ms;
    }
    if (at_ms == UINT64_MAX)
        uv_timer_stop(&exporter->timer);
    else
        uv_timer_start(&exporter->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

/* Makes no callback to the owner. */
static void pump(struct exporter *exporter)
{
    if (exporter->ending.begun)
        return;
    uplink_want(exporter->uplink, exporter_held(exporter) > 0);
    while (can_submit(exporter) && exporter_now_ms(exporter) >= exporter->denied_until_ms) {
        struct delivery *delivery = exporter_queue_next(exporter);
        if (!delivery)
            break;
        submit(exporter, delivery);
    }
    arm(exporter);
}

/* ---- what the owner calls ---- */

static char *make_authority(const struct config *config)
{
    char *authority;
    if (config->unix_socket)
        return asprintf(&authority, "unix:%s", config->host) < 0 ? NULL : authority;
    bool v6 = strchr(config->host, ':') != NULL;
    return asprintf(&authority, v6 ? "[%s]:%s" : "%s:%s", config->host, config->port) < 0 ? NULL : authority;
}

int exporter_start(uv_loop_t *loop, const struct config *config, struct stats *stats, struct log *log,
                   exporter_finished_cb finished_cb, void *user, struct exporter **out)
{
    static const struct uplink_callbacks callbacks = {on_ready, on_result, on_trouble, on_notice};
    struct exporter *exporter = calloc(1, sizeof(*exporter));
    if (!exporter)
        return -ENOMEM;
    exporter->loop = loop;
    exporter->config = config;
    exporter->stats = stats;
    exporter->log = log;
    exporter->finished_cb = finished_cb;
    exporter->user = user;
    exporter->random = uv_hrtime() ^ (uint64_t)(uintptr_t)exporter;
    exporter_queue_init(exporter);
    exporter->authority = make_authority(config);
    int err = exporter->authority ? 0 : -ENOMEM;
    if (!err)
        err = uplink_start(loop, config, exporter->authority, &callbacks, exporter, &exporter->uplink);
    if (err) {
        free(exporter->authority);
        free(exporter);
        return err;
    }
    uv_timer_init(loop, &exporter->timer);
    exporter->timer.data = exporter;
    ending_hold(&exporter->ending, 2);
    exporter_outcome_trouble(exporter, TROUBLE_CONNECTING, "connecting to %s", exporter->authority);
    *out = exporter;
    return 0;
}

int exporter_reconfigure(struct exporter *exporter, const struct config *fresh)
{
    char *authority = make_authority(fresh);
    if (!authority)
        return -ENOMEM;
    bool moved = !uplink_route_same(exporter->config, fresh);
    uplink_reconfigure(exporter->uplink, fresh, authority, moved);
    free(exporter->authority);
    exporter->authority = authority;
    exporter->config = fresh;
    if (moved) {
        exporter->denied_until_ms = 0;
        exporter_queue_moved(exporter);
        exporter_outcome_trouble(exporter, TROUBLE_CONNECTING, "connecting to %s", authority);
    }
    pump(exporter);
    return 0;
}

void exporter_submit(struct exporter *exporter, struct batch *batch)
{
    exporter_queue_take(exporter, batch);
    pump(exporter);
}

const char *exporter_trouble(const struct exporter *exporter)
{
    return exporter->trouble_kind == TROUBLE_NONE ? NULL : exporter->trouble;
}

bool exporter_away(const struct exporter *exporter)
{
    return exporter->trouble_kind == TROUBLE_CONNECTING || exporter->trouble_kind == TROUBLE_CONNECTION;
}

static void timer_closed(uv_handle_t *timer)
{
    release(timer->data);
}

static void uplink_closed(void *user)
{
    release(user);
}

void exporter_close(struct exporter *exporter, void (*closed_cb)(void *user), void *user)
{
    if (!exporter || !ending_begin(&exporter->ending, closed_cb, user))
        return;
    uplink_close(exporter->uplink, uplink_closed, exporter);
    while (exporter->held.head)
        exporter_queue_give_back(exporter, exporter->held.head);
    uv_close((uv_handle_t *)&exporter->timer, timer_closed);
}
