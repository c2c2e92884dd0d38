/* SPDX-License-Identifier: MIT
 *
 * Bytes between a connected socket, TLS and HTTP/2, in both directions. No byte of HTTP/2 leaves before the TLS
 * handshake is complete. The owner decides what a loss means for the connection. On the loop's thread.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <uv.h>

#include "base/buf.h"
#include "base/ending.h"
#include "grpc/h2.h"
#include "tls/tls.h"

enum { CHANNEL_READ_BYTES = 16 << 10 };

/* Why no more bytes are moved. */
enum channel_loss {
    CHANNEL_FAILED,  /* TLS or HTTP/2 cannot go on, or memory is missing */
    CHANNEL_CLOSED,  /* the socket was closed or broke: what the peer sent before may tell why */
    CHANNEL_NOT_TLS, /* where TLS was expected, the peer's first bytes were an HTTP/2 SETTINGS frame */
};

struct channel_callbacks {
    /* For good: the channel has stopped. At most once, and not after channel_stop. */
    void (*lost_cb)(void *user, enum channel_loss loss, const char *why);
    void (*heard_cb)(void *user); /* bytes have come in */
    void (*moved_cb)(void *user); /* bytes were read or written: h2_ready may have changed */
};

/* The owner may read stream, h2 and tls, and may submit, cancel and ping with h2: after that it calls channel_flush or
 * channel_flush_later. */
struct channel {
    uv_loop_t *loop;
    struct channel_callbacks callbacks;
    void *user;
    struct h2 *h2;
    struct tls *tls;     /* NULL: plaintext */
    uv_stream_t *stream; /* NULL: not started */
    bool stopped;

    uv_prepare_t flush_soon;
    uv_write_t write;
    bool writing;        /* a write is with the kernel */
    struct buf *waiting; /* the bytes of that write: out, or TLS's output */
    struct buf out;      /* of h2: to be encrypted, or what the kernel did not take at once */
    struct buf plain;    /* decrypted, for h2 */
    uint64_t budget_since_ms;
    uint64_t budget_frames; /* frames received before this second */
    uint64_t budget_sent;   /* bytes sent in this second */
    char read_buffer[CHANNEL_READ_BYTES];
    struct ending ending;
};

/* Owns h2 and tls (NULL: plaintext) from now on. Then channel_close has to be called. */
void channel_init(uv_loop_t *loop, struct channel *channel, struct h2 *h2, struct tls *tls,
                  const struct channel_callbacks *callbacks, void *user);

/* Moves bytes between stream and h2. Owns the stream from now on, on failure too. -> 0 or -errno */
int channel_start(struct channel *channel, uv_stream_t *stream);

/* Writes what h2 has to send. May make h2's callbacks and lost_cb. */
void channel_flush(struct channel *channel);

/* Does the same before the loop waits next, so that several calls share a write. Makes no callback now. */
void channel_flush_later(struct channel *channel);

/* Moves no more bytes. Makes no callback. */
void channel_stop(struct channel *channel);

/* Stops, ends TLS with a close_notify, and closes the socket. No callback after this call but closed_cb: then h2, tls
 * and stream are freed, and the channel's memory is the owner's again. */
void channel_close(struct channel *channel, void (*closed_cb)(void *user));

#endif
