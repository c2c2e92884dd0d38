/* SPDX-License-Identifier: MIT
 *
 * What a node says of itself at /v1/daemon:
 * {"id","role","host","port","pid","uptime_seconds","objects"}, objects only of a target.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <jansson.h>

#include "http.h"

/* -> a new object, or NULL. */
json_t *daemon_describe(const struct node *node);

/* An operation's finish. */
enum MHD_Result daemon_reply(struct request *request);

#endif
