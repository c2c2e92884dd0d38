/* SPDX-License-Identifier: MIT
 *
 * The running daemon: source, exporter, admin and signals on one loop.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "base/log.h"
#include "config/config.h"

/* Of the process; sysexits.h has the same numbers. */
enum daemon_exit {
    DAEMON_EXIT_OK = 0,
    DAEMON_EXIT_USAGE = 64,
    DAEMON_EXIT_LEFT = 69,   /* ended with spans left in the rings */
    DAEMON_EXIT_SYSTEM = 71, /* no memory, no descriptors */
    DAEMON_EXIT_CONFIG = 78, /* a setting that cannot be used; the message names it */
};

/* Runs until TERM or INT and what follows. flags: to load the configuration again at HUP. Takes config. */
enum daemon_exit daemon_run(const struct config_flags *flags, struct config *config, struct log *log);

#endif
