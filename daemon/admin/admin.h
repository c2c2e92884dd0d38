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
    /* -> true when spans can be delivered; the words for either are appended to out */
    bool (*on_ready_cb)(void *user, struct buf *out);
};

/* listen: HOST:PORT, [v6]:PORT or :PORT (all addresses); a name is resolved here, once. Borrows callbacks.
 * -> -EADDRINUSE, -EINVAL, ... */
int admin_start(uv_loop_t *loop, const char *listen, const struct admin_callbacks *callbacks, void *user,
                struct log *log, struct admin **out);
unsigned admin_port(const struct admin *admin); /* the port bound: what the kernel chose for port 0 */
void admin_close(struct admin *admin, void (*closed_cb)(void *user), void *user);

#endif
