/* SPDX-License-Identifier: MIT
 *
 * The bytes of a gRPC server connection, over nghttp2: unary calls with a known path, answered at once. Pure: the owner
 * moves the bytes. One thread.
 */
#ifndef GRPC_SERVER_H
#define GRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "grpc/grpc.h"

enum {
    GRPC_SERVER_MAX_MESSAGE_BYTES = 4 << 20,
    GRPC_SERVER_MAX_STREAMS = 100,
    GRPC_SERVER_MAX_HEADER_BYTES = 16 << 10, /* names and values of one request, summed */
};

struct grpc_server;

struct grpc_server_answer {
    enum grpc_code code;
    const char *message; /* why, when code is not OK; static text */
    struct buf body;     /* when code is OK: the response, appended by the callback, freed by the server */
};

struct grpc_server_settings {
    const char *path; /* of the only method */
    void (*on_call_cb)(void *user, const uint8_t *message, size_t bytes, struct grpc_server_answer *answer);
    void *user;
    /* The bytes of unfinished messages, of all connections that share this counter, and their maximum. A call that
     * would exceed it ends with UNAVAILABLE. */
    size_t *buffered;
    size_t max_buffered;
};

/* settings are copied, what they point to is borrowed. -> 0 or -ENOMEM. */
int grpc_server_new(const struct grpc_server_settings *settings, struct grpc_server **out);
void grpc_server_free(struct grpc_server *server);

/* Takes bytes from the peer; answers calls. -> 0, or -EPROTO: the peer breaks HTTP/2's rules; send what
 * grpc_server_send still has, then close the connection. */
int grpc_server_receive(struct grpc_server *server, const uint8_t *data, size_t bytes);

/* Appends the next bytes for the peer, at most about max. -> 0 or -errno. Nothing appended: nothing to send. */
int grpc_server_send(struct grpc_server *server, struct buf *out, size_t max);

/* Queues GOAWAY for grpc_server_send. */
void grpc_server_shutdown(struct grpc_server *server);

/* True once there is nothing more to send or to receive. */
bool grpc_server_done(const struct grpc_server *server);

#endif
