/* SPDX-License-Identifier: MIT
 *
 * What the parts of the exporter share. Only exporter*.c include it.
 */
#ifndef EXPORTER_STATE_H
#define EXPORTER_STATE_H

#include "base/ending.h"
#include "batch/delivery.h"
#include "exporter.h"
#include "grpc/grpc.h"
#include "grpc/h2.h"
#include "uplink.h"

enum { EXPORTER_TROUBLE_BYTES = 768 };

enum exporter_trouble_kind { TROUBLE_NONE, TROUBLE_CONNECTING, TROUBLE_CONNECTION, TROUBLE_ANSWER };

struct exporter {
    uv_loop_t *loop;
    const struct config *config;
    struct stats *stats;
    struct log *log;
    exporter_finished_cb finished_cb;
    void *user;

    struct uplink *uplink;
    char *authority;
    uv_timer_t timer; /* for the next deadline or retry */
    uint64_t random;

    struct delivery_list held;    /* all batches, by age */
    struct delivery_list queued;  /* in the order of submission */
    struct delivery_list waiting; /* by the time of the next attempt */
    struct delivery_list on_wire; /* by deadline */
    size_t waiting_bytes;
    bool retry_was_last; /* so it is the turn of a queued batch */

    unsigned denials;         /* of the token, in a row */
    uint64_t denied_until_ms; /* nothing is sent until then */

    struct gzip *gzip; /* NULL: not used so far */
    bool gzip_refused; /* on this connection */

    enum exporter_trouble_kind trouble_kind;
    char trouble[EXPORTER_TROUBLE_BYTES];

    struct ending ending; /* parts: timer, uplink */
};

static inline uint64_t exporter_now_ms(const struct exporter *exporter)
{
    return uv_now(exporter->loop);
}

/* ---- exporter_queue.c: batches from state to state ---- */

void exporter_queue_init(struct exporter *exporter);
void exporter_queue_take(struct exporter *exporter, struct batch *batch);
void exporter_queue_wait(struct exporter *exporter, struct delivery *delivery, uint64_t wait_ms);
void exporter_queue_send(struct exporter *exporter, struct delivery *delivery, uint64_t deadline_ms);
void exporter_queue_give_back(struct exporter *exporter, struct delivery *delivery); /* no longer held */

/* There is a connection again: batches that wait for one are due now. */
void exporter_queue_connected(struct exporter *exporter);

/* The endpoint is another one: failures no longer count, and batches that wait are due now. */
void exporter_queue_moved(struct exporter *exporter);

/* The batch to be sent next; NULL: none. */
struct delivery *exporter_queue_next(struct exporter *exporter);

/* ---- exporter_request.c: what a batch looks like on the wire ---- */

void exporter_request(struct exporter *exporter, struct delivery *delivery, struct h2_request *out);
bool exporter_request_unpack(struct delivery *delivery); /* -> false: the batch was not gzipped */

/* ---- exporter_outcome.c: how attempts end, and what the log says ---- */

/* Every attempt ends here. */
void exporter_outcome_ended(struct exporter *exporter, struct delivery *delivery, const struct grpc_result *result,
                            enum link_state link);

/* The trouble is over: the endpoint can be reached. */
void exporter_outcome_recovered(struct exporter *exporter);

/* Counts a failed attempt. -> how long to wait before the next */
uint64_t exporter_outcome_failed_ms(struct exporter *exporter, struct delivery *delivery);

__attribute__((format(printf, 3, 4))) void
exporter_outcome_trouble(struct exporter *exporter, enum exporter_trouble_kind kind, const char *format, ...);

#endif
