/* SPDX-License-Identifier: MIT
 *
 * From a host's name to a connected socket. The addresses are tried in the resolver's order, IPv6 and IPv4 in turn; the
 * next begins when one fails or has not answered for DIAL_STAGGER_MS, and the first to answer wins (RFC 8305). On the
 * loop's thread.
 */
#ifndef DIAL_H
#define DIAL_H

#include <stdbool.h>
#include <uv.h>

enum {
    DIAL_STAGGER_MS = 250,
    DIAL_USER_TIMEOUT_MS = 20 * 1000, /* TCP_USER_TIMEOUT: sent and not acknowledged for so long, the way is dead */
    DIAL_ADDRESSES_MAX = 16,
};

struct dial;

/* stream: connected; the callee's from now on: it closes it, and frees the pointer in the close callback. NULL: why it
 * did not come about. At most once. */
typedef void (*dial_done_cb)(void *user, uv_stream_t *stream, const char *why);

/* Borrows host and port until dial_stop. Makes no callback itself. Waits without bound: the owner has a timer. */
int dial_start(uv_loop_t *loop, const char *host, const char *port, dial_done_cb done_cb, void *user,
               struct dial **out);

/* Has to be called, also after done_cb and from within it. No callbacks after it; frees itself. NULL is allowed. */
void dial_stop(struct dial *dial);

/* Whether what is sent to address stays on this host. */
bool dial_stays_on_host(const struct sockaddr *address);

#endif
