/* SPDX-License-Identifier: MIT
 *
 * Delivers sealed batches to the endpoint: several in flight on one connection, deadlines, retry with exponential
 * backoff and jitter, reconnect. On the loop's thread.
 *
 *     submit ──► queued ──► on the wire ──► finished_cb
 *                              ▲   │ the server, or the network, says: later
 *                              │   ▼
 *                             waiting
 *
 * A waiting batch does not count as on the wire. When a waiting batch is due and another is queued, they take turns, so
 * that neither retries nor new batches starve. Every batch is settled once, after its last attempt.
 */
#ifndef EXPORTER_H
#define EXPORTER_H

#include <stdbool.h>
#include <uv.h>

#include "base/log.h"
#include "base/stats.h"
#include "batch/batch.h"
#include "config/config.h"

struct exporter;

/* What is held at most; further spans wait in the rings: EXPORTER_NEW_FACTOR x max_in_flight batches that are queued or
 * on the wire, and waiting batches of EXPORTER_WAITING_MAX_BYTES together (batches on the wire when that is reached may
 * still join them). EXPORTER_BATCH_COST_BYTES are added for each batch's own structures. */
enum {
    EXPORTER_NEW_FACTOR = 2,
    EXPORTER_WAITING_MAX_BYTES = 16 << 20,
    EXPORTER_BATCH_COST_BYTES = 4 << 10,
};

/* The batch is the callee's again: settled for good, to be finished (batch_finish); or, with outcome->returned,
 * unsettled, which happens only after exporter_mark_spooled. */
typedef void (*exporter_finished_cb)(void *user, struct batch *batch, const struct batch_outcome *outcome);

/* Borrows config, stats and log. */
int exporter_start(uv_loop_t *loop, const struct config *config, struct stats *stats, struct log *log,
                   exporter_finished_cb finished_cb, void *user, struct exporter **out);

/* Takes over another configuration, which is borrowed from now on in place of the former one. When it names another
 * endpoint or another way to reach the endpoint, new requests go through a new connection, requests on the wire finish
 * where they are, and waiting batches are due now. -> 0, or -errno (as exporter_start): then all is as before. */
int exporter_reconfigure(struct exporter *exporter, const struct config *fresh);

/* Takes the batch until finished_cb. A batch without spans must not be given. Makes no callback. */
void exporter_submit(struct exporter *exporter, struct batch *batch);

/* True while another batch should be read from the rings: the batches held are below their bounds. */
bool exporter_has_room(const struct exporter *exporter);
size_t exporter_held(const struct exporter *exporter); /* batches taken and not finished */

/* ---- for an owner that spools batches when the endpoint is away ---- */

/* The batches held, in the order of submission. NULL: no more. The batch given must still be held: ask for the next one
 * before withdrawing it. */
struct batch *exporter_oldest(const struct exporter *exporter);
struct batch *exporter_next(const struct batch *batch);

/* Takes a held batch back. -> true: the batch was queued or waiting and is the caller's again; finished_cb will not be
 * called for it. false: the batch is on the wire, nothing has changed. */
bool exporter_withdraw(struct exporter *exporter, struct batch *batch);

/* A held batch is in the spool as well: if its attempt on the wire does not settle it, the batch comes back through
 * finished_cb with outcome->returned instead of waiting. */
void exporter_mark_spooled(struct batch *batch);

/* The latest trouble in words, or NULL: for /readyz. Borrowed until the next call of any exporter function. */
const char *exporter_trouble(const struct exporter *exporter);

/* True when the trouble is that there is no connection. */
bool exporter_away(const struct exporter *exporter);

/* Closes everything without waiting; batches still held are forgotten (their spans stay in the rings). closed_cb when
 * the last handle is closed; then the exporter is freed. */
void exporter_close(struct exporter *exporter, void (*closed_cb)(void *user), void *user);

#endif
