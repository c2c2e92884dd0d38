/* SPDX-License-Identifier: MIT */
#include "exporter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "conn.h"
#include "exporter_token.h"

enum {
    CONNECT_TIMEOUT_MS = 20 * 1000,
    RECONNECT_INITIAL_MS = 1000,
    RECONNECT_MAX_MS = 120 * 1000,
    RECONNECT_WAITING_MAX_MS = 5 * 1000, /* while batches wait */
    PROVEN_MS = 10 * 1000,               /* a connection that lived so long, or answered, is replaced at once */
    TROUBLE_BYTES = 768,
};
static const char EXPORT_PATH[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

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

/* A connection and what it borrows. */
struct link {
    struct link *next;
    struct exporter *exporter;
    struct conn *conn;
    struct conn_settings settings;
    struct h2_metadata token_field;
    char *token;
    size_t on_wire;
    uint64_t ready_ms; /* 0: not yet */
    bool answered;
    bool retiring; /* takes nothing new */
};

enum trouble_kind { TROUBLE_NONE, TROUBLE_CONNECTING, TROUBLE_CONNECTION, TROUBLE_ANSWER };

struct exporter {
    uv_loop_t *loop;
    const struct config *config;
    struct stats *stats;
    struct log *log;
    exporter_finished_cb finished_cb;
    void *user;

    uv_timer_t timer;
    char *authority;
    struct link *links;
    struct link *current; /* for new calls; NULL: none, the next at connect_ms */
    uint64_t connect_ms;
    unsigned connect_failures;
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
    size_t handles; /* the timer, and links not yet freed */
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
    if (--exporter->handles)
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
        log_line(exporter->log, LOG_INFO, "recovered after %" PRIu64 " s: spans reach %s",
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
static void attempt_ended(struct exporter *exporter, struct delivery *delivery, const struct grpc_result *result)
{
    struct link *link = delivery->link;
    bool link_works = conn_ready(link->conn);
    struct grpc_decision decision;
    grpc_decide(result, &decision);
    link->on_wire--;
    exporter->on_wire--;
    delivery->link = NULL;
    delivery->connection_lost = !link_works && !link->retiring;

    /* Free of charge when the server did not see it; but one that refuses streams on a live connection again and
     * again would be asked without end. */
    if (result->unprocessed && (!link_works || !delivery->repeated)) {
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

/* ---- connections */

static void link_closed(void *user)
{
    struct link *link = user;
    struct exporter *exporter = link->exporter;
    exporter_token_free(link->token);
    free(link);
    release(exporter);
}

static void link_close(struct link *link)
{
    struct exporter *exporter = link->exporter;
    struct link **at = &exporter->links;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    if (exporter->current == link)
        exporter->current = NULL;
    conn_close(link->conn, link_closed, link);
}

static bool link_proven(const struct link *link)
{
    return link->answered || (link->ready_ms && now_of(link->exporter) - link->ready_ms >= PROVEN_MS);
}

static bool batches_wait(const struct exporter *exporter)
{
    return exporter->queued || exporter->delivery_used;
}

static void schedule_connect(struct exporter *exporter, bool at_once)
{
    const struct backoff backoff = {RECONNECT_INITIAL_MS,
                                    batches_wait(exporter) ? RECONNECT_WAITING_MAX_MS : RECONNECT_MAX_MS, 1.6, 0.2};
    exporter->connect_ms = now_of(exporter);
    if (at_once)
        exporter->connect_failures = 0;
    else
        exporter->connect_ms += backoff_ms(&backoff, exporter->connect_failures++, backoff_random(&exporter->random));
}

static void on_ready(void *user)
{
    struct link *link = user;
    struct exporter *exporter = link->exporter;
    if (!link->ready_ms) {
        link->ready_ms = now_of(exporter) ? now_of(exporter) : 1;
        if (exporter->trouble_kind != TROUBLE_ANSWER) {
            exporter->trouble_kind = TROUBLE_NONE;
            if (!batches_wait(exporter))
                exporter->trouble_since_ms = 0;
        }
        /* They waited for a connection: here it is. */
        for (size_t i = 0; i < exporter->delivery_count; i++)
            if (exporter->deliveries[i].state == DELIVERY_WAITING && exporter->deliveries[i].connection_lost)
                exporter->deliveries[i].at_ms = now_of(exporter);
    }
    pump(exporter);
}

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    struct link *link = user;
    struct exporter *exporter = link->exporter;
    if (!result->unprocessed && (result->code == GRPC_OK || conn_ready(link->conn)))
        link->answered = true;
    attempt_ended(exporter, call, result);
    if (exporter->closing)
        return;
    if (link->retiring && !link->on_wire)
        link_close(link);
    pump(exporter);
}

static void on_goaway(void *user)
{
    struct link *link = user;
    struct exporter *exporter = link->exporter;
    link->retiring = true;
    if (exporter->current == link) {
        exporter->current = NULL;
        schedule_connect(exporter, link_proven(link));
    }
    if (!link->on_wire)
        link_close(link);
    pump(exporter);
}

static void on_down(void *user, const char *why)
{
    struct link *link = user;
    struct exporter *exporter = link->exporter;
    if (exporter->current == link) {
        bool proven = link_proven(link);
        /* A server may close a connection that nobody uses. */
        if (!proven || batches_wait(exporter)) {
            set_trouble(exporter, TROUBLE_CONNECTION, "%s", why);
            log_cause(exporter->log, LOG_WARN, "connection_failed", now_of(exporter), "%s", why);
        }
        schedule_connect(exporter, proven);
    }
    link_close(link);
    pump(exporter);
}

static int link_use_token(struct link *link)
{
    const struct config *config = link->exporter->config;
    if (!config->token_header || !*config->token_header || !config->token_file || !*config->token_file)
        return 0;
    int err = exporter_token_read(config->token_file, &link->token);
    if (err)
        return err;
    link->token_field = (struct h2_metadata){config->token_header, link->token, true};
    link->settings.h2.metadata = &link->token_field;
    link->settings.h2.metadata_count = 1;
    return 0;
}

static int link_open(struct exporter *exporter)
{
    static const struct conn_callbacks callbacks = {on_ready, on_result, on_down, on_goaway};
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return -ENOMEM;
    link->exporter = exporter;
    link->settings = (struct conn_settings){
        .host = exporter->config->host,
        .port = exporter->config->port,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .h2 = {.scheme = "http", .authority = exporter->authority, .path = EXPORT_PATH},
    };
    const char *what = exporter->config->token_file;
    int err = link_use_token(link);
    if (!err) {
        what = exporter->authority;
        err = conn_open(exporter->loop, &link->settings, &callbacks, link, &link->conn);
    }
    if (err) {
        set_trouble(exporter, TROUBLE_CONNECTION, "%s: %s", what, strerror(-err));
        log_cause(exporter->log, LOG_ERROR, "connection_failed", now_of(exporter), "%s", exporter->trouble);
        exporter_token_free(link->token);
        free(link);
        return err;
    }
    link->next = exporter->links;
    exporter->links = link;
    exporter->current = link;
    exporter->handles++;
    return 0;
}

/* ---- the work: deadlines, connection, calls, the next time to look */

static void expire(struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->delivery_count; i++) {
        struct delivery *delivery = &exporter->deliveries[i];
        if (delivery->state != DELIVERY_ON_WIRE || delivery->at_ms > now_of(exporter))
            continue;
        struct link *link = delivery->link;
        char text[64];
        snprintf(text, sizeof text, "no answer within %" PRIu64 " ms", exporter->config->timeout_ms);
        const struct grpc_result result = {.code = GRPC_DEADLINE_EXCEEDED, .message = text};
        conn_cancel(link->conn, delivery);
        attempt_ended(exporter, delivery, &result);
        if (link->retiring && !link->on_wire)
            link_close(link);
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
    int err = conn_submit(exporter->current->conn, delivery, parts, part_count, timeout_ms);
    if (err) {
        log_cause(exporter->log, LOG_ERROR, "submit_failed", now_of(exporter), "cannot send a batch: %s",
                  strerror(-err));
        delivery_wait(exporter, delivery, retry_wait_ms(exporter, delivery));
        return;
    }
    delivery->state = DELIVERY_ON_WIRE;
    delivery->link = exporter->current;
    delivery->at_ms = now_of(exporter) + timeout_ms;
    exporter->current->on_wire++;
    exporter->on_wire++;
}

static void on_timer(uv_timer_t *timer)
{
    pump(timer->data);
}

static void arm(struct exporter *exporter)
{
    uint64_t at_ms = exporter->current ? UINT64_MAX : exporter->connect_ms;
    bool can_send =
        exporter->current && conn_ready(exporter->current->conn) && exporter->on_wire < exporter->config->max_in_flight;
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
    if (!exporter->current && exporter->connect_ms <= now_of(exporter) && link_open(exporter))
        schedule_connect(exporter, false);
    while (exporter->current && conn_ready(exporter->current->conn) &&
           exporter->on_wire < exporter->config->max_in_flight) {
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
    if (config->tls)
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
    exporter->delivery_count = EXPORTER_HELD_FACTOR * config->max_in_flight;
    exporter->deliveries = calloc(exporter->delivery_count, sizeof *exporter->deliveries);
    exporter->authority = make_authority(config);
    if (!exporter->deliveries || !exporter->authority) {
        free(exporter->deliveries);
        free(exporter->authority);
        free(exporter);
        return -ENOMEM;
    }
    uv_timer_init(loop, &exporter->timer);
    exporter->timer.data = exporter;
    exporter->handles = 1;
    exporter->connect_ms = now_of(exporter);
    set_trouble(exporter, TROUBLE_CONNECTING, "connecting to %s", exporter->authority);
    pump(exporter);
    *out = exporter;
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
    uint64_t soon_ms = now_of(exporter) + RECONNECT_WAITING_MAX_MS;
    if (exporter->connect_ms > soon_ms)
        exporter->connect_ms = soon_ms;
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

void exporter_close(struct exporter *exporter, void (*closed_cb)(void *user), void *user)
{
    if (!exporter || exporter->closing)
        return;
    exporter->closing = true;
    exporter->closed_cb = closed_cb;
    exporter->closed_user = user;
    while (exporter->links)
        link_close(exporter->links);
    uv_close((uv_handle_t *)&exporter->timer, timer_closed);
}
