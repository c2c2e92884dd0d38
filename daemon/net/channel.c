/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "conn_state.h"
#include "grpc/h2_output.h"

enum {
    /* Written at a time, about: a request of the usual size in one go. What is encrypted is copied before. */
    PLAIN_WRITE_BYTES = 1 << 20,
    TLS_WRITE_BYTES = 256 << 10,
    /* Inbound frames allowed per second: so many, and one more for each so many bytes sent. */
    BUDGET_MS = 1000,
    BUDGET_FRAMES = 4000,
    BUDGET_BYTES_PER_FRAME = 256,
};

/* libuv's buffers are those of writev(2). */
static_assert(sizeof(uv_buf_t) == sizeof(struct iovec) &&
                  offsetof(uv_buf_t, base) == offsetof(struct iovec, iov_base) &&
                  offsetof(uv_buf_t, len) == offsetof(struct iovec, iov_len),
              "parts are handed on as they are");

void conn_send_farewell(struct conn *conn)
{
    struct buf *bytes = conn->tls ? tls_output(conn->tls) : NULL;
    if (!conn->stream || conn->writing || !bytes || !bytes->len)
        return;
    uv_buf_t last = uv_buf_init((char *)bytes->data, (unsigned)bytes->len);
    uv_try_write(conn->stream, &last, 1);
}

static void fail_tls(struct conn *conn)
{
    conn_send_farewell(conn);
    conn_fail(conn, tls_peer_spoke_settings(conn->tls) ? CONN_NOT_TLS : CONN_BROKEN, "%s", tls_problem(conn->tls));
}

static void fail_h2(struct conn *conn)
{
    conn_fail(conn, CONN_BROKEN, "HTTP/2: %s", h2_problem(conn->h2));
}

/* ---- writing */

static void on_written(uv_write_t *request, int status)
{
    struct conn *conn = request->data;
    conn->writing = false;
    conn->waiting->len = 0;
    if (conn->down || conn->closing)
        return;
    if (status)
        conn_fail_lost(conn, uv_strerror(status));
    else
        conn_flush(conn);
}

/* -> bytes that the kernel took at once, or negative: the connection has failed */
static ssize_t write_some(struct conn *conn, const uv_buf_t *parts, size_t count)
{
    int taken = uv_try_write(conn->stream, parts, (unsigned)count);
    if (taken == UV_EAGAIN)
        return 0;
    if (taken < 0)
        conn_fail_lost(conn, uv_strerror(taken));
    return taken;
}

/* What the kernel did not take is written as it can. */
static void write_later(struct conn *conn, struct buf *bytes, size_t skip)
{
    uv_buf_t rest = uv_buf_init((char *)bytes->data + skip, (unsigned)(bytes->len - skip));
    conn->write.data = conn;
    conn->waiting = bytes;
    int err = uv_write(&conn->write, conn->stream, &rest, 1, on_written);
    conn->writing = !err;
    if (err)
        conn_fail_lost(conn, uv_strerror(err));
}

/* The parts are borrowed: the next call for h2 may be their end, so what has to wait is copied.
 * -> false: no more for now */
static bool flush_plain(struct conn *conn)
{
    const struct h2_output *out;
    int err = h2_send_parts(conn->h2, PLAIN_WRITE_BYTES, &out);
    if (conn->closing || (!err && !out->bytes))
        return false;
    conn->budget_sent += out->bytes;
    ssize_t taken = out->bytes ? write_some(conn, (const uv_buf_t *)out->parts, out->count) : 0;
    if (err)
        fail_h2(conn);
    if (err || taken < 0)
        return false;
    if ((size_t)taken == out->bytes)
        return true;
    err = h2_output_gather(out, (size_t)taken, &conn->out);
    if (err)
        conn_fail(conn, CONN_BROKEN, "%s", strerror(-err));
    else
        write_later(conn, &conn->out, 0);
    return false;
}

/* Encrypts what h2 has to send. -> false: the connection has failed */
static bool encrypt(struct conn *conn)
{
    if (!tls_established(conn->tls))
        return true;
    int err = h2_send(conn->h2, &conn->out, TLS_WRITE_BYTES);
    if (conn->closing)
        return false;
    int tls_err = conn->out.len ? tls_send(conn->tls, conn->out.data, conn->out.len) : 0;
    conn->out.len = 0;
    if (err) {
        conn_send_farewell(conn);
        fail_h2(conn);
    } else if (tls_err == -EPROTO) {
        fail_tls(conn);
    } else if (tls_err) {
        conn_fail(conn, CONN_BROKEN, "%s", strerror(-tls_err));
    }
    return !err && !tls_err;
}

/* -> false: no more for now */
static bool flush_encrypted(struct conn *conn)
{
    struct buf *bytes = tls_output(conn->tls);
    if (!encrypt(conn) || !bytes->len)
        return false;
    conn->budget_sent += bytes->len;
    uv_buf_t all = uv_buf_init((char *)bytes->data, (unsigned)bytes->len);
    ssize_t taken = write_some(conn, &all, 1);
    if (taken < 0)
        return false;
    if ((size_t)taken == bytes->len) {
        bytes->len = 0;
        return true;
    }
    write_later(conn, bytes, (size_t)taken);
    return false;
}

void conn_flush(struct conn *conn)
{
    uv_prepare_stop(&conn->flush_soon);
    bool more = true;
    while (more && conn->stream && !conn->writing && !conn->down && !conn->closing)
        more = conn->tls ? flush_encrypted(conn) : flush_plain(conn);
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
    *out = uv_buf_init(conn->read_buffer, sizeof(conn->read_buffer));
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
