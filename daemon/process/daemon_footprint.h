/* SPDX-License-Identifier: MIT
 *
 * How much memory and disk the settings allow, in words: for the log at start and for --print-config.
 */
#ifndef DAEMON_FOOTPRINT_H
#define DAEMON_FOOTPRINT_H

#include "config/config.h"

struct buf;

/* Both append a text without a line's end. They look at file systems, and change nothing there. -> 0 or -ENOMEM */
int daemon_footprint(const struct config *config, struct buf *out);       /* of requests held, and of the rings */
int daemon_footprint_spool(const struct config *config, struct buf *out); /* of the spool, which the log tells anyway */

#endif
