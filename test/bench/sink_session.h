/* SPDX-License-Identifier: MIT
 *
 * One connection of the sink: the server's side of gRPC over nghttp2, bytes in, bytes out.
 */
#ifndef SINK_SESSION_H
#define SINK_SESSION_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sink_state {
    bool parse;
    uint64_t bytes; /* received */
    uint64_t requests;
    int32_t *latencies_us; /* parse: from span end to arrival */
    size_t latency_count;
    size_t latency_capacity;
};

struct sink_session;

/* Dies when there is no memory. The state is shared by all sessions. */
struct sink_session *sink_session_new(struct sink_state *state);
void sink_session_free(struct sink_session *session); /* accepts NULL */

/* -> false: the peer broke the protocol. */
bool sink_session_receive(struct sink_session *session, const uint8_t *data, size_t bytes);

/* -> bytes for the peer at *data, valid until the next call; 0 when there are none. */
ssize_t sink_session_send(struct sink_session *session, const uint8_t **data);

#endif
