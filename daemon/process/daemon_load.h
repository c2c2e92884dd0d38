/* SPDX-License-Identifier: MIT
 *
 * The configuration, found good as a whole: its keys, and what is in the files of certificates, key and token that it
 * names. Asks nothing of the network.
 */
#ifndef DAEMON_LOAD_H
#define DAEMON_LOAD_H

#include "base/log.h"
#include "config/config.h"

struct buf;

/* As config_load. */
int daemon_load(const struct config_flags *flags, struct config **out, struct buf *errors);

/* Its errors, a line each in the log, behind the prefix. */
void daemon_load_tell(const struct buf *errors, const char *prefix, struct log *log);

#endif
