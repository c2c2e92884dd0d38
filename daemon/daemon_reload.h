/* SPDX-License-Identifier: MIT
 *
 * The configuration at HUP, or when its file has changed: loaded anew, compared, and what can change in a running
 * daemon is taken over.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "config.h"
#include "log.h"

/* Loads the configuration again. Valid: live gets the values that may change while source and exporter read them, log
 * its level and format; each other key that changed is named in the log as waiting for a restart. exporting: an
 * exporter runs, so that live keeps its endpoint. Invalid: nothing changes, each error is logged. -> 0 or -errno */
int daemon_reload(const struct config_flags *flags, struct config *live, bool exporting, struct log *log);

#endif
