/* SPDX-License-Identifier: MIT
 *
 * The configuration at HUP, or when its file has changed: loaded anew and compared. One that is not put in force is
 * remembered for those who ask.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "base/log.h"
#include "config/config.h"

struct buf;

/* Why the configuration on disk is not the one in force. */
struct daemon_refusal {
    bool refused;
    char since[32];  /* UTC, ISO 8601 */
    char words[768]; /* the first error */
};

/* Loads the configuration again, and names each key that differs from live in the log. ring_dir, which only a start can
 * change, keeps its live value. Invalid: each error is logged, and the first kept in refusal.
 * -> 0 and *out (config_unref), or -errno */
int daemon_reload_load(const struct config_flags *flags, const struct config *live, struct log *log,
                       struct daemon_refusal *refusal, struct config **out);

/* Notes, and logs, that a valid configuration could not be put in force. */
void daemon_reload_refuse(struct daemon_refusal *refusal, const char *words, struct log *log);

/* "; the configuration on disk is not in force since ...: ...", if it is so. */
void daemon_reload_describe(const struct daemon_refusal *refusal, struct buf *out);

#endif
