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

#include "proxy.h"

enum {
    DIAL_STAGGER_MS = 250,
    DIAL_USER_TIMEOUT_MS = 20 * 1000, /* TCP_USER_TIMEOUT: bytes not acknowledged for so long break the connection */
    DIAL_RESOLVE_MS = 30 * 1000,
    DIAL_ADDRESSES_MAX = 16,
};

struct dial;

struct dial_target {
    const char *host; /* name or address; the path of a Unix socket */
    const char *port;
    bool unix_socket;
    const struct proxy *proxy; /* NULL: directly; else its name is looked up and dialled */
};

/* The addresses that the resolver found last, for repeated dials of the same target. After DIAL_RESOLVE_MS the name is
 * resolved again; when the resolver fails, these addresses are used. Zero-initialised is empty. */
struct dial_book {
    struct sockaddr_storage addresses[DIAL_ADDRESSES_MAX]; /* in the order of the attempts */
    size_t count;
    uint64_t resolved_ms; /* uv_now when they were found */
};

/* stream: connected. The callee owns it: closes it, and frees the pointer in the close callback. NULL: there is no
 * connection, and why. Called at most once. */
typedef void (*dial_done_cb)(void *user, uv_stream_t *stream, const char *why);

/* Borrows target and book until dial_stop. Makes no callback itself. Has no time limit: the owner has a timer. */
int dial_start(uv_loop_t *loop, const struct dial_target *target, struct dial_book *book, dial_done_cb done_cb,
               void *user, struct dial **out);

/* Has to be called, also after done_cb or inside it. No callback after this call. Frees the dial. NULL is allowed. */
void dial_stop(struct dial *dial);

/* Whether what is sent to address stays on this host. */
bool dial_stays_on_host(const struct sockaddr *address);

#endif
