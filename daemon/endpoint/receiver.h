/* SPDX-License-Identifier: MIT
 *
 * The OTLP/gRPC receiver: connections on a listening socket, spans into the store. On the loop's thread.
 */
#ifndef RECEIVER_H
#define RECEIVER_H

#include <uv.h>

#include "endpoint/store/store.h"

enum { RECEIVER_MAX_CONNECTIONS = 64, RECEIVER_MAX_BUFFERED_BYTES = 64 << 20 };

struct receiver;

struct receiver_stats {
    uint64_t requests;
    uint64_t refused_requests;    /* malformed, or no memory */
    uint64_t rejected_spans;      /* reported as partial success */
    uint64_t refused_connections; /* over RECEIVER_MAX_CONNECTIONS */
    uint64_t connections;         /* open now */
};

/* Takes listen_fd, also on failure. Borrows loop and store. -> 0 or -errno. */
int receiver_start(uv_loop_t *loop, int listen_fd, struct store *store, struct receiver **out);

void receiver_get_stats(const struct receiver *receiver, struct receiver_stats *out);

/* Sends GOAWAY to the peers and closes; the memory is freed once the loop has closed all handles. Accepts NULL. */
void receiver_close(struct receiver *receiver);

#endif
