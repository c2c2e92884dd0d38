/* SPDX-License-Identifier: MIT */
#include "conn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/ending.h"
#include "channel.h"
#include "keepalive.h"

enum { WHY_BYTES = 768 };

struct conn {
    const struct conn_settings *settings;
    struct conn_callbacks callbacks;
    void *user;

    struct dial *dial;
    struct channel channel;
    struct keepalive keepalive;
    uv_timer_t connect_timer;

    bool was_ready;  /* when on_moved looked last */
    bool once_ready; /* has been ready before */
    bool down;
    char why[WHY_BYTES];
    struct ending ending; /* parts: connect_timer, keepalive's timer, channel */
};

static const char CLEAR_SECRET[] =
    "the endpoint speaks plaintext, so anybody on the network could read the token or the headers of "
    "OTEL_EXPORTER_OTLP_HEADERS: with skip_verify they are sent in plaintext to a loopback address only. Turn TLS on "
    "in "
    "the endpoint, or write exporter_endpoint with http:// to send them in plaintext";
static const char NO_CALL[] =
    "the endpoint accepted the TLS connection, but allowed no call: if it asks for a client certificate, "
    "name one that it trusts in aistraced.cert_file and aistraced.key_file";

__attribute__((format(printf, 3, 4))) static void fail(struct conn *conn, enum conn_end end, const char *format, ...)
{
    if (conn->down || conn->ending.begun)
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
    keepalive_stop(&conn->keepalive);
    channel_stop(&conn->channel);
    h2_abort(conn->channel.h2, conn->why);
    if (!conn->ending.begun)
        conn->callbacks.down_cb(conn->user, end, conn->why);
}

/* What may be wrong with a peer that closed the connection or allows no call, or NULL. */
static const char *suspicion(const struct conn *conn)
{
    const struct channel *channel = &conn->channel;
    if (!channel->tls)
        return h2_problem(channel->h2);
    const char *problem = tls_problem(channel->tls);
    if (!problem)
        problem = conn->once_ready ? h2_problem(channel->h2) : NO_CALL;
    return problem;
}

/* ---- what the channel tells ---- */

static void on_lost(void *user, enum channel_loss loss, const char *why)
{
    struct conn *conn = user;
    const char *suspected = loss == CHANNEL_CLOSED ? suspicion(conn) : NULL;
    bool silent = loss == CHANNEL_CLOSED && conn->channel.tls && tls_peer_said_nothing(conn->channel.tls);
    fail(conn, silent || loss == CHANNEL_NOT_TLS ? CONN_NOT_TLS : CONN_BROKEN, "%s%s%s", why, suspected ? "; " : "",
         suspected ? suspected : "");
}

static void on_heard(void *user)
{
    struct conn *conn = user;
    keepalive_heard(&conn->keepalive);
}

static void on_connect_timeout(uv_timer_t *timer);

/* Tells the owner when calls may be submitted. */
static void on_moved(void *user)
{
    struct conn *conn = user;
    bool ready = conn_ready(conn);
    /* A connection that has no calls and allows none is of no use: it has connect_timeout_ms to allow one. */
    if (ready || h2_open_calls(conn->channel.h2))
        uv_timer_stop(&conn->connect_timer);
    else if (!uv_is_active((uv_handle_t *)&conn->connect_timer))
        uv_timer_start(&conn->connect_timer, on_connect_timeout, conn->settings->connect_timeout_ms, 0);
    if (ready && !conn->was_ready) {
        if (!conn->once_ready)
            keepalive_start(&conn->keepalive);
        conn->was_ready = conn->once_ready = true;
        conn->callbacks.ready_cb(conn->user);
    }
    conn->was_ready = ready;
}

/* ---- what HTTP/2 tells ---- */

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    struct conn *conn = user;
    if (!conn->ending.begun)
        conn->callbacks.result_cb(conn->user, call, result);
}

static void on_goaway(void *user)
{
    struct conn *conn = user;
    if (!conn->ending.begun)
        conn->callbacks.goaway_cb(conn->user);
}

/* ---- connecting ---- */

static void stream_freed(uv_handle_t *stream)
{
    free(stream);
}

/* Behind a proxy the peer is elsewhere, wherever the proxy is. */
static bool stays_on_host(const struct conn *conn, const uv_stream_t *stream)
{
    struct sockaddr_storage peer;
    int bytes = sizeof(peer);
    if (stream->type == UV_NAMED_PIPE)
        return true;
    return !conn->settings->target.proxy &&
           !uv_tcp_getpeername((const uv_tcp_t *)stream, (struct sockaddr *)&peer, &bytes) &&
           dial_stays_on_host((const struct sockaddr *)&peer);
}

static void on_dialed(void *user, uv_stream_t *stream, const char *why)
{
    struct conn *conn = user;
    if (!stream) {
        fail(conn, CONN_BROKEN, "%s", why);
        return;
    }
    if (conn->settings->stay_on_host && !conn->channel.tls && !stays_on_host(conn, stream)) {
        uv_close((uv_handle_t *)stream, stream_freed);
        fail(conn, CONN_BROKEN, "%s", CLEAR_SECRET);
        return;
    }
    int err = channel_start(&conn->channel, stream);
    if (err)
        fail(conn, CONN_BROKEN, "%s", uv_strerror(err));
}

static void on_connect_timeout(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    if (conn->channel.stream)
        fail(conn, CONN_BROKEN, "the endpoint accepted the connection, but allowed no call in time%s%s",
             suspicion(conn) ? "; " : "", suspicion(conn) ? suspicion(conn) : "");
    else
        fail(conn, CONN_BROKEN, "cannot connect: %s", uv_strerror(UV_ETIMEDOUT));
}

/* ---- keepalive ---- */

static void on_keepalive(void *user)
{
    struct conn *conn = user;
    if (!h2_ping(conn->channel.h2))
        channel_flush(&conn->channel);
}

static void on_silence(void *user)
{
    struct conn *conn = user;
    fail(conn, CONN_BROKEN,
         "no answer to a PING: the network is interrupted, or the server hangs (aistraced.keepalive)");
}

/* ---- what the owner calls ---- */

int conn_open(uv_loop_t *loop, const struct conn_settings *settings, const struct conn_callbacks *callbacks, void *user,
              struct conn **out)
{
    static const struct h2_callbacks h2_callbacks = {on_result, on_goaway};
    static const struct channel_callbacks channel_callbacks = {on_lost, on_heard, on_moved};
    struct conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return -ENOMEM;
    conn->settings = settings;
    conn->callbacks = *callbacks;
    conn->user = user;
    struct h2 *h2 = NULL;
    struct tls *tls = NULL;
    int err = h2_new(&settings->h2, &h2_callbacks, conn, &h2);
    if (!err && settings->tls)
        err = tls_new(settings->tls, settings->target.host, &tls);
    if (!err)
        err = dial_start(loop, &settings->target, settings->book, on_dialed, conn, &conn->dial);
    if (err) {
        h2_free(h2);
        tls_free(tls);
        free(conn);
        return err;
    }
    channel_init(loop, &conn->channel, h2, tls, &channel_callbacks, conn);
    uv_timer_init(loop, &conn->connect_timer);
    uv_timer_start(&conn->connect_timer, on_connect_timeout, settings->connect_timeout_ms, 0);
    conn->connect_timer.data = conn;
    keepalive_init(loop, &conn->keepalive, settings->keepalive_ms, settings->keepalive_answer_ms, on_keepalive,
                   on_silence, conn);
    ending_hold(&conn->ending, 3);
    *out = conn;
    return 0;
}

bool conn_ready(const struct conn *conn)
{
    return conn->channel.stream && !conn->down && !conn->ending.begun && h2_ready(conn->channel.h2);
}

bool conn_down(const struct conn *conn)
{
    return conn->down;
}

bool conn_pinged_too_often(const struct conn *conn)
{
    return h2_pinged_too_often(conn->channel.h2);
}

int conn_submit(struct conn *conn, void *call, const struct h2_request *request)
{
    if (!conn_ready(conn))
        return -EAGAIN;
    int err = h2_submit(conn->channel.h2, call, request);
    if (!err)
        channel_flush_later(&conn->channel);
    return err;
}

void conn_cancel(struct conn *conn, void *call)
{
    h2_cancel(conn->channel.h2, call);
    channel_flush_later(&conn->channel);
}

static void release(struct conn *conn)
{
    if (!ending_release(&conn->ending))
        return;
    struct ending ending = conn->ending;
    free(conn);
    ending_tell(&ending);
}

static void timer_closed(uv_handle_t *timer)
{
    release(timer->data);
}

static void channel_closed(void *user)
{
    release(user);
}

void conn_close(struct conn *conn, void (*closed_cb)(void *user), void *user)
{
    if (!ending_begin(&conn->ending, closed_cb, user))
        return;
    dial_stop(conn->dial);
    uv_close((uv_handle_t *)&conn->connect_timer, timer_closed);
    conn->keepalive.timer.data = conn;
    uv_close((uv_handle_t *)&conn->keepalive.timer, timer_closed);
    channel_close(&conn->channel, channel_closed);
}
