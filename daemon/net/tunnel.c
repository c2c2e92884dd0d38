/* SPDX-License-Identifier: MIT */
#include "tunnel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tunnel {
    uv_stream_t *stream;
    const struct proxy *proxy;
    tunnel_done_cb done_cb;
    void *user;
    size_t head_bytes;
    char head[PROXY_HEAD_MAX_BYTES];
    char why[PROXY_WHY_BYTES + 512];
};

/* A byte at a time: the bytes after the answer are the endpoint's, and are left for the stream's next reader. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct tunnel *tunnel = handle->data;
    *out = uv_buf_init(tunnel->head + tunnel->head_bytes, 1);
}

static void fail(struct tunnel *tunnel, const char *what)
{
    uv_read_stop(tunnel->stream);
    snprintf(tunnel->why, sizeof(tunnel->why), "proxy %.200s:%.5s (https_proxy): %s", tunnel->proxy->host,
             tunnel->proxy->port, what);
    tunnel->done_cb(tunnel->user, tunnel->why);
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    (void)buffer;
    struct tunnel *tunnel = stream->data;
    char why[PROXY_WHY_BYTES];
    if (bytes < 0) {
        fail(tunnel, bytes == UV_EOF ? "closed the connection" : uv_strerror((int)bytes));
        return;
    }
    tunnel->head_bytes += (size_t)bytes;
    int answer = proxy_answer(tunnel->head, tunnel->head_bytes, why);
    if (answer < 0) {
        fail(tunnel, why);
    } else if (answer > 0) {
        uv_read_stop(stream);
        tunnel->done_cb(tunnel->user, NULL);
    }
}

int tunnel_start(uv_stream_t *stream, const struct proxy *proxy, const char *host, const char *port,
                 tunnel_done_cb done_cb, void *user, struct tunnel **out)
{
    struct tunnel *tunnel = calloc(1, sizeof(*tunnel));
    struct buf request = {0};
    int err = tunnel ? proxy_request(proxy, host, port, &request) : -ENOMEM;
    if (!err) {
        /* The buffers of a new connection are empty: the kernel takes the request whole, or not at all. */
        uv_buf_t bytes = uv_buf_init((char *)request.data, (unsigned)request.len);
        int taken = uv_try_write(stream, &bytes, 1);
        err = taken < 0 ? taken : (size_t)taken < request.len ? UV_EAGAIN : 0;
    }
    if (request.data)
        explicit_bzero(request.data, request.len);
    buf_done(&request);
    if (!err) {
        tunnel->stream = stream;
        tunnel->proxy = proxy;
        tunnel->done_cb = done_cb;
        tunnel->user = user;
        stream->data = tunnel;
        err = uv_read_start(stream, on_alloc, on_read);
    }
    if (err)
        free(tunnel);
    else
        *out = tunnel;
    return err;
}

void tunnel_stop(struct tunnel *tunnel)
{
    if (!tunnel)
        return;
    uv_read_stop(tunnel->stream);
    free(tunnel);
}
