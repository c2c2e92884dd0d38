/* SPDX-License-Identifier: MIT
 *
 * /metrics, /livez and /readyz over HTTP: GET only, bounded requests and connections, one answer per connection.
 */
#ifndef ADMIN_H
#define ADMIN_H

#include <uv.h>

#include "base/log.h"

struct admin;
struct buf;

enum {
    ADMIN_REQUEST_BYTES_MAX = 4096, /* more: 431 */
    ADMIN_CONNECTIONS_MAX = 32,     /* more: closed at once */
    ADMIN_DEADLINE_MS = 5000,       /* of a connection, from accept to close */
};

struct admin_callbacks {
    void (*on_metrics_cb)(void *user, struct buf *out);
    /* -> whether spans can be delivered; words that say so, or why not, are appended to out */
    bool (*on_ready_cb)(void *user, struct buf *out);
};

/* listen: HOST:PORT, [v6]:PORT or :PORT (all addresses); a name is resolved here, once, and the caller waits for that.
 * The port bound is told in the log. Borrows callbacks. -> 0 and *out (admin_close); -EINVAL not of this form;
 * -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -ENOMEM, ... */
int admin_start(uv_loop_t *loop, const char *listen, const struct admin_callbacks *callbacks, void *user,
                struct log *log, struct admin **out);

/* Closes the listener and all connections, and frees admin; then calls closed_cb (may be NULL). */
void admin_close(struct admin *admin, void (*closed_cb)(void *user), void *user);

#endif
