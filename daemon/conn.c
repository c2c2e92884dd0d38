/* SPDX-License-Identifier: MIT */
#include "conn.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "buf.h"

enum {
    READ_BYTES = 16 << 10,
    /* Written at a time: small enough to be still in the cache when the kernel copies it. */
    WRITE_BYTES = 64 << 10,
    USER_TIMEOUT_MS = 20 * 1000,
    WHY_BYTES = 512,
    /* Inbound frames allowed per second: so many, and one more for each so many bytes sent. */
    BUDGET_MS = 1000,
    BUDGET_FRAMES = 4000,
    BUDGET_BYTES_PER_FRAME = 256,
};

/* Cannot be stopped while the resolver works: it outlives a closed conn, alone. */
struct lookup {
    uv_getaddrinfo_t request;
    struct conn *conn; /* NULL: closed meanwhile */
};

struct conn {
    uv_loop_t *loop;
    const struct conn_settings *settings;
    struct conn_callbacks callbacks;
    void *user;
    struct h2 *h2;

    struct lookup *lookup;
    struct addrinfo *addresses;
    struct addrinfo *address; /* the one in use */
    int address_error;        /* of the last one that failed */
    bool localhost_tried;     /* by its address, after its name */
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_timer_t connect_timer;
    uv_prepare_t flush_soon;
    int handles;

    bool connected;
    bool was_ready;
    bool down;
    bool closing;
    void (*closed_cb)(void *user);
    void *closed_user;

    uv_write_t write;
    bool writing; /* out is with the kernel */
    struct buf out;
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
    uv_freeaddrinfo(conn->addresses);
    buf_done(&conn->out);
    free(conn);
    if (closed_cb)
        closed_cb(user);
}

__attribute__((format(printf, 2, 3))) static void fail(struct conn *conn, const char *format, ...)
{
    if (conn->down || conn->closing)
        return;
    conn->down = true;
    int used = snprintf(conn->why, sizeof conn->why, "%s:%s: ", conn->settings->host, conn->settings->port);
    if (used >= 0 && (size_t)used < sizeof conn->why) {
        va_list args;
        va_start(args, format);
        vsnprintf(conn->why + used, sizeof conn->why - (size_t)used, format, args);
        va_end(args);
    }
    uv_timer_stop(&conn->connect_timer);
    uv_prepare_stop(&conn->flush_soon);
    if (conn->connected)
        uv_read_stop((uv_stream_t *)&conn->tcp);
    h2_abort(conn->h2, conn->why);
    if (!conn->closing)
        conn->callbacks.on_down_cb(conn->user, conn->why);
}

/* The connection broke; a peer that never said anything sensible gets the suspicion added. */
static void fail_lost(struct conn *conn, const char *what)
{
    const char *suspicion = h2_problem(conn->h2);
    fail(conn, "%s%s%s", what, suspicion ? "; " : "", suspicion ? suspicion : "");
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
        conn->was_ready = true;
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
    conn->out.len = 0;
    if (conn->down || conn->closing)
        return;
    if (status)
        fail_lost(conn, uv_strerror(status));
    else
        flush(conn);
}

/* Hands out to the kernel: what it does not take at once is written as it can. -> false: no more for now */
static bool write_out(struct conn *conn)
{
    conn->budget_sent += conn->out.len;
    uv_buf_t all = uv_buf_init((char *)conn->out.data, (unsigned)conn->out.len);
    int taken = uv_try_write((uv_stream_t *)&conn->tcp, &all, 1);
    if (taken < 0 && taken != UV_EAGAIN) {
        fail_lost(conn, uv_strerror(taken));
        return false;
    }
    size_t done = taken > 0 ? (size_t)taken : 0;
    if (done == conn->out.len) {
        conn->out.len = 0;
        return true;
    }
    uv_buf_t rest = uv_buf_init((char *)conn->out.data + done, (unsigned)(conn->out.len - done));
    conn->write.data = conn;
    int err = uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &rest, 1, on_written);
    conn->writing = err == 0;
    if (err)
        fail_lost(conn, uv_strerror(err));
    return false;
}

static void flush(struct conn *conn)
{
    uv_prepare_stop(&conn->flush_soon);
    while (conn->connected && !conn->writing && !conn->down && !conn->closing) {
        int err = h2_send(conn->h2, &conn->out, WRITE_BYTES);
        if (err == -EPROTO) {
            uv_buf_t last = uv_buf_init((char *)conn->out.data, (unsigned)conn->out.len);
            uv_try_write((uv_stream_t *)&conn->tcp, &last, 1);
            fail(conn, "HTTP/2: %s", h2_problem(conn->h2));
        } else if (err) {
            fail(conn, "%s", strerror(-err));
        } else if (conn->closing || !conn->out.len || !write_out(conn)) {
            break;
        }
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

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct conn *conn = stream->data;
    if (bytes < 0) {
        fail_lost(conn, bytes == UV_EOF ? "closed by the server" : uv_strerror((int)bytes));
        return;
    }
    int err = h2_receive(conn->h2, (const uint8_t *)buffer->base, (size_t)bytes);
    if (conn->closing)
        return;
    if (err)
        fail(conn, "%s", h2_problem(conn->h2));
    else if (over_budget(conn))
        fail(conn, "the server floods the connection with frames");
    else
        flush(conn);
    if (!conn->down && !conn->closing)
        tell_ready(conn);
}

/* ---- connecting */

static void next_address(struct conn *conn);

static void on_attempt_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    if (conn->closing) {
        handle_closed(handle);
        return;
    }
    conn->handles--;
    conn->address = conn->address->ai_next;
    next_address(conn);
}

static void attempt_failed(struct conn *conn, int error)
{
    conn->address_error = error;
    uv_timer_stop(&conn->connect_timer);
    uv_close((uv_handle_t *)&conn->tcp, on_attempt_closed);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct conn *conn = request->data;
    if (conn->closing || uv_is_closing((uv_handle_t *)&conn->tcp))
        return;
    if (!status) {
        conn->connected = true;
        status = uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
        if (status)
            conn->connected = false;
    }
    if (status)
        attempt_failed(conn, status);
    else
        flush(conn);
}

static void on_connect_timeout(uv_timer_t *timer)
{
    struct conn *conn = timer->data;
    if (conn->connected)
        fail_lost(conn, "it accepted the connection, but allowed no call in time");
    else
        attempt_failed(conn, UV_ETIMEDOUT);
}

static int set_options(uv_tcp_t *tcp)
{
    int fd;
    unsigned user_timeout_ms = USER_TIMEOUT_MS;
    int err = uv_fileno((uv_handle_t *)tcp, &fd);
    if (!err && setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms))
        err = -errno;
    return err ? err : uv_tcp_nodelay(tcp, 1);
}

static void next_address(struct conn *conn)
{
    const struct addrinfo *address = conn->address;
    if (!address) {
        fail(conn, "cannot connect: %s", uv_strerror(conn->address_error));
        return;
    }
    int err = uv_tcp_init_ex(conn->loop, &conn->tcp, (unsigned)address->ai_family);
    if (err) {
        fail(conn, "cannot connect: %s", uv_strerror(err));
        return;
    }
    conn->handles++;
    conn->tcp.data = conn;
    conn->connect.data = conn;
    err = set_options(&conn->tcp);
    if (!err)
        err = uv_tcp_connect(&conn->connect, &conn->tcp, address->ai_addr, on_connected);
    if (err)
        attempt_failed(conn, err);
    else
        uv_timer_start(&conn->connect_timer, on_connect_timeout, conn->settings->connect_timeout_ms, 0);
}

static int resolve(struct conn *conn, const char *host);

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct lookup *lookup = request->data;
    struct conn *conn = lookup->conn;
    free(lookup);
    if (!conn) {
        uv_freeaddrinfo(addresses);
        return;
    }
    conn->lookup = NULL;
    conn->addresses = conn->address = addresses;
    if (!status) {
        next_address(conn);
        return;
    }
    /* A container may have no hosts file, but RFC 6761 says what this name means. */
    bool again = strcmp(conn->settings->host, "localhost") == 0 && !conn->localhost_tried;
    conn->localhost_tried = again;
    if (!again || resolve(conn, "127.0.0.1"))
        fail(conn, "cannot resolve the host name: %s", uv_strerror(status));
}

static int resolve(struct conn *conn, const char *host)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return -ENOMEM;
    lookup->conn = conn;
    lookup->request.data = lookup;
    int err = uv_getaddrinfo(conn->loop, &lookup->request, on_resolved, host, conn->settings->port, &hints);
    if (err)
        free(lookup);
    else
        conn->lookup = lookup;
    return err;
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
    if (!err)
        err = resolve(conn, settings->host);
    if (err) {
        h2_free(conn->h2);
        free(conn);
        return err;
    }
    uv_timer_init(loop, &conn->connect_timer);
    uv_prepare_init(loop, &conn->flush_soon);
    conn->connect_timer.data = conn->flush_soon.data = conn;
    conn->handles = 2;
    conn->budget_since_ms = uv_now(loop);
    *out = conn;
    return 0;
}

bool conn_ready(const struct conn *conn)
{
    return conn->connected && !conn->down && !conn->closing && h2_ready(conn->h2);
}

bool conn_down(const struct conn *conn)
{
    return conn->down;
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
    if (conn->lookup) {
        uv_cancel((uv_req_t *)&conn->lookup->request);
        conn->lookup->conn = NULL;
    }
    uv_close((uv_handle_t *)&conn->connect_timer, handle_closed);
    uv_close((uv_handle_t *)&conn->flush_soon, handle_closed);
    if (conn->handles > 2 && !uv_is_closing((uv_handle_t *)&conn->tcp))
        uv_close((uv_handle_t *)&conn->tcp, handle_closed);
}
