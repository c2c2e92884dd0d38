/* SPDX-License-Identifier: MIT */
#include "conn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "buf.h"
#include "keepalive.h"

enum {
    READ_BYTES = 16 << 10,
    /* Written at a time: small enough to be still in the cache when the kernel copies it. */
    WRITE_BYTES = 64 << 10,
    WHY_BYTES = 512,
    /* Inbound frames allowed per second: so many, and one more for each so many bytes sent. */
    BUDGET_MS = 1000,
    BUDGET_FRAMES = 4000,
    BUDGET_BYTES_PER_FRAME = 256,
};

static const char CLEAR_SECRET[] =
    "the endpoint speaks plaintext, and the token or the headers of OTEL_EXPORTER_OTLP_HEADERS would be there for the "
    "network to read: with skip_verify that goes only to a loopback address. Turn TLS on in the endpoint, or write "
    "exporter_endpoint with http:// if you mean it";
static const char NO_CALL[] =
    "it accepted the TLS connection, but allowed no call: if it asks for a client certificate, "
    "give aistraced.cert_file and aistraced.key_file";

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
    bool writing;     /* outgoing() is with the kernel */
    struct buf out;   /* of h2, not yet encrypted when there is TLS */
    struct buf plain; /* decrypted, for h2 */
    uint64_t budget_since_ms;
    uint64_t budget_frames; /* seen before this second */
    uint64_t budget_sent;   /* bytes sent in this second */
    char read_buffer[READ_BYTES];
    char why[WHY_BYTES];
};

static void handle_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    if (--conn->handles)
        return;
    void (*closed_cb)(void *user) = conn->closed_cb;
    void *user = conn->closed_user;
    h2_free(conn->h2);
    tls_free(conn->tls);
    buf_done(&conn->out);
    buf_done(&conn->plain);
    free(conn);
    if (closed_cb)
        closed_cb(user);
}

static void stream_closed(uv_handle_t *handle)
{
    handle_closed(handle);
    free(handle);
}

/* What the peer gets to see next. */
static struct buf *outgoing(struct conn *conn)
{
    return conn->tls ? tls_output(conn->tls) : &conn->out;
}

/* One last word, as far as the kernel takes it at once. */
static void send_farewell(struct conn *conn)
{
    struct buf *bytes = outgoing(conn);
    uv_buf_t last = uv_buf_init((char *)bytes->data, (unsigned)bytes->len);
    if (conn->stream && !conn->writing && bytes->len)
        uv_try_write(conn->stream, &last, 1);
}

__attribute__((format(printf, 3, 4))) static void fail(struct conn *conn, enum conn_end end, const char *format, ...)
{
    if (conn->down || conn->closing)
        return;
    conn->down = true;
    const struct dial_target *target = &conn->settings->target;
    int used = snprintf(conn->why, sizeof conn->why, "%s%s%s: ", target->unix_socket ? "unix:" : target->host,
                        target->unix_socket ? "" : ":", target->unix_socket ? target->host : target->port);
    if (used >= 0 && (size_t)used < sizeof conn->why) {
        va_list args;
        va_start(args, format);
        vsnprintf(conn->why + used, sizeof conn->why - (size_t)used, format, args);
        va_end(args);
    }
    uv_timer_stop(&conn->connect_timer);
    uv_prepare_stop(&conn->flush_soon);
    keepalive_stop(&conn->keepalive);
    if (conn->stream)
        uv_read_stop(conn->stream);
    h2_abort(conn->h2, conn->why);
    if (!conn->closing)
        conn->callbacks.on_down_cb(conn->user, end, conn->why);
}

/* What to suspect of a peer that never said anything sensible, or NULL. */
static const char *suspicion(const struct conn *conn)
{
    if (!conn->tls)
        return h2_problem(conn->h2);
    const char *problem = tls_problem(conn->tls);
    if (!problem)
        problem = conn->once_ready ? h2_problem(conn->h2) : NO_CALL;
    return problem;
}

static void fail_lost(struct conn *conn, const char *what)
{
    const char *why = suspicion(conn);
    bool silent = conn->tls && conn->stream && tls_peer_said_nothing(conn->tls);
    fail(conn, silent ? CONN_NOT_TLS : CONN_BROKEN, "%s%s%s", what, why ? "; " : "", why ? why : "");
}

static void fail_tls(struct conn *conn)
{
    send_farewell(conn);
    fail(conn, tls_peer_spoke_settings(conn->tls) ? CONN_NOT_TLS : CONN_BROKEN, "%s", tls_problem(conn->tls));
}

static void on_connect_timeout(uv_timer_t *timer);

static void tell_ready(struct conn *conn)
{
    bool ready = conn_ready(conn);
    /* One that has no calls and allows none is of no use: it has as long to allow one as it had at first. */
    if (ready || h2_open_calls(conn->h2))
        uv_timer_stop(&conn->connect_timer);
    else if (!uv_is_active((uv_handle_t *)&conn->connect_timer))
        uv_timer_start(&conn->connect_timer, on_connect_timeout, conn->settings->connect_timeout_ms, 0);
    if (ready && !conn->was_ready) {
        if (!conn->once_ready)
            keepalive_start(&conn->keepalive);
        conn->was_ready = conn->once_ready = true;
        conn->callbacks.on_ready_cb(conn->user);
    }
    conn->was_ready = ready;
}

/* ---- writing */

static void flush(struct conn *conn);

static void on_written(uv_write_t *request, int status)
{
    struct conn *conn = request->data;
    conn->writing = false;
    outgoing(conn)->len = 0;
    if (conn->down || conn->closing)
        return;
    if (status)
        fail_lost(conn, uv_strerror(status));
    else
        flush(conn);
}

/* Hands bytes to the kernel: what it does not take at once is written as it can. -> false: no more for now */
static bool write_out(struct conn *conn, struct buf *bytes)
{
    conn->budget_sent += bytes->len;
    uv_buf_t all = uv_buf_init((char *)bytes->data, (unsigned)bytes->len);
    int taken = uv_try_write(conn->stream, &all, 1);
    if (taken < 0 && taken != UV_EAGAIN) {
        fail_lost(conn, uv_strerror(taken));
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
        fail_lost(conn, uv_strerror(err));
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
        send_farewell(conn);
        fail(conn, CONN_BROKEN, "HTTP/2: %s", h2_problem(conn->h2));
    } else if (tls_err == -EPROTO) {
        fail_tls(conn);
    } else if (err || tls_err) {
        fail(conn, CONN_BROKEN, "%s", strerror(-(err ? err : tls_err)));
    }
    return !err && !tls_err;
}

static void flush(struct conn *conn)
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
    flush(conn);
    if (!conn->down && !conn->closing)
        tell_ready(conn);
}

/* Before the loop waits next: so that submitting makes no callbacks, and several calls share a write. */
static void flush_later(struct conn *conn)
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
        fail(conn, CONN_BROKEN, "%s", h2_problem(conn->h2));
    else if (over_budget(conn))
        fail(conn, CONN_BROKEN, "the server floods the connection with frames");
    else
        flush(conn);
}

static void take_encrypted(struct conn *conn, const uint8_t *data, size_t bytes)
{
    int err = tls_receive(conn->tls, data, bytes, &conn->plain);
    if (err == -EPROTO) {
        fail_tls(conn);
        return;
    }
    if (err) {
        fail(conn, CONN_BROKEN, "%s", strerror(-err));
        return;
    }
    take_plain(conn, conn->plain.data, conn->plain.len);
    conn->plain.len = 0;
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct conn *conn = stream->data;
    if (bytes < 0) {
        fail_lost(conn, bytes == UV_EOF ? "closed by the server" : uv_strerror((int)bytes));
        return;
    }
    keepalive_heard(&conn->keepalive);
    if (conn->tls)
        take_encrypted(conn, (const uint8_t *)buffer->base, (size_t)bytes);
    else
        take_plain(conn, (const uint8_t *)buffer->base, (size_t)bytes);
    if (!conn->down && !conn->closing)
        tell_ready(conn);
}

/* ---- connecting */

/* What a proxy gets goes on. */
static bool stays_on_host(const struct conn *conn)
{
    struct sockaddr_storage peer;
    int bytes = sizeof peer;
    if (conn->stream->type == UV_NAMED_PIPE)
        return true;
    return !conn->settings->target.proxy &&
           uv_tcp_getpeername((uv_tcp_t *)conn->stream, (struct sockaddr *)&peer, &bytes) == 0 &&
           dial_stays_on_host((const struct sockaddr *)&peer);
}

static void on_dialed(void *user, uv_stream_t *stream, const char *why)
{
    struct conn *conn = user;
    if (!stream) {
        fail(conn, CONN_BROKEN, "%s", why);
        return;
    }
    stream->data = conn;
    conn->stream = stream;
    conn->handles++;
    if (conn->settings->stay_on_host && !conn->tls && !stays_on_host(conn)) {
        fail(conn, CONN_BROKEN, "%s", CLEAR_SECRET);
        return;
    }
    int err = uv_read_start(stream, on_alloc, on_read);
    if (err)
        fail(conn, CONN_BROKEN, "%s", uv_strerror(err));
    else
        flush(conn);
}

static void on_connect_timeout(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    if (conn->stream)
        fail(conn, CONN_BROKEN, "it accepted the connection, but allowed no call in time%s%s",
             suspicion(conn) ? "; " : "", suspicion(conn) ? suspicion(conn) : "");
    else
        fail(conn, CONN_BROKEN, "cannot connect: %s", uv_strerror(UV_ETIMEDOUT));
}

/* ---- keepalive */

static void on_keepalive(void *user)
{
    struct conn *conn = user;
    if (!h2_ping(conn->h2))
        flush(conn);
}

static void on_silence(void *user)
{
    struct conn *conn = user;
    fail(conn, CONN_BROKEN, "no answer to a PING: the way there is broken, or the server hangs (aistraced.keepalive)");
}

/* ---- what the owner calls */

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    struct conn *conn = user;
    if (!conn->closing)
        conn->callbacks.on_result_cb(conn->user, call, result);
}

static void on_goaway(void *user)
{
    struct conn *conn = user;
    if (!conn->closing)
        conn->callbacks.on_goaway_cb(conn->user);
}

int conn_open(uv_loop_t *loop, const struct conn_settings *settings, const struct conn_callbacks *callbacks, void *user,
              struct conn **out)
{
    static const struct h2_callbacks h2_callbacks = {on_result, on_goaway};
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return -ENOMEM;
    conn->loop = loop;
    conn->settings = settings;
    conn->callbacks = *callbacks;
    conn->user = user;
    int err = h2_new(&settings->h2, &h2_callbacks, conn, &conn->h2);
    if (!err && settings->tls)
        err = tls_new(settings->tls, settings->target.host, &conn->tls);
    if (!err)
        err = dial_start(loop, &settings->target, settings->book, on_dialed, conn, &conn->dial);
    if (err) {
        h2_free(conn->h2);
        tls_free(conn->tls);
        free(conn);
        return err;
    }
    uv_timer_init(loop, &conn->connect_timer);
    uv_timer_start(&conn->connect_timer, on_connect_timeout, settings->connect_timeout_ms, 0);
    uv_prepare_init(loop, &conn->flush_soon);
    conn->connect_timer.data = conn->flush_soon.data = conn;
    keepalive_init(loop, &conn->keepalive, settings->keepalive_ms, settings->keepalive_answer_ms, on_keepalive,
                   on_silence, conn);
    conn->handles = 3;
    conn->budget_since_ms = uv_now(loop);
    *out = conn;
    return 0;
}

bool conn_ready(const struct conn *conn)
{
    return conn->stream && !conn->down && !conn->closing && h2_ready(conn->h2);
}

bool conn_down(const struct conn *conn)
{
    return conn->down;
}

bool conn_pinged_too_often(const struct conn *conn)
{
    return h2_pinged_too_often(conn->h2);
}

int conn_submit(struct conn *conn, void *call, const struct h2_request *request)
{
    if (!conn_ready(conn))
        return -EAGAIN;
    int err = h2_submit(conn->h2, call, request);
    if (!err)
        flush_later(conn);
    return err;
}

void conn_cancel(struct conn *conn, void *call)
{
    h2_cancel(conn->h2, call);
    flush_later(conn);
}

void conn_close(struct conn *conn, void (*closed_cb)(void *user), void *user)
{
    if (conn->closing)
        return;
    conn->closing = true;
    conn->closed_cb = closed_cb;
    conn->closed_user = user;
    dial_stop(conn->dial);
    uv_close((uv_handle_t *)&conn->connect_timer, handle_closed);
    uv_close((uv_handle_t *)&conn->flush_soon, handle_closed);
    conn->keepalive.timer.data = conn;
    uv_close((uv_handle_t *)&conn->keepalive.timer, handle_closed);
    if (!conn->stream)
        return;
    if (conn->tls)
        tls_end(conn->tls);
    send_farewell(conn);
    uv_close((uv_handle_t *)conn->stream, stream_closed);
}
