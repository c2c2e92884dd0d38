/* SPDX-License-Identifier: MIT
 *
 * A setting that is well-formed, but that this machine does not grant: which one, where it came from, and what to do.
 */
#ifndef DAEMON_EXPLAIN_H
#define DAEMON_EXPLAIN_H

#include "base/log.h"
#include "config/config.h"

enum daemon_setting { DAEMON_RING_DIR, DAEMON_SPOOL_DIR, DAEMON_METRICS_LISTEN };

/* Logs why the setting failed with err (-errno). -> false: memory or descriptors are missing, the setting is good */
bool daemon_explain(struct log *log, const struct config *config, enum daemon_setting setting, int err);

#endif
