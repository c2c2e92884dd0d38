/* SPDX-License-Identifier: MIT
 *
 * Asks a proxy, on a connection to it, for a tunnel to the endpoint. On the loop's thread.
 */
#ifndef TUNNEL_H
#define TUNNEL_H

#include <uv.h>

#include "proxy.h"

struct tunnel;

/* why NULL: the stream now leads to the endpoint, and no byte of the endpoint has been read. Called at most once. */
typedef void (*tunnel_done_cb)(void *user, const char *why);

/* Uses stream and stream->data until done_cb or tunnel_stop. The stream stays the caller's. */
int tunnel_start(uv_stream_t *stream, const struct proxy *proxy, const char *host, const char *port,
                 tunnel_done_cb done_cb, void *user, struct tunnel **out);

/* Has to be called, also after done_cb or inside it. NULL is allowed. */
void tunnel_stop(struct tunnel *tunnel);

#endif
