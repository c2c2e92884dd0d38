/* SPDX-License-Identifier: MIT
 *
 * The exporter's life as configurations come and go: started when tracing is enabled, reconfigured while it runs, and
 * when tracing is disabled closed, once it has delivered what it holds.
 */
#ifndef DAEMON_EXPORT_H
#define DAEMON_EXPORT_H

#include <uv.h>

#include "config/config.h"
#include "export/exporter.h"
#include "source/source.h"

struct daemon_export {
    uv_loop_t *loop;
    struct source *source;
    struct stats *stats;
    struct log *log;
    struct exporter *exporter; /* NULL: tracing is disabled, and nothing is left to deliver */
    struct config *config;     /* what the exporter borrows; NULL without one */
    uv_timer_t timer;          /* runs while an exporter delivers its last batches */
    void (*closed_cb)(void *user);
    void *closed_user;
};

/* Borrows all, until daemon_export_close has called back. */
void daemon_export_init(struct daemon_export *export, uv_loop_t *loop, struct source *source, struct stats *stats,
                        struct log *log);

/* Brings the exporter into line with config, and becomes an owner of it. When tracing is no longer enabled, the source
 * must have read under config (source_reconfigure) before daemon_export_retire is called. -> 0; or -errno with a line
 * in the log, and all is as before. */
int daemon_export_apply(struct daemon_export *export, struct config *config);
void daemon_export_retire(struct daemon_export *export);

size_t daemon_export_held(const struct daemon_export *export);         /* batches not yet delivered */
const char *daemon_export_trouble(const struct daemon_export *export); /* as exporter_trouble */

/* Gives up what is held. The struct has to stay until the loop has closed. */
void daemon_export_close(struct daemon_export *export, void (*closed_cb)(void *user), void *user);

#endif
