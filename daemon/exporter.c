/* SPDX-License-Identifier: MIT */
#include "exporter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "uplink.h"

enum { TROUBLE_BYTES = 768 };

enum delivery_state { DELIVERY_FREE, DELIVERY_ON_WIRE, DELIVERY_WAITING };

/* A batch that has been tried at least once. Those never tried are in the queue. */
struct delivery {
    enum delivery_state state;
    struct batch *batch;
    struct link *link;    /* on the wire: through this connection */
    uint64_t at_ms;       /* on the wire: its deadline; waiting: when to try again */
    unsigned failures;    /* attempts that count */
    bool repeated;        /* once more for free already, since the last attempt that counted */
    bool connection_lost; /* waiting because of that, not of the server's word */
};

enum trouble_kind { TROUBLE_NONE, TROUBLE_CONNECTING, TROUBLE_CONNECTION, TROUBLE_ANSWER };

struct exporter {
    uv_loop_t *loop;
    const struct config *config;
    struct stats *stats;
    struct log *log;
    exporter_finished_cb finished_cb;
    void *user;

    struct uplink *uplink;
    char *authority;
    uv_timer_t timer; /* the next deadline, or retry */
    uint64_t random;

    struct delivery *deliveries;
    size_t delivery_count; /* the table's size */
    size_t delivery_used;
    size_t on_wire;
    struct batch *queue_head;
    struct batch *queue_tail;
    size_t queued;

    enum trouble_kind trouble_kind;
    char trouble[TROUBLE_BYTES];
    uint64_t trouble_since_ms; /* 0: none worth a word when it ends */

    bool closing;
    unsigned handles; /* the timer and the uplink */
    void (*closed_cb)(void *user);
    void *closed_user;
};

static void pump(struct exporter *exporter);

static uint64_t now_of(const struct exporter *exporter)
{
    return uv_now(exporter->loop);
}

static void release(struct exporter *exporter)
{
    if (--exporter->handles > 0)
        return;
    void (*closed_cb)(void *user) = exporter->closed_cb;
    void *user = exporter->closed_user;
    free(exporter->authority);
    free(exporter->deliveries);
    free(exporter);
    if (closed_cb)
        closed_cb(user);
}

/* ---- trouble, in words */

__attribute__((format(printf, 3, 4))) static void set_trouble(struct exporter *exporter, enum trouble_kind kind,
                                                              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(exporter->trouble, sizeof exporter->trouble, format, args);
    va_end(args);
    exporter->trouble_kind = kind;
    if (!exporter->trouble_since_ms && kind != TROUBLE_CONNECTING)
        exporter->trouble_since_ms = now_of(exporter) ? now_of(exporter) : 1;
}

static void delivered(struct exporter *exporter)
{
    uint64_t now_ms = now_of(exporter);
    exporter->stats->last_success_ms = now_ms ? now_ms : 1;
    exporter->trouble_kind = TROUBLE_NONE;
    if (exporter->trouble_since_ms)
        log_cause(exporter->log, LOG_INFO, "recovered", now_ms, "recovered after %" PRIu64 " s: spans reach %s",
                  (now_ms - exporter->trouble_since_ms) / 1000, exporter->authority);
    exporter->trouble_since_ms = 0;
}

/* ---- deliveries */

static struct delivery *delivery_new(struct exporter *exporter)
{
    struct delivery *delivery = exporter->deliveries;
    while (delivery->state != DELIVERY_FREE)
        delivery++;
    *delivery = (struct delivery){.batch = exporter->queue_head};
    exporter->delivery_used++;
    exporter->queue_head = batch_next(delivery->batch);
    exporter->queued--;
    return delivery;
}

static void delivery_finish(struct exporter *exporter, struct delivery *delivery, const struct batch_outcome *outcome)
{
    struct batch *batch = delivery->batch;
    delivery->state = DELIVERY_FREE;
    exporter->delivery_used--;
    exporter->finished_cb(exporter->user, batch, outcome);
}

static void delivery_wait(struct exporter *exporter, struct delivery *delivery, uint64_t wait_ms)
{
    delivery->state = DELIVERY_WAITING;
    delivery->at_ms = now_of(exporter) + wait_ms;
}

static uint64_t retry_wait_ms(struct exporter *exporter, struct delivery *delivery)
{
    const struct backoff backoff = {exporter->config->retry_initial_ms, exporter->config->retry_max_ms, 1.5, 0.2};
    return backoff_ms(&backoff, delivery->failures++, backoff_random(&exporter->random));
}

static void attempt_exported(struct exporter *exporter, struct delivery *delivery, const struct grpc_decision *decision)
{
    uint64_t spans = batch_span_count(delivery->batch);
    uint64_t rejected = decision->rejected < spans ? decision->rejected : spans;
    delivered(exporter);
    if (rejected)
        log_cause(exporter->log, LOG_WARN, "spans_rejected", now_of(exporter),
                  "the endpoint took a batch but rejected %" PRIu64 " of its %" PRIu64 " spans: %s", rejected, spans,
                  decision->message);
    else if (*decision->message)
        log_cause(exporter->log, LOG_WARN, "endpoint_warning", now_of(exporter),
                  "the endpoint took a batch and warns: %s", decision->message);
    delivery_finish(exporter, delivery, &(struct batch_outcome){.exported = true, .rejected = rejected});
}

static void attempt_refused(struct exporter *exporter, struct delivery *delivery, enum grpc_code code,
                            const struct grpc_decision *decision)
{
    set_trouble(exporter, TROUBLE_ANSWER, "%s refuses spans: %s: %s", exporter->authority, grpc_code_name(code),
                decision->message);
    log_cause(exporter->log, LOG_ERROR, "export_refused", now_of(exporter), "%s; a batch of %zu spans is dropped",
              exporter->trouble, batch_span_count(delivery->batch));
    delivery_finish(exporter, delivery, &(struct batch_outcome){.reason = DROP_REFUSED});
}

static void attempt_failed(struct exporter *exporter, struct delivery *delivery, enum grpc_code code,
                           const struct grpc_decision *decision)
{
    uint64_t wait_ms = retry_wait_ms(exporter, delivery);
    if (wait_ms < decision->retry_after_ms)
        wait_ms = decision->retry_after_ms;
    delivery->repeated = false;
    delivery_wait(exporter, delivery, wait_ms);
    if (delivery->connection_lost)
        return; /* the connection's end says why */
    set_trouble(exporter, TROUBLE_ANSWER, "%s does not take spans: %s: %s", exporter->authority, grpc_code_name(code),
                decision->message);
    log_cause(exporter->log, LOG_WARN, "export_retried", now_of(exporter), "%s; trying again in %.1f s",
              exporter->trouble, (double)wait_ms / 1000);
}

/* The one place where an attempt ends, however it does. */
static void attempt_ended(struct exporter *exporter, struct delivery *delivery, const struct grpc_result *result,
                          enum link_state link)
{
    struct grpc_decision decision;
    grpc_decide(result, &decision);
    exporter->on_wire--;
    delivery->link = NULL;
    delivery->connection_lost = link == LINK_LOST;

    /* Free of charge when the server did not see it; but one that refuses streams on a live connection again and
     * again would be asked without end. */
    if (result->unprocessed && (link != LINK_WORKS || !delivery->repeated)) {
        delivery->repeated = true;
        delivery_wait(exporter, delivery, 0);
        return;
    }
    exporter->stats->export_requests[result->code]++;
    switch (decision.verdict) {
    case GRPC_EXPORTED:
        attempt_exported(exporter, delivery, &decision);
        break;
    case GRPC_RETRY:
        attempt_failed(exporter, delivery, result->code, &decision);
        break;
    case GRPC_REFUSED:
        attempt_refused(exporter, delivery, result->code, &decision);
        break;
    }
}

/* ---- what the uplink says */

static void on_ready(void *user, bool fresh)
{
    struct exporter *exporter = user;
    if (fresh && exporter->trouble_kind != TROUBLE_ANSWER) {
        exporter->trouble_kind = TROUBLE_NONE;
        if (!exporter_held(exporter))
            exporter->trouble_since_ms = 0;
    }
    /* They waited for a connection: here it is. */
    for (size_t i = 0; fresh && i < exporter->delivery_count; i++) {
        struct delivery *delivery = &exporter->deliveries[i];
        if (delivery->state == DELIVERY_WAITING && delivery->connection_lost)
            delivery->at_ms = now_of(exporter);
    }
    pump(exporter);
}

static void on_result(void *user, void *call, const struct grpc_result *result, enum link_state link)
{
    struct exporter *exporter = user;
    attempt_ended(exporter, call, result, link);
    pump(exporter);
}

static void on_trouble(void *user, const char *why)
{
    struct exporter *exporter = user;
    set_trouble(exporter, TROUBLE_CONNECTION, "%s", why);
    log_cause(exporter->log, LOG_WARN, "connection_failed", now_of(exporter), "%s", why);
}

/* ---- the work: deadlines, calls, the next time to look */

static void expire(struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->delivery_count; i++) {
        struct delivery *delivery = &exporter->deliveries[i];
        if (delivery->state != DELIVERY_ON_WIRE || delivery->at_ms > now_of(exporter))
            continue;
        char text[64];
        snprintf(text, sizeof text, "no answer within %" PRIu64 " ms", exporter->config->timeout_ms);
        const struct grpc_result result = {.code = GRPC_DEADLINE_EXCEEDED, .message = text};
        attempt_ended(exporter, delivery, &result, uplink_cancel(delivery->link, delivery));
    }
}

/* Those that wait and are due come first, the longest due before the others. */
static struct delivery *next_delivery(struct exporter *exporter)
{
    struct delivery *next = NULL;
    for (size_t i = 0; i < exporter->delivery_count; i++) {
        struct delivery *delivery = &exporter->deliveries[i];
        if (delivery->state == DELIVERY_WAITING && delivery->at_ms <= now_of(exporter) &&
            (!next || delivery->at_ms < next->at_ms))
            next = delivery;
    }
    if (!next && exporter->queued && exporter->delivery_used < exporter->delivery_count)
        next = delivery_new(exporter);
    return next;
}

static void submit(struct exporter *exporter, struct delivery *delivery)
{
    size_t part_count;
    const struct iovec *parts = batch_parts(delivery->batch, &part_count);
    uint64_t timeout_ms = exporter->config->timeout_ms;
    int err = uplink_submit(exporter->uplink, delivery, parts, part_count, timeout_ms, &delivery->link);
    if (err) {
        log_cause(exporter->log, LOG_ERROR, "submit_failed", now_of(exporter), "cannot send a batch: %s",
                  strerror(-err));
        delivery_wait(exporter, delivery, retry_wait_ms(exporter, delivery));
        return;
    }
    delivery->state = DELIVERY_ON_WIRE;
    delivery->at_ms = now_of(exporter) + timeout_ms;
    exporter->on_wire++;
}

static bool can_submit(const struct exporter *exporter)
{
    return exporter->on_wire < exporter->config->max_in_flight && uplink_ready(exporter->uplink);
}

static void on_timer(uv_timer_t *timer)
{
    pump(timer->data);
}

static void arm(struct exporter *exporter)
{
    uint64_t at_ms = UINT64_MAX;
    bool can_send = can_submit(exporter);
    for (size_t i = 0; i < exporter->delivery_count; i++) {
        const struct delivery *delivery = &exporter->deliveries[i];
        /* One that is due and cannot be sent waits for an event, not for time. */
        bool matters = delivery->state == DELIVERY_ON_WIRE || (delivery->state == DELIVERY_WAITING && can_send);
        if (matters && delivery->at_ms < at_ms)
            at_ms = delivery->at_ms;
    }
    uint64_t now_ms = now_of(exporter);
    if (at_ms == UINT64_MAX)
        uv_timer_stop(&exporter->timer);
    else
        uv_timer_start(&exporter->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

/* Makes no callback to the owner. */
static void pump(struct exporter *exporter)
{
    if (exporter->closing)
        return;
    expire(exporter);
    uplink_want(exporter->uplink, exporter_held(exporter) > 0);
    while (can_submit(exporter)) {
        struct delivery *delivery = next_delivery(exporter);
        if (!delivery)
            break;
        submit(exporter, delivery);
    }
    arm(exporter);
}

/* ---- what the owner calls */

static char *make_authority(const struct config *config)
{
    char *authority;
    bool v6 = strchr(config->host, ':') != NULL;
    return asprintf(&authority, v6 ? "[%s]:%s" : "%s:%s", config->host, config->port) < 0 ? NULL : authority;
}

int exporter_start(uv_loop_t *loop, const struct config *config, struct stats *stats, struct log *log,
                   exporter_finished_cb finished_cb, void *user, struct exporter **out)
{
    static const struct uplink_callbacks callbacks = {on_ready, on_result, on_trouble};
    if (config->transport == CONFIG_TLS)
        return -ENOTSUP;
    struct exporter *exporter = calloc(1, sizeof *exporter);
    if (!exporter)
        return -ENOMEM;
    exporter->loop = loop;
    exporter->config = config;
    exporter->stats = stats;
    exporter->log = log;
    exporter->finished_cb = finished_cb;
    exporter->user = user;
    exporter->random = uv_hrtime() ^ (uint64_t)(uintptr_t)exporter;
    exporter->delivery_count = EXPORTER_HELD_FACTOR * EXPORTER_IN_FLIGHT_MAX; /* whatever a later configuration says */
    exporter->deliveries = calloc(exporter->delivery_count, sizeof *exporter->deliveries);
    exporter->authority = make_authority(config);
    int err = exporter->deliveries && exporter->authority ? 0 : -ENOMEM;
    if (!err)
        err = uplink_start(loop, config, exporter->authority, &callbacks, exporter, &exporter->uplink);
    if (err) {
        free(exporter->deliveries);
        free(exporter->authority);
        free(exporter);
        return err;
    }
    uv_timer_init(loop, &exporter->timer);
    exporter->timer.data = exporter;
    exporter->handles = 2;
    set_trouble(exporter, TROUBLE_CONNECTING, "connecting to %s", exporter->authority);
    *out = exporter;
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_way(const struct config *a, const struct config *b)
{
    return same_text(a->host, b->host) && same_text(a->port, b->port) && a->transport == b->transport &&
           same_text(a->token_header, b->token_header) && same_text(a->token_file, b->token_file);
}

int exporter_reconfigure(struct exporter *exporter, const struct config *fresh)
{
    if (fresh->transport == CONFIG_TLS)
        return -ENOTSUP;
    char *authority = make_authority(fresh);
    if (!authority)
        return -ENOMEM;
    bool moved = !same_way(exporter->config, fresh);
    uplink_reconfigure(exporter->uplink, fresh, authority, moved);
    free(exporter->authority);
    exporter->authority = authority;
    exporter->config = fresh;
    for (size_t i = 0; moved && i < exporter->delivery_count; i++) {
        struct delivery *delivery = &exporter->deliveries[i];
        delivery->failures = 0;
        if (delivery->state == DELIVERY_WAITING)
            delivery->at_ms = now_of(exporter);
    }
    if (moved)
        set_trouble(exporter, TROUBLE_CONNECTING, "connecting to %s", authority);
    pump(exporter);
    return 0;
}

void exporter_submit(struct exporter *exporter, struct batch *batch)
{
    batch_set_next(batch, NULL);
    if (exporter->queued++)
        batch_set_next(exporter->queue_tail, batch);
    else
        exporter->queue_head = batch;
    exporter->queue_tail = batch;
    pump(exporter);
}

size_t exporter_held(const struct exporter *exporter)
{
    return exporter->queued + exporter->delivery_used;
}

bool exporter_has_room(const struct exporter *exporter)
{
    return exporter_held(exporter) < EXPORTER_HELD_FACTOR * exporter->config->max_in_flight;
}

const char *exporter_trouble(const struct exporter *exporter)
{
    return exporter->trouble_kind == TROUBLE_NONE ? NULL : exporter->trouble;
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
    if (!exporter || exporter->closing)
        return;
    exporter->closing = true;
    exporter->closed_cb = closed_cb;
    exporter->closed_user = user;
    uplink_close(exporter->uplink, uplink_closed, exporter);
    uv_close((uv_handle_t *)&exporter->timer, timer_closed);
}
