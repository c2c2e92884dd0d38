/* SPDX-License-Identifier: MIT */
#include "script_server.h"

#include <stdlib.h>
#include <string.h>

struct script_server {
    uv_loop_t *loop;
    struct script_server_options options;
    uv_tcp_t listener;
    struct connection *connections;
    unsigned handles;
    unsigned accepted;
    unsigned resets;
};

struct connection {
    struct connection *next;
    struct script_server *server;
    struct script_peer *peer;
    struct late *late;
    bool going_away;
    uv_tcp_t tcp;
    char read_buffer[64 << 10];
};

/* An answer that waits for its time. */
struct late {
    struct late *next;
    struct connection *connection;
    uv_timer_t timer;
    int32_t stream;
    struct script_step step;
};

struct output {
    uv_write_t request;
    struct buf bytes;
};

static void handle_gone(struct script_server *server)
{
    if (--server->handles == 0)
        free(server);
}

static void connection_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct script_server *server = connection->server;
    script_peer_free(connection->peer);
    free(connection);
    handle_gone(server);
}

static void late_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void connection_close(struct connection *connection)
{
    if (uv_is_closing((uv_handle_t *)&connection->tcp))
        return;
    struct connection **at = &connection->server->connections;
    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
    while (connection->late) {
        struct late *late = connection->late;
        connection->late = late->next;
        /* The connection may be freed before this timer is. */
        late->connection = NULL;
        uv_close((uv_handle_t *)&late->timer, late_closed);
    }
    uv_close((uv_handle_t *)&connection->tcp, connection_closed);
}

static void written(uv_write_t *request, int status)
{
    (void)status;
    struct output *output = (struct output *)request;
    buf_done(&output->bytes);
    free(output);
}

static void connection_write(struct connection *connection, struct buf bytes)
{
    struct output *output = calloc(1, sizeof(*output));
    uv_buf_t buffer = uv_buf_init((char *)bytes.data, (unsigned)bytes.len);
    if (output)
        output->bytes = bytes;
    if (!output || uv_write(&output->request, (uv_stream_t *)&connection->tcp, &buffer, 1, written)) {
        free(output);
        buf_done(&bytes);
    }
}

static void flush(struct connection *connection)
{
    struct buf bytes = {0};
    if (script_peer_closed(connection->peer) || script_peer_send(connection->peer, &bytes)) {
        buf_done(&bytes);
        connection_close(connection);
        return;
    }
    if (bytes.len)
        connection_write(connection, bytes);
}

static void act(struct connection *connection, const struct script_request *request)
{
    struct script_server_options *options = &connection->server->options;
    if (options->on_act_cb)
        options->on_act_cb(options->user, request);
    script_peer_act(connection->peer, request->stream, &request->step);
}

static void on_late(uv_timer_t *timer)
{
    struct late *late = timer->data;
    struct connection *connection = late->connection;
    struct late **at = &connection->late;
    while (*at != late)
        at = &(*at)->next;
    *at = late->next;
    late->connection = NULL;
    uv_close((uv_handle_t *)timer, late_closed);
    script_peer_act(connection->peer, late->stream, &late->step);
    flush(connection);
}

static void on_request(void *user, struct script_peer *peer, struct script_request *request)
{
    (void)peer;
    struct connection *connection = user;
    struct late *late = request->step.delay_ms ? calloc(1, sizeof(*late)) : NULL;
    if (!late) {
        act(connection, request);
        return;
    }
    struct script_server_options *options = &connection->server->options;
    if (options->on_act_cb)
        options->on_act_cb(options->user, request);
    late->connection = connection;
    late->stream = request->stream;
    late->step = request->step;
    late->next = connection->late;
    connection->late = late;
    uv_timer_init(connection->server->loop, &late->timer);
    late->timer.data = late;
    uv_timer_start(&late->timer, on_late, request->step.delay_ms, 0);
}

static void on_reset(void *user, uint32_t error)
{
    (void)error;
    struct connection *connection = user;
    connection->server->resets++;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct connection *connection = handle->data;
    *out = uv_buf_init(connection->read_buffer, sizeof(connection->read_buffer));
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;
    if (bytes < 0 ||
        (connection->peer && script_peer_receive(connection->peer, (uint8_t *)buffer->base, (size_t)bytes)))
        connection_close(connection);
    else if (connection->peer)
        flush(connection);
}

static void greet(struct connection *connection)
{
    const struct script_server_options *options = &connection->server->options;
    struct buf bytes = {0};
    if (options->greeting_bytes && !buf_append(&bytes, options->greeting, options->greeting_bytes))
        connection_write(connection, bytes);
}

static void on_connection(uv_stream_t *listener, int status)
{
    static const struct script_peer_callbacks callbacks = {on_request, on_reset};
    struct script_server *server = listener->data;
    struct connection *connection = status ? NULL : calloc(1, sizeof(*connection));
    if (!connection)
        return;
    connection->server = server;
    connection->tcp.data = connection;
    connection->next = server->connections;
    server->connections = connection;
    server->handles++;
    server->accepted++;
    uv_tcp_init(server->loop, &connection->tcp);
    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) ||
        uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read)) {
        connection_close(connection);
    } else if (server->options.greeting) {
        greet(connection);
    } else if (script_peer_new(&server->options.limits, server->options.script, &callbacks, connection,
                               &connection->peer)) {
        connection_close(connection);
    } else {
        flush(connection);
    }
}

static void listener_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

int script_server_start(uv_loop_t *loop, const struct script_server_options *options, struct script_server **out)
{
    struct script_server *server = calloc(1, sizeof(*server));
    if (!server)
        return UV_ENOMEM;
    server->loop = loop;
    server->options = *options;
    server->handles = 1;
    server->listener.data = server;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", options->port, &address);
    uv_tcp_init(loop, &server->listener);
    int err = uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0);
    if (!err)
        err = uv_listen((uv_stream_t *)&server->listener, 16, on_connection);
    if (err)
        uv_close((uv_handle_t *)&server->listener, listener_closed);
    else
        *out = server;
    return err;
}

int script_server_port(const struct script_server *server)
{
    struct sockaddr_in address;
    int bytes = sizeof(address);
    uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &bytes);
    return ntohs(address.sin_port);
}

unsigned script_server_accepted(const struct script_server *server)
{
    return server->accepted;
}

unsigned script_server_resets(const struct script_server *server)
{
    return server->resets;
}

void script_server_limit(struct script_server *server, const struct script_limits *limits)
{
    for (struct connection *connection = server->connections, *next; connection; connection = next) {
        next = connection->next;
        script_peer_limit(connection->peer, limits);
        flush(connection);
    }
}

unsigned script_server_goaway(struct script_server *server)
{
    unsigned count = 0;
    for (struct connection *connection = server->connections, *next; connection; connection = next) {
        next = connection->next;
        if (connection->going_away || !connection->peer)
            continue;
        connection->going_away = true;
        script_peer_goaway(connection->peer, script_peer_last_done(connection->peer));
        flush(connection);
        count++;
    }
    return count;
}

void script_server_stop(struct script_server *server)
{
    while (server->connections)
        connection_close(server->connections);
    uv_close((uv_handle_t *)&server->listener, listener_closed);
}
