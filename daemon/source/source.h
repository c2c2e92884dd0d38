/* SPDX-License-Identifier: MIT
 *
 * The middle of the daemon: reads the rings into batches, gives batches to the exporter or the spool, and releases what
 * is settled. README.md says how the parts work together. On the loop's thread.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <uv.h>

#include "base/log.h"
#include "base/stats.h"
#include "batch/batch.h"
#include "config/config.h"
#include "export/exporter.h"

struct source;

/* Opens and locks ring_dir (-EWOULDBLOCK: another daemon has it). Borrows everything. */
int source_open(uv_loop_t *loop, const struct config *config, struct stats *stats, struct log *log,
                struct source **out);

/* Opens the spool, if there is one, and begins to read. Before the loop runs. -> 0, or -errno: the configured directory
 * of the spool cannot be used; the source is then to be closed. */
int source_start(struct source *source);

/* Where sealed batches go. NULL: nowhere; not allowed while enabled, nor while source_sending. */
void source_attach_exporter(struct source *source, struct exporter *exporter);

/* The exporter's finished_cb; user is the source. */
void source_batch_finished(void *user, struct batch *batch, const struct batch_outcome *outcome);

/* Takes over another configuration, which is borrowed from then on; its ring_dir must be the same. What was read before
 * goes by the configuration of before; enabled and probability are published to all segments, now and to come. */
void source_reconfigure(struct source *source, const struct config *fresh);

/* True while spans are read that are neither delivered nor in the spool. */
bool source_sending(const struct source *source);

/* At TERM: reads what is there, seals at once, sends nothing more from the spool. */
void source_drain(struct source *source);

/* While draining: what cannot be sent in time goes to the spool, if there is one. */
void source_rest(struct source *source);

/* Nothing unread, and nothing held that is not safe in the spool. */
bool source_drained(const struct source *source);

void source_snapshot(const struct source *source, struct stats_snapshot *out); /* fills the span figures */

void source_close(struct source *source, void (*closed_cb)(void *user), void *user);

#endif
