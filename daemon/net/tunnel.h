/* SPDX-License-Identifier: MIT
 *
 * Through a proxy that is connected already, to the endpoint. On the loop's thread.
 */
#ifndef TUNNEL_H
#define TUNNEL_H

#include <uv.h>

#include "proxy.h"

struct tunnel;

/* why NULL: from now on the stream is the endpoint's, and nothing of what it says has been read. At most once. */
typedef void (*tunnel_done_cb)(void *user, const char *why);

/* Uses stream and its data until done_cb or tunnel_stop; it stays the caller's. */
int tunnel_start(uv_stream_t *stream, const struct proxy *proxy, const char *host, const char *port,
                 tunnel_done_cb done_cb, void *user, struct tunnel **out);

/* Has to be called, also after done_cb and from within it. NULL is allowed. */
void tunnel_stop(struct tunnel *tunnel);

#endif
