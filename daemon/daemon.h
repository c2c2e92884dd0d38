/* SPDX-License-Identifier: MIT
 *
 * The running daemon. On one event loop, in one thread: the source, which reads rings into batches; the exporter, which
 * delivers them; the admin, which answers /metrics and /readyz; and the signals that reload, drain and stop.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include "base/log.h"
#include "config/config.h"

/* Exit codes of the process, numbered as in sysexits.h. */
enum daemon_exit {
    DAEMON_EXIT_OK = 0,
    DAEMON_EXIT_USAGE = 64,
    DAEMON_EXIT_LEFT = 69,   /* ended with spans left in the rings */
    DAEMON_EXIT_SYSTEM = 71, /* no memory, no descriptors */
    DAEMON_EXIT_CONFIG = 78, /* a setting that cannot be used; the message names it */
};

/* Runs until TERM or INT has come and the drain is over. flags: with which the configuration is loaded again, at HUP
 * and when its file has changed. Takes over the caller's reference to config. */
enum daemon_exit daemon_run(const struct config_flags *flags, struct config *config, struct log *log);

#endif
