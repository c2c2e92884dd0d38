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
 * A batch that waits holds no place on the wire. When one that waits is due and one is queued, they take turns, so that
 * neither retries nor new batches starve. Every batch is settled once, after its last attempt.
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

/* What is held at most, more of it waits in the rings: EXPORTER_NEW_FACTOR x max_in_flight batches that are queued or
 * on the wire, and batches of EXPORTER_WAITING_MAX_BYTES together that wait for their retry (those on the wire when
 * that is reached may still join them). EXPORTER_BATCH_COST_BYTES are added for each batch's own structures. */
enum {
    EXPORTER_NEW_FACTOR = 2,
    EXPORTER_WAITING_MAX_BYTES = 16 << 20,
    EXPORTER_BATCH_COST_BYTES = 4 << 10,
};

/* The batch is the callee's again: settled for good, to be finished (batch_finish); or with outcome->returned as it
 * was, which happens only after exporter_mark_spooled. */
typedef void (*exporter_finished_cb)(void *user, struct batch *batch, const struct batch_outcome *outcome);

/* Borrows config, stats and log. */
int exporter_start(uv_loop_t *loop, const struct config *config, struct stats *stats, struct log *log,
                   exporter_finished_cb finished_cb, void *user, struct exporter **out);

/* Takes over another configuration, which is borrowed from then on in place of the one before. When it names another
 * endpoint or another way to reach it, new requests go through a new connection; those on the way finish on theirs, and
 * those that wait for a repetition need not wait for it. -> 0, or -errno (as exporter_start): then all is as before. */
int exporter_reconfigure(struct exporter *exporter, const struct config *fresh);

/* Takes the batch until finished_cb. A batch without spans must not be given. Makes no callback. */
void exporter_submit(struct exporter *exporter, struct batch *batch);

/* True while another batch should be read from the rings: what is held is below its bounds. */
bool exporter_has_room(const struct exporter *exporter);
size_t exporter_held(const struct exporter *exporter); /* batches taken and not finished */

/* ---- for an owner that puts batches elsewhere when the endpoint is away */

/* The batches held, the one submitted first before the others. NULL: no more. The one asked about must still be held:
 * ask for the next before withdrawing it. */
struct batch *exporter_oldest(const struct exporter *exporter);
struct batch *exporter_next(const struct batch *batch);

/* Takes a held batch back. -> true: it was queued or waiting and is the caller's again, finished_cb will not be called
 * for it; false: it is on the wire, nothing has changed. */
bool exporter_withdraw(struct exporter *exporter, struct batch *batch);

/* A held batch that is safe elsewhere meanwhile: should its attempt on the wire end with a retry, it comes back through
 * finished_cb with outcome->returned instead of waiting. */
void exporter_mark_spooled(struct batch *batch);

/* Last known trouble in words, or NULL: for /readyz. Borrowed until the next call of any exporter function. */
const char *exporter_trouble(const struct exporter *exporter);

/* The trouble is that nothing answers: there is no connection. */
bool exporter_away(const struct exporter *exporter);

/* Closes everything without waiting; batches still held are forgotten (their spans stay in the rings). closed_cb when
 * the last handle is closed; then the exporter is freed. */
void exporter_close(struct exporter *exporter, void (*closed_cb)(void *user), void *user);

#endif
