/* SPDX-License-Identifier: MIT
 *
 * How an attempt to deliver a batch ends: exported, tried again, or refused, and what the log and the figures say.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "backoff.h"
#include "exporter_state.h"

static const double RETRY_FACTOR = 1.5, RETRY_JITTER = 0.2;

void exporter_outcome_trouble(struct exporter *exporter, enum exporter_trouble_kind kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(exporter->trouble, sizeof(exporter->trouble), format, args);
    va_end(args);
    exporter->trouble_kind = kind;
    if (kind == TROUBLE_CONNECTING) /* its end is not logged */
        return;
    struct stats *stats = exporter->stats;
    stats->outage_ended_ms = 0;
    if (!stats->outage_began_ms)
        stats->outage_began_ms = exporter_now_ms(exporter) ? exporter_now_ms(exporter) : 1;
}

void exporter_outcome_recovered(struct exporter *exporter)
{
    struct stats *stats = exporter->stats;
    if (stats->outage_began_ms && !stats->outage_ended_ms)
        stats->outage_ended_ms = exporter_now_ms(exporter);
}

static void delivered(struct exporter *exporter)
{
    uint64_t now_ms = exporter_now_ms(exporter);
    exporter->stats->last_success_ms = now_ms ? now_ms : 1;
    exporter->trouble_kind = TROUBLE_NONE;
    exporter_outcome_recovered(exporter);
}

static void finish(struct exporter *exporter, struct delivery *delivery, const struct batch_outcome *outcome)
{
    exporter_queue_give_back(exporter, delivery);
    exporter->finished_cb(exporter->user, delivery->batch, outcome);
}

/* The attempt did not settle the batch: there is another one. */
static void again(struct exporter *exporter, struct delivery *delivery, uint64_t wait_ms)
{
    if (delivery->spooled)
        finish(exporter, delivery, &(struct batch_outcome){.returned = true});
    else
        exporter_queue_wait(exporter, delivery, wait_ms);
}

static uint64_t retry_ms(struct exporter *exporter, unsigned failures)
{
    const struct backoff backoff = {exporter->config->retry_initial_ms, exporter->config->retry_max_ms, RETRY_FACTOR,
                                    RETRY_JITTER};
    return backoff_ms(&backoff, failures, backoff_random(&exporter->random));
}

uint64_t exporter_outcome_failed_ms(struct exporter *exporter, struct delivery *delivery)
{
    return retry_ms(exporter, delivery->failures++);
}

static void attempt_exported(struct exporter *exporter, struct delivery *delivery, const struct grpc_decision *decision)
{
    uint64_t spans = batch_span_count(delivery->batch);
    uint64_t rejected = decision->rejected < spans ? decision->rejected : spans;
    delivered(exporter);
    exporter->denials = 0;
    exporter->denied_until_ms = 0;
    if (delivery->form == DELIVERY_UNPACKED)
        log_cause(exporter->log, LOG_WARN, "gzip_refused",
                  "%s does not accept gzip: sending uncompressed; set aistraced.compression to \"none\"",
                  exporter->authority);
    if (rejected)
        log_cause(exporter->log, LOG_WARN, "spans_rejected",
                  "the endpoint accepted a batch, but rejected %" PRIu64 " of its %" PRIu64 " spans: %s", rejected,
                  spans, decision->message);
    else if (*decision->message)
        log_cause(exporter->log, LOG_WARN, "endpoint_warning", "the endpoint accepted a batch and warns: %s",
                  decision->message);
    finish(exporter, delivery, &(struct batch_outcome){.exported = true, .rejected = rejected});
}

/* A token that was replaced since the attempt is tried once. */
static bool authorize_again(struct exporter *exporter, struct delivery *delivery)
{
    if (delivery->reauthorized || !uplink_refresh_token(exporter->uplink))
        return false;
    delivery->reauthorized = true;
    return true;
}

/* The next batches would be refused as well, and lost: they wait in the rings. Calls that ran side by side count as one
 * denial. */
static void deny(struct exporter *exporter)
{
    uint64_t now_ms = exporter_now_ms(exporter);
    if (now_ms >= exporter->denied_until_ms)
        exporter->denied_until_ms = now_ms + retry_ms(exporter, exporter->denials++);
}

static void attempt_refused(struct exporter *exporter, struct delivery *delivery, enum grpc_code code,
                            const struct grpc_decision *decision)
{
    exporter_outcome_trouble(exporter, TROUBLE_ANSWER, "%s refuses spans: %s: %s", exporter->authority,
                             grpc_code_name(code), decision->message);
    log_cause(exporter->log, LOG_ERROR, "export_refused", "%s; a batch of %zu spans is dropped", exporter->trouble,
              batch_span_count(delivery->batch));
    finish(exporter, delivery, &(struct batch_outcome){.reason = DROP_REFUSED});
}

static void attempt_failed(struct exporter *exporter, struct delivery *delivery, enum grpc_code code,
                           const struct grpc_decision *decision)
{
    uint64_t wait_ms = exporter_outcome_failed_ms(exporter, delivery);
    if (wait_ms < decision->retry_after_ms)
        wait_ms = decision->retry_after_ms;
    delivery->repeated = false;
    if (!delivery->connection_lost) { /* else the loss of the connection was logged */
        exporter_outcome_trouble(exporter, TROUBLE_ANSWER, "%s does not accept spans: %s: %s", exporter->authority,
                                 grpc_code_name(code), decision->message);
        log_cause(exporter->log, LOG_WARN, "export_retried", "%s; trying again in %.1f s", exporter->trouble,
                  (double)wait_ms / 1000);
    }
    again(exporter, delivery, wait_ms);
}

void exporter_outcome_ended(struct exporter *exporter, struct delivery *delivery, const struct grpc_result *result,
                            enum link_state link)
{
    struct grpc_decision decision;
    grpc_decide(result, &decision);
    uplink_hide_secrets(exporter->uplink, decision.message);
    delivery->link = NULL;
    delivery->connection_lost = link == LINK_LOST;

    /* An attempt that the server did not process does not count. But on a connection that works, only once in a row:
     * a server that refuses every stream would be asked without end. */
    if (result->unprocessed && (link != LINK_WORKS || !delivery->repeated)) {
        delivery->repeated = true;
        again(exporter, delivery, 0);
        return;
    }
    exporter->stats->export_requests[result->code]++;
    if (result->code == GRPC_UNIMPLEMENTED) {
        /* The answer to an unknown encoding, or to an unknown service: then the plain request gets it as well. */
        exporter->gzip_refused = exporter_request_unpack(delivery);
        if (exporter->gzip_refused) {
            again(exporter, delivery, 0);
            return;
        }
    }
    if (result->code == GRPC_UNAUTHENTICATED || result->code == GRPC_PERMISSION_DENIED) {
        if (authorize_again(exporter, delivery)) {
            again(exporter, delivery, 0);
            return;
        }
        deny(exporter);
    }
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
