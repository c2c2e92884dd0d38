/* SPDX-License-Identifier: MIT */
#include "channel.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/h2_output.h"

enum {
    /* About so much is written at a time: a request of the usual size in one write. With TLS less, because encrypting
     * copies. */
    PLAIN_WRITE_BYTES = 1 << 20,
    TLS_WRITE_BYTES = 256 << 10,
    /* Frames that the peer may send in BUDGET_MS, and how many bytes sent to it allow one more. */
    BUDGET_MS = 1000,
    BUDGET_FRAMES = 4000,
    BUDGET_BYTES_PER_FRAME = 256,
    WHY_BYTES = 256,
};

/* libuv's buffers have the layout of writev(2)'s. */
static_assert(sizeof(uv_buf_t) == sizeof(struct iovec) &&
                  offsetof(uv_buf_t, base) == offsetof(struct iovec, iov_base) &&
                  offsetof(uv_buf_t, len) == offsetof(struct iovec, iov_len),
              "parts are handed on as they are");

static void lose(struct channel *channel, enum channel_loss loss, const char *why)
{
    if (channel->stopped)
        return;
    channel_stop(channel);
    channel->callbacks.lost_cb(channel->user, loss, why);
}

/* TLS's last bytes to the peer. What the kernel does not take at once is not sent. */
static void send_last_bytes(struct channel *channel)
{
    struct buf *bytes = channel->tls ? tls_output(channel->tls) : NULL;
    if (!channel->stream || channel->writing || !bytes || !bytes->len)
        return;
    uv_buf_t last = uv_buf_init((char *)bytes->data, (unsigned)bytes->len);
    uv_try_write(channel->stream, &last, 1);
}

static void lose_tls(struct channel *channel)
{
    send_last_bytes(channel);
    lose(channel, tls_peer_spoke_settings(channel->tls) ? CHANNEL_NOT_TLS : CHANNEL_FAILED, tls_problem(channel->tls));
}

static void lose_sending(struct channel *channel)
{
    char why[WHY_BYTES];
    snprintf(why, sizeof(why), "HTTP/2: %s", h2_problem(channel->h2));
    lose(channel, CHANNEL_FAILED, why);
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status)
{
    struct channel *channel = request->data;
    channel->writing = false;
    channel->waiting->len = 0;
    if (channel->stopped)
        return;
    if (status)
        lose(channel, CHANNEL_CLOSED, uv_strerror(status));
    else
        channel_flush(channel);
}

/* -> bytes that the kernel took at once, or negative: the channel is lost */
static ssize_t write_some(struct channel *channel, const uv_buf_t *parts, size_t count)
{
    int taken = uv_try_write(channel->stream, parts, (unsigned)count);
    if (taken == UV_EAGAIN)
        return 0;
    if (taken < 0)
        lose(channel, CHANNEL_CLOSED, uv_strerror(taken));
    return taken;
}

/* Writes the rest, which the kernel did not take at once, when there is room. */
static void write_later(struct channel *channel, struct buf *bytes, size_t skip)
{
    uv_buf_t rest = uv_buf_init((char *)bytes->data + skip, (unsigned)(bytes->len - skip));
    channel->write.data = channel;
    channel->waiting = bytes;
    int err = uv_write(&channel->write, channel->stream, &rest, 1, on_written);
    channel->writing = !err;
    if (err)
        lose(channel, CHANNEL_CLOSED, uv_strerror(err));
}

/* The parts are valid only until the next call for h2, so the rest that has to wait is copied.
 * -> false: nothing more can be written now */
static bool flush_plain(struct channel *channel)
{
    const struct h2_output *out;
    int err = h2_send_parts(channel->h2, PLAIN_WRITE_BYTES, &out);
    if (channel->stopped || (!err && !out->bytes))
        return false;
    channel->budget_sent += out->bytes;
    ssize_t taken = out->bytes ? write_some(channel, (const uv_buf_t *)out->parts, out->count) : 0;
    if (err)
        lose_sending(channel);
    if (err || taken < 0)
        return false;
    if ((size_t)taken == out->bytes)
        return true;
    err = h2_output_gather(out, (size_t)taken, &channel->out);
    if (err)
        lose(channel, CHANNEL_FAILED, strerror(-err));
    else
        write_later(channel, &channel->out, 0);
    return false;
}

/* Encrypts what h2 has to send. -> false: the channel is lost */
static bool encrypt(struct channel *channel)
{
    if (!tls_established(channel->tls))
        return true;
    int err = h2_send(channel->h2, &channel->out, TLS_WRITE_BYTES);
    if (channel->stopped)
        return false;
    int tls_err = channel->out.len ? tls_send(channel->tls, channel->out.data, channel->out.len) : 0;
    channel->out.len = 0;
    if (err) {
        send_last_bytes(channel);
        lose_sending(channel);
    } else if (tls_err == -EPROTO) {
        lose_tls(channel);
    } else if (tls_err) {
        lose(channel, CHANNEL_FAILED, strerror(-tls_err));
    }
    return !err && !tls_err;
}

/* -> false: nothing more can be written now */
static bool flush_encrypted(struct channel *channel)
{
    struct buf *bytes = tls_output(channel->tls);
    if (!encrypt(channel) || !bytes->len)
        return false;
    channel->budget_sent += bytes->len;
    uv_buf_t all = uv_buf_init((char *)bytes->data, (unsigned)bytes->len);
    ssize_t taken = write_some(channel, &all, 1);
    if (taken < 0)
        return false;
    if ((size_t)taken == bytes->len) {
        bytes->len = 0;
        return true;
    }
    write_later(channel, bytes, (size_t)taken);
    return false;
}

void channel_flush(struct channel *channel)
{
    uv_prepare_stop(&channel->flush_soon);
    bool more = true;
    while (more && channel->stream && !channel->writing && !channel->stopped)
        more = channel->tls ? flush_encrypted(channel) : flush_plain(channel);
}

static void on_flush_soon(uv_prepare_t *prepare)
{
    struct channel *channel = prepare->data;
    channel_flush(channel);
    if (!channel->stopped)
        channel->callbacks.moved_cb(channel->user);
}

void channel_flush_later(struct channel *channel)
{
    if (!channel->stopped)
        uv_prepare_start(&channel->flush_soon, on_flush_soon);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct channel *channel = handle->data;
    *out = uv_buf_init(channel->read_buffer, sizeof(channel->read_buffer));
}

static bool over_budget(struct channel *channel)
{
    uint64_t frames = h2_frames_received(channel->h2);
    uint64_t now_ms = uv_now(channel->loop);
    if (now_ms - channel->budget_since_ms >= BUDGET_MS) {
        channel->budget_since_ms = now_ms;
        channel->budget_frames = frames;
        channel->budget_sent = 0;
    }
    return frames - channel->budget_frames > BUDGET_FRAMES + channel->budget_sent / BUDGET_BYTES_PER_FRAME;
}

/* Bytes of HTTP/2 from the peer. */
static void take_plain(struct channel *channel, const uint8_t *data, size_t bytes)
{
    int err = bytes ? h2_receive(channel->h2, data, bytes) : 0;
    if (channel->stopped)
        return;
    if (err)
        lose(channel, CHANNEL_FAILED, h2_problem(channel->h2));
    else if (over_budget(channel))
        lose(channel, CHANNEL_FAILED, "the server floods the connection with frames");
    else
        channel_flush(channel);
}

static void take_encrypted(struct channel *channel, const uint8_t *data, size_t bytes)
{
    int err = tls_receive(channel->tls, data, bytes, &channel->plain);
    if (err == -EPROTO) {
        lose_tls(channel);
        return;
    }
    if (err) {
        lose(channel, CHANNEL_FAILED, strerror(-err));
        return;
    }
    take_plain(channel, channel->plain.data, channel->plain.len);
    channel->plain.len = 0;
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct channel *channel = stream->data;
    if (bytes < 0) {
        lose(channel, CHANNEL_CLOSED, bytes == UV_EOF ? "closed by the server" : uv_strerror((int)bytes));
        return;
    }
    channel->callbacks.heard_cb(channel->user);
    if (channel->tls)
        take_encrypted(channel, (const uint8_t *)buffer->base, (size_t)bytes);
    else
        take_plain(channel, (const uint8_t *)buffer->base, (size_t)bytes);
    if (!channel->stopped)
        channel->callbacks.moved_cb(channel->user);
}

/* ---- what the owner calls ---- */

void channel_init(uv_loop_t *loop, struct channel *channel, struct h2 *h2, struct tls *tls,
                  const struct channel_callbacks *callbacks, void *user)
{
    memset(channel, 0, sizeof(*channel));
    channel->loop = loop;
    channel->callbacks = *callbacks;
    channel->user = user;
    channel->h2 = h2;
    channel->tls = tls;
    channel->budget_since_ms = uv_now(loop);
    ending_hold(&channel->ending, 1);
    uv_prepare_init(loop, &channel->flush_soon);
    channel->flush_soon.data = channel;
}

int channel_start(struct channel *channel, uv_stream_t *stream)
{
    stream->data = channel;
    channel->stream = stream;
    ending_hold(&channel->ending, 1);
    int err = uv_read_start(stream, on_alloc, on_read);
    if (!err)
        channel_flush(channel);
    return err;
}

void channel_stop(struct channel *channel)
{
    channel->stopped = true;
    uv_prepare_stop(&channel->flush_soon);
    if (channel->stream)
        uv_read_stop(channel->stream);
}

static void handle_closed(uv_handle_t *handle)
{
    struct channel *channel = handle->data;
    if (!ending_release(&channel->ending))
        return;
    struct ending ending = channel->ending;
    h2_free(channel->h2);
    tls_free(channel->tls);
    buf_done(&channel->out);
    buf_done(&channel->plain);
    ending_tell(&ending);
}

static void stream_closed(uv_handle_t *stream)
{
    handle_closed(stream);
    free(stream);
}

void channel_close(struct channel *channel, void (*closed_cb)(void *user))
{
    channel_stop(channel);
    ending_begin(&channel->ending, closed_cb, channel->user);
    uv_close((uv_handle_t *)&channel->flush_soon, handle_closed);
    if (!channel->stream)
        return;
    if (channel->tls)
        tls_end(channel->tls);
    send_last_bytes(channel);
    uv_close((uv_handle_t *)channel->stream, stream_closed);
}
