/* SPDX-License-Identifier: MIT
 *
 * One connection to the endpoint: resolve, connect (every address in turn), move bytes between socket and h2. It does
 * not reconnect: its owner makes another. On the loop's thread.
 */
#ifndef CONN_H
#define CONN_H

#include <uv.h>

#include "h2.h"

struct conn;

struct conn_settings {
    const char *host;
    const char *port;
    uint64_t connect_timeout_ms;
    struct h2_settings h2;
};

struct conn_callbacks {
    void (*on_ready_cb)(void *user); /* calls may be submitted */
    void (*on_result_cb)(void *user, void *call, const struct grpc_result *result);
    void (*on_down_cb)(void *user,
                       const char *why); /* for good; open calls got their results before. Then conn_close */
    void (*on_goaway_cb)(void *user);
};

/* Borrows settings until closed. */
int conn_open(uv_loop_t *loop, const struct conn_settings *settings, const struct conn_callbacks *callbacks, void *user,
              struct conn **out);
bool conn_ready(const struct conn *conn); /* connected, and h2_ready */
bool conn_down(const struct conn *conn);  /* on_down_cb was or is about to be called */
int conn_submit(struct conn *conn, void *call, const struct h2_request *request);
void conn_cancel(struct conn *conn, void *call);
/* No callbacks after it but closed_cb (may be NULL); frees itself. */
void conn_close(struct conn *conn, void (*closed_cb)(void *user), void *user);

#endif
