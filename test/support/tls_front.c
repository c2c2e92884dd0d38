/* SPDX-License-Identifier: MIT */
#include "tls_front.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct tls_front {
    uv_loop_t *loop;
    SSL_CTX *context;
    int to_port;
    uv_tcp_t listener;
    struct pipe *pipes;
    unsigned handles;
    unsigned shaken;
    size_t bytes;
};

/* A client, and the server it is passed on to. */
struct pipe {
    struct pipe *next;
    struct tls_front *front;
    SSL *ssl;
    bool shaken;
    uv_tcp_t client, server;
    uv_connect_t connect;
    unsigned handles;
    char data[16 << 10];
};

struct output {
    uv_write_t request;
    struct buf bytes;
};

static void handle_gone(struct tls_front *front)
{
    if (--front->handles == 0)
        free(front);
}

static void side_closed(uv_handle_t *handle)
{
    struct pipe *pipe = handle->data;
    struct tls_front *front = pipe->front;
    if (--pipe->handles)
        return;
    SSL_free(pipe->ssl);
    free(pipe);
    handle_gone(front);
}

static void pipe_close(struct pipe *pipe)
{
    if (uv_is_closing((uv_handle_t *)&pipe->client))
        return;
    struct pipe **at = &pipe->front->pipes;
    while (*at != pipe)
        at = &(*at)->next;
    *at = pipe->next;
    uv_close((uv_handle_t *)&pipe->client, side_closed);
    uv_close((uv_handle_t *)&pipe->server, side_closed);
}

static void written(uv_write_t *request, int status)
{
    (void)status;
    struct output *output = (struct output *)request;
    buf_done(&output->bytes);
    free(output);
}

static void send_bytes(uv_tcp_t *to, const void *data, size_t bytes)
{
    struct output *output = calloc(1, sizeof(*output));
    if (!bytes || !output || buf_append(&output->bytes, data, bytes)) {
        free(output);
        return;
    }
    uv_buf_t buffer = uv_buf_init((char *)output->bytes.data, (unsigned)bytes);
    if (uv_write(&output->request, (uv_stream_t *)to, &buffer, 1, written))
        written(&output->request, 0);
}

static void send_encrypted(struct pipe *pipe)
{
    char *data;
    long bytes = BIO_get_mem_data(SSL_get_wbio(pipe->ssl), &data);
    send_bytes(&pipe->client, data, bytes > 0 ? (size_t)bytes : 0);
    (void)BIO_reset(SSL_get_wbio(pipe->ssl));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct pipe *pipe = handle->data;
    *out = uv_buf_init(pipe->data, sizeof(pipe->data));
}

static void on_server(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct pipe *pipe = stream->data;
    if (bytes < 0 || SSL_write(pipe->ssl, buffer->base, (int)bytes) != bytes)
        pipe_close(pipe);
    else
        send_encrypted(pipe);
}

/* -> false: the client is to be cut off, with what the TLS library has to say to it */
static bool decrypt(struct pipe *pipe)
{
    char data[4096];
    if (!pipe->shaken && SSL_do_handshake(pipe->ssl) != 1)
        return SSL_get_error(pipe->ssl, -1) == SSL_ERROR_WANT_READ;
    if (!pipe->shaken) {
        pipe->shaken = true;
        pipe->front->shaken++;
        uv_read_start((uv_stream_t *)&pipe->server, on_alloc, on_server);
    }
    int got;
    while ((got = SSL_read(pipe->ssl, data, sizeof(data))) > 0) {
        pipe->front->bytes += (size_t)got;
        send_bytes(&pipe->server, data, (size_t)got);
    }
    return SSL_get_error(pipe->ssl, got) == SSL_ERROR_WANT_READ;
}

static void on_client(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct pipe *pipe = stream->data;
    if (bytes < 0) {
        pipe_close(pipe);
        return;
    }
    BIO_write(SSL_get_rbio(pipe->ssl), buffer->base, (int)bytes);
    bool goes_on = decrypt(pipe);
    char *data;
    long left = BIO_get_mem_data(SSL_get_wbio(pipe->ssl), &data);
    if (goes_on) {
        send_encrypted(pipe);
        return;
    }
    uv_buf_t last = uv_buf_init(data, (unsigned)left);
    if (left > 0)
        uv_try_write(stream, &last, 1);
    pipe_close(pipe);
}

static void on_passed_on(uv_connect_t *request, int status)
{
    struct pipe *pipe = request->data;
    if (uv_is_closing((uv_handle_t *)&pipe->client))
        return;
    /* The server is read when there is somebody to encrypt for. */
    if (status || uv_read_start((uv_stream_t *)&pipe->client, on_alloc, on_client))
        pipe_close(pipe);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct tls_front *front = listener->data;
    struct pipe *pipe = status ? NULL : calloc(1, sizeof(*pipe));
    if (!pipe)
        return;
    pipe->front = front;
    pipe->ssl = SSL_new(front->context);
    SSL_set_bio(pipe->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(pipe->ssl);
    pipe->next = front->pipes;
    front->pipes = pipe;
    front->handles++;
    pipe->handles = 2;
    uv_tcp_init(front->loop, &pipe->client);
    uv_tcp_init(front->loop, &pipe->server);
    pipe->client.data = pipe->server.data = pipe->connect.data = pipe;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", front->to_port, &address);
    if (uv_accept(listener, (uv_stream_t *)&pipe->client) ||
        uv_tcp_connect(&pipe->connect, &pipe->server, (const struct sockaddr *)&address, on_passed_on))
        pipe_close(pipe);
}

static void listener_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

int tls_front_start(uv_loop_t *loop, SSL_CTX *context, int port, int to_port, struct tls_front **out)
{
    struct tls_front *front = calloc(1, sizeof(*front));
    if (!front)
        return UV_ENOMEM;
    front->loop = loop;
    front->context = context;
    front->to_port = to_port;
    front->handles = 1;
    front->listener.data = front;
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", port, &address);
    uv_tcp_init(loop, &front->listener);
    int err = uv_tcp_bind(&front->listener, (const struct sockaddr *)&address, 0);
    if (!err)
        err = uv_listen((uv_stream_t *)&front->listener, 16, on_connection);
    if (err)
        uv_close((uv_handle_t *)&front->listener, listener_closed);
    else
        *out = front;
    return err;
}

int tls_front_port(const struct tls_front *front)
{
    struct sockaddr_in address;
    int bytes = sizeof(address);
    uv_tcp_getsockname(&front->listener, (struct sockaddr *)&address, &bytes);
    return ntohs(address.sin_port);
}

unsigned tls_front_shaken(const struct tls_front *front)
{
    return front->shaken;
}

size_t tls_front_bytes(const struct tls_front *front)
{
    return front->bytes;
}

void tls_front_stop(struct tls_front *front)
{
    while (front->pipes)
        pipe_close(front->pipes);
    uv_close((uv_handle_t *)&front->listener, listener_closed);
}
