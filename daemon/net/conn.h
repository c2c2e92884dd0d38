/* SPDX-License-Identifier: MIT
 *
 * One connection to the endpoint: dials, starts the channel, watches deadlines and keepalive, tells when calls may be
 * submitted, and ends. With TLS, no request and no token leaves before the handshake is complete. A connection does not
 * reconnect: its owner opens another one. On the loop's thread.
 */
#ifndef CONN_H
#define CONN_H

#include <uv.h>

#include "dial.h"
#include "grpc/h2.h"
#include "tls/tls.h"

struct conn;

struct conn_settings {
    struct dial_target target;
    struct dial_book *book;       /* of that target */
    uint64_t connect_timeout_ms;  /* until calls may be submitted */
    uint64_t keepalive_ms;        /* after so long without a byte from the peer, it gets a PING; 0: never */
    uint64_t keepalive_answer_ms; /* how long a PING waits for its answer */
    struct tls_context *tls;      /* NULL: plaintext */
    bool stay_on_host;            /* plaintext only to this host, because the requests hold secrets */
    struct h2_settings h2;
};

enum conn_end {
    CONN_BROKEN,
    /* A connection with TLS: the peer's first bytes were an HTTP/2 SETTINGS frame, or it closed the connection without
     * having sent a byte. It may speak plaintext. */
    CONN_NOT_TLS,
};

struct conn_callbacks {
    void (*ready_cb)(void *user); /* calls may be submitted */
    void (*result_cb)(void *user, void *call, const struct grpc_result *result);
    /* The connection is over: open calls have got their results. The owner then calls conn_close. */
    void (*down_cb)(void *user, enum conn_end end, const char *why);
    void (*goaway_cb)(void *user);
};

/* Borrows settings until closed. */
int conn_open(uv_loop_t *loop, const struct conn_settings *settings, const struct conn_callbacks *callbacks, void *user,
              struct conn **out);
bool conn_ready(const struct conn *conn);            /* connected, and h2_ready */
bool conn_down(const struct conn *conn);             /* down_cb was or is about to be called */
bool conn_pinged_too_often(const struct conn *conn); /* why the server goes away */
int conn_submit(struct conn *conn, void *call, const struct h2_request *request);
void conn_cancel(struct conn *conn, void *call);
/* No callback after this call but closed_cb (may be NULL). Frees the connection. */
void conn_close(struct conn *conn, void (*closed_cb)(void *user), void *user);

#endif
