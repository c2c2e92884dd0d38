/* SPDX-License-Identifier: MIT
 *
 * How much memory and disk the settings allow, in words: for the log at start and for --print-config.
 */
#ifndef DAEMON_FOOTPRINT_H
#define DAEMON_FOOTPRINT_H

#include "config/config.h"

struct buf;

/* Both append, without a line's end, and look at file systems without changing anything. -> 0 or -ENOMEM */
int daemon_footprint(const struct config *config, struct buf *out);       /* requests held, and the rings */
int daemon_footprint_spool(const struct config *config, struct buf *out); /* a running daemon's log tells it itself */

#endif
