/* SPDX-License-Identifier: MIT */
#include "admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "admin_http.h"
#include "base/buf.h"
#include "base/ending.h"
#include "config/config_value.h"

enum { LISTEN_BACKLOG = 16, CONNECTION_HANDLES = 2 };

struct connection {
    struct admin *admin;
    struct connection *next;
    uv_tcp_t tcp;
    uv_timer_t deadline;
    struct ending ending; /* its handles */
    bool answered;
    char request[ADMIN_REQUEST_BYTES_MAX];
    size_t request_bytes;
    char discarded[1024]; /* what comes after the request */
    struct buf response;
    uv_write_t write;
    uv_shutdown_t shutdown;
};

struct admin {
    uv_tcp_t listener;
    struct log *log;
    const struct admin_callbacks *callbacks;
    void *user;
    struct connection *connections;
    unsigned connection_count;
    struct ending ending; /* the listener and the connections */
};

/* The listener or a connection has closed. */
static void release(struct admin *admin)
{
    if (!ending_release(&admin->ending))
        return;
    struct ending ending = admin->ending;
    free(admin);
    ending_tell(&ending);
}

/* ---- a connection's end ---- */

static void on_connection_handle_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct admin *admin = connection->admin;
    if (!ending_release(&connection->ending))
        return;
    struct connection **at = &admin->connections;
    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
    admin->connection_count--;
    buf_done(&connection->response);
    free(connection);
    release(admin);
}

static void close_connection(struct connection *connection)
{
    if (!ending_begin(&connection->ending, NULL, NULL))
        return;
    uv_close((uv_handle_t *)&connection->tcp, on_connection_handle_closed);
    uv_close((uv_handle_t *)&connection->deadline, on_connection_handle_closed);
}

static void on_deadline(uv_timer_t *timer)
{
    close_connection(timer->data);
}

/* ---- the answer ---- */

static void on_shutdown(uv_shutdown_t *request, int status)
{
    if (status != 0)
        close_connection(request->data);
}

/* The connection is closed when the peer has closed its side: a close with bytes unread would reset the connection, and
 * the peer could lose the answer. */
static void on_written(uv_write_t *request, int status)
{
    struct connection *connection = request->data;
    connection->shutdown.data = connection;
    if (status != 0 || uv_shutdown(&connection->shutdown, (uv_stream_t *)&connection->tcp, on_shutdown) != 0)
        close_connection(connection);
}

/* -> status */
static int make_body(struct admin *admin, enum admin_page page, struct buf *out)
{
    int status = 200;
    switch (page) {
    case ADMIN_METRICS:
        admin->callbacks->on_metrics_cb(admin->user, out);
        return out->len > 0 ? 200 : 500;
    case ADMIN_READYZ:
        status = admin->callbacks->on_ready_cb(admin->user, out) ? 200 : 503;
        break;
    case ADMIN_LIVEZ:
        buf_append(out, "ok", 2);
        break;
    }
    return buf_append(out, "\n", 1) == 0 ? status : 500;
}

static void answer(struct connection *connection, const struct admin_request *request, int status)
{
    struct buf body = {0};
    connection->answered = true;
    if (status == 200)
        status = make_body(connection->admin, request->page, &body);
    int err = admin_http_response(status, request->head, &body, &connection->response);
    buf_done(&body);
    uv_buf_t part = uv_buf_init((char *)connection->response.data, (unsigned)connection->response.len);
    connection->write.data = connection;
    if (err || uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &part, 1, on_written) != 0)
        close_connection(connection);
}

/* ---- the request ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct connection *connection = handle->data;
    if (connection->answered)
        *out = uv_buf_init(connection->discarded, sizeof(connection->discarded));
    else
        *out = uv_buf_init(connection->request + connection->request_bytes,
                           (unsigned)(sizeof(connection->request) - connection->request_bytes));
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *into)
{
    (void)into;
    struct connection *connection = stream->data;
    if (bytes < 0) {
        close_connection(connection);
        return;
    }
    if (connection->answered)
        return;
    connection->request_bytes += (size_t)bytes;
    struct admin_request request = {0};
    int status = admin_http_parse(connection->request, connection->request_bytes, &request);
    if (status == 0 && connection->request_bytes == sizeof(connection->request))
        status = 431;
    if (status != 0)
        answer(connection, &request, status);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct admin *admin = listener->data;
    struct connection *connection = status == 0 ? calloc(1, sizeof(*connection)) : NULL;
    if (!connection)
        return;
    connection->admin = admin;
    connection->next = admin->connections;
    admin->connections = connection;
    admin->connection_count++;
    ending_hold(&admin->ending, 1);
    ending_hold(&connection->ending, CONNECTION_HANDLES);
    uv_tcp_init(listener->loop, &connection->tcp);
    uv_timer_init(listener->loop, &connection->deadline);
    connection->tcp.data = connection->deadline.data = connection;
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) != 0 || admin->connection_count > ADMIN_CONNECTIONS_MAX ||
        uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read) != 0) {
        close_connection(connection);
        return;
    }
    uv_timer_start(&connection->deadline, on_deadline, ADMIN_DEADLINE_MS, 0);
}

/* ---- start and close ---- */

static int bind_to(struct admin *admin, const struct sockaddr *address)
{
    int err = uv_tcp_bind(&admin->listener, address, 0);
    return err ? err : uv_listen((uv_stream_t *)&admin->listener, LISTEN_BACKLOG, on_connection);
}

static int listen_on(uv_loop_t *loop, struct admin *admin, const struct config_address *where)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    uv_getaddrinfo_t resolved;
    int err = uv_getaddrinfo(loop, &resolved, NULL, *where->host ? where->host : "::", where->port, &hints);
    if (err && !*where->host)
        err = uv_getaddrinfo(loop, &resolved, NULL, "0.0.0.0", where->port, &hints);
    if (err)
        return err == UV_ENOMEM ? -ENOMEM : -EADDRNOTAVAIL;
    err = bind_to(admin, resolved.addrinfo->ai_addr);
    uv_freeaddrinfo(resolved.addrinfo);
    return err;
}

/* What the kernel chose for port 0. */
static unsigned bound_port(const struct admin *admin)
{
    struct sockaddr_storage address;
    int bytes = sizeof(address);
    if (uv_tcp_getsockname(&admin->listener, (struct sockaddr *)&address, &bytes) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static void on_listener_closed(uv_handle_t *handle)
{
    release(handle->data);
}

int admin_start(uv_loop_t *loop, const char *listen, const struct admin_callbacks *callbacks, void *user,
                struct log *log, struct admin **out)
{
    struct config_address where;
    const char *problem;
    if (config_parse_address(listen, &where, &problem) != 0 || !*where.port)
        return -EINVAL;
    struct admin *admin = calloc(1, sizeof(*admin));
    if (!admin)
        return -ENOMEM;
    admin->callbacks = callbacks;
    admin->user = user;
    admin->log = log;
    int err = uv_tcp_init(loop, &admin->listener);
    if (err) {
        free(admin);
        return err;
    }
    ending_hold(&admin->ending, 1);
    admin->listener.data = admin;
    err = listen_on(loop, admin, &where);
    if (err) {
        admin_close(admin, NULL, NULL);
        return err;
    }
    bool v6 = strchr(where.host, ':') || !*where.host;
    log_line(log, LOG_INFO, "metrics at http://%s%s%s:%u/metrics", v6 ? "[" : "",
             *where.host ? where.host : "::", v6 ? "]" : "", bound_port(admin));
    *out = admin;
    return 0;
}

void admin_close(struct admin *admin, void (*closed_cb)(void *user), void *user)
{
    if (!ending_begin(&admin->ending, closed_cb, user))
        return;
    for (struct connection *connection = admin->connections; connection; connection = connection->next)
        close_connection(connection);
    uv_close((uv_handle_t *)&admin->listener, on_listener_closed);
}
