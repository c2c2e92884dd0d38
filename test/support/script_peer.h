/* SPDX-License-Identifier: MIT
 *
 * The server side of one gRPC connection that does what a script says: bytes in, bytes out, no I/O. Scripts are data.
 */
#ifndef SCRIPT_PEER_H
#define SCRIPT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum script_kind {
    SCRIPT_ANSWER,
    SCRIPT_HOLD,          /* no answer, ever */
    SCRIPT_RESET,         /* RST_STREAM with .error */
    SCRIPT_GOAWAY_BEFORE, /* GOAWAY that says: this request was not seen */
    SCRIPT_GOAWAY_AFTER,  /* GOAWAY that says: this request was the last; then the answer */
    SCRIPT_CLOSE,         /* the connection, at once */
};

enum { SCRIPT_NO_STATUS = -1, SCRIPT_FOR_EVER = -1 };

/* What happens to a request. All zero: an OK with an empty response. */
struct script_step {
    enum script_kind kind;
    int times; /* so many requests; 0 is 1 */
    uint32_t error;
    uint32_t delay_ms; /* only the server over sockets can wait */
    int status;        /* grpc-status, or SCRIPT_NO_STATUS */
    int http_status;   /* 0: 200 */
    const char *message;
    const char *details; /* as on the wire */
    int64_t rejected;
    const char *rejected_message;
    const char *body; /* instead of a framed response; body_bytes of it */
    size_t body_bytes;
    size_t body_zeros; /* instead of both: so many zero bytes */
    unsigned extra_headers;
    bool trailers_only;
    bool early; /* answers when the headers are there, before the request's end */
};

/* Steps in order over all requests of all connections that share it. After the last step everything is an OK. */
struct script {
    const struct script_step *steps;
    size_t count;
    size_t at; /* where it is; zero to begin with */
    int used;
};
struct script_step script_next(struct script *script);

enum { SCRIPT_NO_STREAMS = 0xffffffff };
struct script_limits { /* 0: HTTP/2's default; SCRIPT_NO_STREAMS: none are allowed */
    uint32_t max_concurrent_streams;
    uint32_t initial_window_bytes;
    uint32_t max_frame_bytes;
};

struct script_request {
    int32_t stream;
    struct buf headers; /* "name: value\n" each */
    struct buf body;    /* with gRPC's framing */
    struct script_step step;
    bool early_done;
};

struct script_peer;
struct script_peer_callbacks {
    /* The request is there (or its headers, when early). The callee answers now or later with script_peer_act. */
    void (*on_request_cb)(void *user, struct script_peer *peer, struct script_request *request);
    void (*on_reset_cb)(void *user, uint32_t error); /* the client gave a request up; may be NULL */
};

int script_peer_new(const struct script_limits *limits, struct script *script,
                    const struct script_peer_callbacks *callbacks, void *user, struct script_peer **out);
void script_peer_free(struct script_peer *peer);

/* Does what the request's step says. A stream that is gone is ignored. */
void script_peer_act(struct script_peer *peer, int32_t stream, const struct script_step *step);

int script_peer_receive(struct script_peer *peer, const uint8_t *data, size_t bytes); /* -> 0 or -EPROTO */
int script_peer_send(struct script_peer *peer, struct buf *out);                      /* appends all there is */
bool script_peer_closed(const struct script_peer *peer);                              /* a step asked for it */

/* Raises MAX_CONCURRENT_STREAMS and the like while running. */
void script_peer_limit(struct script_peer *peer, const struct script_limits *limits);
void script_peer_goaway(struct script_peer *peer, int32_t last_stream);
int32_t script_peer_last_done(const struct script_peer *peer); /* the last stream whose request was there, or 0 */

#endif
