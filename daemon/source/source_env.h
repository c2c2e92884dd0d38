/* SPDX-License-Identifier: MIT
 *
 * What all parts of the source share: what the daemon lends to the source, and whether the end has begun. source.c
 * alone writes it, the parts hold it as const.
 */
#ifndef SOURCE_ENV_H
#define SOURCE_ENV_H

#include <uv.h>

#include "base/log.h"
#include "base/stats.h"
#include "batch/batch.h"
#include "config/config.h"
#include "export/exporter.h"

/* In this order; none comes back. */
enum source_phase {
    SOURCE_WORKS,
    SOURCE_DRAINS, /* reads what was there at TERM, seals at once, sends nothing more from the spool */
    SOURCE_RESTS,  /* as before, and what cannot be sent in time goes to the spool */
    SOURCE_CLOSES, /* gives nothing to anybody: what is not settled is in its ring or in the spool */
};

struct source_env {
    uv_loop_t *loop;
    const struct config *config; /* in force */
    struct stats *stats;
    struct log *log;
    struct batch_pool *pool;
    struct exporter *exporter; /* NULL: none, for the time being */
    enum source_phase phase;
};

#endif
