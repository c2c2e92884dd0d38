/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "conn_state.h"

static const char CLEAR_SECRET[] =
    "the endpoint speaks plaintext, and the token or the headers of OTEL_EXPORTER_OTLP_HEADERS would be there for the "
    "network to read: with skip_verify that goes only to a loopback address. Turn TLS on in the endpoint, or write "
    "exporter_endpoint with http:// if you mean it";
static const char NO_CALL[] =
    "it accepted the TLS connection, but allowed no call: if it asks for a client certificate, "
    "give one that it trusts in aistraced.cert_file and aistraced.key_file";

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

__attribute__((format(printf, 3, 4))) void conn_fail(struct conn *conn, enum conn_end end, const char *format, ...)
{
    if (conn->down || conn->closing)
        return;
    conn->down = true;
    const struct dial_target *target = &conn->settings->target;
    int used = snprintf(conn->why, sizeof(conn->why), "%s%s: ", target->unix_socket ? "unix:" : "",
                        target->unix_socket ? target->host : conn->settings->h2.authority);
    if (used >= 0 && (size_t)used < sizeof(conn->why)) {
        va_list args;
        va_start(args, format);
        vsnprintf(conn->why + used, sizeof(conn->why) - (size_t)used, format, args);
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

void conn_fail_lost(struct conn *conn, const char *what)
{
    const char *why = suspicion(conn);
    bool silent = conn->tls && conn->stream && tls_peer_said_nothing(conn->tls);
    conn_fail(conn, silent ? CONN_NOT_TLS : CONN_BROKEN, "%s%s%s", what, why ? "; " : "", why ? why : "");
}

static void on_connect_timeout(uv_timer_t *timer);

void conn_tell_ready(struct conn *conn)
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

/* ---- connecting */

/* What a proxy gets goes on. */
static bool stays_on_host(const struct conn *conn)
{
    struct sockaddr_storage peer;
    int bytes = sizeof(peer);
    if (conn->stream->type == UV_NAMED_PIPE)
        return true;
    return !conn->settings->target.proxy &&
           !uv_tcp_getpeername((uv_tcp_t *)conn->stream, (struct sockaddr *)&peer, &bytes) &&
           dial_stays_on_host((const struct sockaddr *)&peer);
}

static void on_dialed(void *user, uv_stream_t *stream, const char *why)
{
    struct conn *conn = user;
    if (!stream) {
        conn_fail(conn, CONN_BROKEN, "%s", why);
        return;
    }
    stream->data = conn;
    conn->stream = stream;
    conn->handles++;
    if (conn->settings->stay_on_host && !conn->tls && !stays_on_host(conn)) {
        conn_fail(conn, CONN_BROKEN, "%s", CLEAR_SECRET);
        return;
    }
    int err = conn_start_io(conn);
    if (err)
        conn_fail(conn, CONN_BROKEN, "%s", uv_strerror(err));
}

static void on_connect_timeout(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    if (conn->stream)
        conn_fail(conn, CONN_BROKEN, "it accepted the connection, but allowed no call in time%s%s",
                  suspicion(conn) ? "; " : "", suspicion(conn) ? suspicion(conn) : "");
    else
        conn_fail(conn, CONN_BROKEN, "cannot connect: %s", uv_strerror(UV_ETIMEDOUT));
}

/* ---- keepalive */

static void on_keepalive(void *user)
{
    struct conn *conn = user;
    if (!h2_ping(conn->h2))
        conn_flush(conn);
}

static void on_silence(void *user)
{
    struct conn *conn = user;
    conn_fail(conn, CONN_BROKEN,
              "no answer to a PING: the way there is broken, or the server hangs (aistraced.keepalive)");
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
    struct conn *conn = calloc(1, sizeof(*conn));
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
        conn_flush_later(conn);
    return err;
}

void conn_cancel(struct conn *conn, void *call)
{
    h2_cancel(conn->h2, call);
    conn_flush_later(conn);
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
    conn_send_farewell(conn);
    uv_close((uv_handle_t *)conn->stream, stream_closed);
}
