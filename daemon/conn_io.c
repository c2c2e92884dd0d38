/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "conn_state.h"

enum {
    /* Written at a time: small enough to be still in the cache when the kernel copies it. */
    WRITE_BYTES = 64 << 10,
    /* Inbound frames allowed per second: so many, and one more for each so many bytes sent. */
    BUDGET_MS = 1000,
    BUDGET_FRAMES = 4000,
    BUDGET_BYTES_PER_FRAME = 256,
};

/* What the peer gets to see next. */
static struct buf *outgoing(struct conn *conn)
{
    return conn->tls ? tls_output(conn->tls) : &conn->out;
}

void conn_send_farewell(struct conn *conn)
{
    struct buf *bytes = outgoing(conn);
    uv_buf_t last = uv_buf_init((char *)bytes->data, (unsigned)bytes->len);
    if (conn->stream && !conn->writing && bytes->len)
        uv_try_write(conn->stream, &last, 1);
}

static void fail_tls(struct conn *conn)
{
    conn_send_farewell(conn);
    conn_fail(conn, tls_peer_spoke_settings(conn->tls) ? CONN_NOT_TLS : CONN_BROKEN, "%s", tls_problem(conn->tls));
}

/* ---- writing */

static void on_written(uv_write_t *request, int status)
{
    struct conn *conn = request->data;
    conn->writing = false;
    outgoing(conn)->len = 0;
    if (conn->down || conn->closing)
        return;
    if (status)
        conn_fail_lost(conn, uv_strerror(status));
    else
        conn_flush(conn);
}

/* Hands bytes to the kernel: what it does not take at once is written as it can. -> false: no more for now */
static bool write_out(struct conn *conn, struct buf *bytes)
{
    conn->budget_sent += bytes->len;
    uv_buf_t all = uv_buf_init((char *)bytes->data, (unsigned)bytes->len);
    int taken = uv_try_write(conn->stream, &all, 1);
    if (taken < 0 && taken != UV_EAGAIN) {
        conn_fail_lost(conn, uv_strerror(taken));
        return false;
    }
    size_t done = taken > 0 ? (size_t)taken : 0;
    if (done == bytes->len) {
        bytes->len = 0;
        return true;
    }
    uv_buf_t rest = uv_buf_init((char *)bytes->data + done, (unsigned)(bytes->len - done));
    conn->write.data = conn;
    int err = uv_write(&conn->write, conn->stream, &rest, 1, on_written);
    conn->writing = err == 0;
    if (err)
        conn_fail_lost(conn, uv_strerror(err));
    return false;
}

/* Encrypts what h2 has given. */
static int seal(struct conn *conn)
{
    int err = conn->out.len ? tls_send(conn->tls, conn->out.data, conn->out.len) : 0;
    conn->out.len = 0;
    return err;
}

/* Fills outgoing(). -> false: the connection has failed */
static bool gather(struct conn *conn)
{
    if (conn->tls && !tls_established(conn->tls))
        return true;
    int err = h2_send(conn->h2, &conn->out, WRITE_BYTES);
    if (conn->closing)
        return false;
    int tls_err = conn->tls ? seal(conn) : 0;
    if (err == -EPROTO) {
        conn_send_farewell(conn);
        conn_fail(conn, CONN_BROKEN, "HTTP/2: %s", h2_problem(conn->h2));
    } else if (tls_err == -EPROTO) {
        fail_tls(conn);
    } else if (err || tls_err) {
        conn_fail(conn, CONN_BROKEN, "%s", strerror(-(err ? err : tls_err)));
    }
    return !err && !tls_err;
}

void conn_flush(struct conn *conn)
{
    uv_prepare_stop(&conn->flush_soon);
    while (conn->stream && !conn->writing && !conn->down && !conn->closing) {
        if (!gather(conn) || !outgoing(conn)->len || !write_out(conn, outgoing(conn)))
            break;
    }
}

static void on_flush_soon(uv_prepare_t *prepare)
{
    struct conn *conn = prepare->data;
    conn_flush(conn);
    if (!conn->down && !conn->closing)
        conn_tell_ready(conn);
}

void conn_flush_later(struct conn *conn)
{
    if (!conn->down && !conn->closing)
        uv_prepare_start(&conn->flush_soon, on_flush_soon);
}

/* ---- reading */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct conn *conn = handle->data;
    *out = uv_buf_init(conn->read_buffer, sizeof conn->read_buffer);
}

static bool over_budget(struct conn *conn)
{
    uint64_t frames = h2_frames_received(conn->h2);
    uint64_t now_ms = uv_now(conn->loop);
    if (now_ms - conn->budget_since_ms >= BUDGET_MS) {
        conn->budget_since_ms = now_ms;
        conn->budget_frames = frames;
        conn->budget_sent = 0;
    }
    return frames - conn->budget_frames > BUDGET_FRAMES + conn->budget_sent / BUDGET_BYTES_PER_FRAME;
}

/* Bytes of HTTP/2. */
static void take_plain(struct conn *conn, const uint8_t *data, size_t bytes)
{
    int err = bytes ? h2_receive(conn->h2, data, bytes) : 0;
    if (conn->closing)
        return;
    if (err)
        conn_fail(conn, CONN_BROKEN, "%s", h2_problem(conn->h2));
    else if (over_budget(conn))
        conn_fail(conn, CONN_BROKEN, "the server floods the connection with frames");
    else
        conn_flush(conn);
}

static void take_encrypted(struct conn *conn, const uint8_t *data, size_t bytes)
{
    int err = tls_receive(conn->tls, data, bytes, &conn->plain);
    if (err == -EPROTO) {
        fail_tls(conn);
        return;
    }
    if (err) {
        conn_fail(conn, CONN_BROKEN, "%s", strerror(-err));
        return;
    }
    take_plain(conn, conn->plain.data, conn->plain.len);
    conn->plain.len = 0;
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct conn *conn = stream->data;
    if (bytes < 0) {
        conn_fail_lost(conn, bytes == UV_EOF ? "closed by the server" : uv_strerror((int)bytes));
        return;
    }
    keepalive_heard(&conn->keepalive);
    if (conn->tls)
        take_encrypted(conn, (const uint8_t *)buffer->base, (size_t)bytes);
    else
        take_plain(conn, (const uint8_t *)buffer->base, (size_t)bytes);
    if (!conn->down && !conn->closing)
        conn_tell_ready(conn);
}

int conn_start_io(struct conn *conn)
{
    int err = uv_read_start(conn->stream, on_alloc, on_read);
    if (!err)
        conn_flush(conn);
    return err;
}
