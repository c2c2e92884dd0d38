/* SPDX-License-Identifier: MIT
 *
 * Delivers sealed batches to the endpoint: several in flight on one connection, deadlines, retry with exponential
 * backoff and jitter, reconnect. On the loop's thread.
 */
#ifndef EXPORTER_H
#define EXPORTER_H

#include <stdbool.h>
#include <uv.h>

#include "batch.h"
#include "config.h"
#include "log.h"
#include "stats.h"

struct exporter;

enum { EXPORTER_HELD_FACTOR = 2, EXPORTER_IN_FLIGHT_MAX = 256 /* as configurable */ };

/* The batch is settled for good; the callee finishes it (batch_finish). */
typedef void (*exporter_finished_cb)(void *user, struct batch *batch, const struct batch_outcome *outcome);

/* Borrows config, stats and log. -ENOTSUP: TLS is asked for. */
int exporter_start(uv_loop_t *loop, const struct config *config, struct stats *stats, struct log *log,
                   exporter_finished_cb finished_cb, void *user, struct exporter **out);

/* Takes over another configuration, which is borrowed from then on in place of the one before. When it names another
 * endpoint or another way to reach it, new requests go through a new connection; those on the way finish on theirs, and
 * those that wait for a repetition need not wait for it. -> 0, or -errno (as exporter_start): then all is as before. */
int exporter_reconfigure(struct exporter *exporter, const struct config *fresh);

/* Takes the batch until finished_cb. A batch without spans must not be given. */
void exporter_submit(struct exporter *exporter, struct batch *batch);

/* True while another batch should be read from the rings: queued and unfinished batches are below their bound
 * (EXPORTER_HELD_FACTOR x max_in_flight). */
bool exporter_has_room(const struct exporter *exporter);
size_t exporter_held(const struct exporter *exporter); /* batches taken and not finished */

/* Last known trouble in words, or NULL: for /readyz. Borrowed until the next call of any exporter function. */
const char *exporter_trouble(const struct exporter *exporter);

/* Closes everything without waiting; batches still held are forgotten (their spans stay in the rings). closed_cb when
 * the last handle is closed; then the exporter is freed. */
void exporter_close(struct exporter *exporter, void (*closed_cb)(void *user), void *user);

#endif
