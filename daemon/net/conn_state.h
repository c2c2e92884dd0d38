/* SPDX-License-Identifier: MIT
 *
 * What the parts of a connection share. Only conn*.c include it.
 */
#ifndef CONN_STATE_H
#define CONN_STATE_H

#include "base/buf.h"
#include "conn.h"
#include "keepalive.h"

enum { CONN_READ_BYTES = 16 << 10, CONN_WHY_BYTES = 768 };

struct conn {
    uv_loop_t *loop;
    const struct conn_settings *settings;
    struct conn_callbacks callbacks;
    void *user;
    struct h2 *h2;
    struct tls *tls; /* NULL: plaintext */

    struct dial *dial;
    uv_stream_t *stream; /* NULL: not connected */
    uv_timer_t connect_timer;
    uv_prepare_t flush_soon;
    struct keepalive keepalive;
    int handles;

    bool was_ready;  /* when it was last looked at */
    bool once_ready; /* ever */
    bool down;
    bool closing;
    void (*closed_cb)(void *user);
    void *closed_user;

    uv_write_t write;
    bool writing;        /* a write is with the kernel */
    struct buf *waiting; /* what it is of: out, or TLS's output */
    struct buf out;      /* of h2: to be encrypted, or what the kernel did not take at once */
    struct buf plain;    /* decrypted, for h2 */
    uint64_t budget_since_ms;
    uint64_t budget_frames; /* seen before this second */
    uint64_t budget_sent;   /* bytes sent in this second */
    char read_buffer[CONN_READ_BYTES];
    char why[CONN_WHY_BYTES];
};

__attribute__((format(printf, 3, 4))) void conn_fail(struct conn *conn, enum conn_end end, const char *format, ...);

/* The connection broke; a peer that never said anything sensible gets the suspicion added. */
void conn_fail_lost(struct conn *conn, const char *what);

void conn_tell_ready(struct conn *conn); /* looks whether calls may be submitted, and says so */

/* ---- channel.c: bytes, between socket, TLS and h2 */

int conn_start_io(struct conn *conn); /* the stream is connected; -> 0 or -errno */
void conn_flush(struct conn *conn);

/* Before the loop waits next: so that submitting makes no callbacks, and several calls share a write. */
void conn_flush_later(struct conn *conn);

/* One last word, as far as the kernel takes it at once. */
void conn_send_farewell(struct conn *conn);

#endif
