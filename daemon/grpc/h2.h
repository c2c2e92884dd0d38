/* SPDX-License-Identifier: MIT
 *
 * The bytes of a gRPC client's connection, over nghttp2: unary calls of one method. Pure: the owner moves the bytes.
 * One thread. No callback is made from within h2_submit; h2_receive and h2_send make them.
 */
#ifndef H2_H
#define H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "grpc.h"

struct h2;

struct h2_metadata {
    const char *name; /* lower case */
    const char *value;
    bool secret; /* never indexed by HPACK */
};

struct h2_settings {
    const char *scheme;    /* "http" or "https" */
    const char *authority; /* host:port */
    const char *path;
    const struct h2_metadata *metadata;
    size_t metadata_count;
};

struct h2_request {
    const struct iovec *parts; /* of the message, without gRPC's framing */
    size_t part_count;
    bool gzipped; /* the message is */
    uint64_t timeout_ms;
};

struct h2_callbacks {
    /* A call ended: with the server's answer, or because its stream or the connection did. */
    void (*on_result_cb)(void *user, void *call, const struct grpc_result *result);
    /* The server will take no new calls here. */
    void (*on_goaway_cb)(void *user);
};

/* Bounds on what one answer may cost. Past the first three the call ends with RESOURCE_EXHAUSTED. */
enum {
    H2_BODY_MAX_BYTES = 64 << 10,
    H2_HEADERS_MAX_BYTES = 16 << 10, /* of one answer: informational headers, headers and trailers together */
    H2_HEADERS_MAX_COUNT = 64,       /* likewise */
    H2_MESSAGE_MAX_BYTES = 1 << 10,  /* of grpc-message; what is longer is cut */
    H2_DETAILS_MAX_BYTES = 8 << 10,  /* of grpc-status-details-bin; what is longer is left out */
};

/* Past these the connection is unusable. */
enum {
    H2_CONTINUATIONS_MAX = 8, /* in a row */
    H2_ACKS_MAX = 256,        /* of PING and SETTINGS, while the peer does not take them */
};

/* settings and what they point to are borrowed until h2_free. */
int h2_new(const struct h2_settings *settings, const struct h2_callbacks *callbacks, void *user, struct h2 **out);
void h2_free(struct h2 *h2); /* no callbacks; the caller deals with calls that are still open */

/* True while another call may be submitted: the server's SETTINGS are known, it is not going away, and the calls are
 * below its MAX_CONCURRENT_STREAMS. */
bool h2_ready(const struct h2 *h2);

size_t h2_open_calls(const struct h2 *h2);

/* Starts a call. The request's parts and their array stay valid until its result; the struct itself is read at once.
 * -> 0 or -errno; -EAGAIN: not h2_ready. */
int h2_submit(struct h2 *h2, void *call, const struct h2_request *request);

/* Ends a call that has passed its deadline: RST_STREAM(CANCEL). Its result callback is not made. */
void h2_cancel(struct h2 *h2, void *call);

/* Sends a PING, to learn whether the peer still answers: the answer counts as a frame received. -> 0 or -ENOMEM */
int h2_ping(struct h2 *h2);

/* Whether the server closes because of the PINGs (GOAWAY ENHANCE_YOUR_CALM "too_many_pings", gRFC A8). */
bool h2_pinged_too_often(const struct h2 *h2);

/* Bytes from the peer. -> 0, or -EPROTO: the connection is unusable (h2_problem). */
int h2_receive(struct h2 *h2, const uint8_t *data, size_t bytes);

/* Appends the next bytes for the peer to out, at most about max; none when there is nothing to send. -> 0; -EPROTO: as
 * for h2_receive, and what was appended is the last that the peer is to get. */
struct buf;
int h2_send(struct h2 *h2, struct buf *out, size_t max);

/* The same without a copy: *out has the bytes to send, valid until the next call for this h2. It borrows from the
 * requests of calls that are open. */
struct h2_output;
int h2_send_parts(struct h2 *h2, size_t max, const struct h2_output **out);

/* Why the connection is unusable, or what to suspect if the peer closes it now. A static text, or NULL. */
const char *h2_problem(const struct h2 *h2);

/* Frames received so far, for a limit of frames per time. A frame counts once more for each full H2_FRAME_UNIT_BYTES of
 * its payload. */
enum { H2_FRAME_UNIT_BYTES = 4 << 10 };
uint64_t h2_frames_received(const struct h2 *h2);

/* The connection is lost: every open call gets its result (UNAVAILABLE; unprocessed if its headers were never sent). */
void h2_abort(struct h2 *h2, const char *why);

#endif
