/* SPDX-License-Identifier: MIT
 *
 * How much memory and disk the settings allow, in words: for the log at start and for --print-config.
 */
#ifndef DAEMON_FOOTPRINT_H
#define DAEMON_FOOTPRINT_H

#include "config/config.h"

struct buf;

/* Both append, without a line's end, and look at file systems, where they change nothing. -> 0 or -ENOMEM The first: of
 * requests held, and of the rings. The second: of the spool, which the log of a running daemon tells anyway. */
int daemon_footprint(const struct config *config, struct buf *out);
int daemon_footprint_spool(const struct config *config, struct buf *out);

#endif
