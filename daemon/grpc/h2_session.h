/* SPDX-License-Identifier: MIT
 *
 * What the parts of h2 share: the session and its calls. Only h2*.c include it.
 */
#ifndef H2_SESSION_H
#define H2_SESSION_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "h2.h"
#include "h2_output.h"

enum { H2_FRAME_HEADER_BYTES = 9 };

struct h2_call {
    struct h2_call *previous;
    struct h2_call *next;
    void *owner;
    int32_t stream;
    bool sent; /* its HEADERS frame was */

    const struct iovec *parts;
    size_t part; /* the read position: in this part, after so many of its bytes */
    size_t part_offset;
    uint8_t prefix[GRPC_PREFIX_BYTES];
    size_t prefix_offset;
    size_t remaining; /* bytes of the request not yet framed, prefix included */

    int http_status;
    bool has_status;
    enum grpc_code code;
    struct buf message;
    struct buf details;
    struct buf body;
    size_t header_bytes;
    unsigned header_count;
};

struct h2 {
    nghttp2_session *session;
    const struct h2_settings *settings;
    struct h2_callbacks callbacks;
    void *user;
    struct h2_call *calls;
    size_t call_count;
    nghttp2_nv *fields;
    size_t field_count;
    struct h2_output out;
    size_t out_max;
    int out_err;
    const char *problem;
    bool heard; /* a byte was received */
    bool settled;
    bool going_away;
    bool pinged_too_often;

    uint64_t frames;
    unsigned continuations; /* in a row, up to the last frame */
    uint8_t frame_header[H2_FRAME_HEADER_BYTES];
    size_t frame_header_bytes; /* received so far */
    size_t payload_left;       /* of the frame that is coming in */
};

/* ---- h2_call.c: a call's life, and what the server says about it ---- */

void h2_call_free(struct h2_call *call);
struct h2_call *h2_call_of(nghttp2_session *session, int32_t stream); /* NULL: its call has ended */

/* From then on the stream has no call: its data source stops, its late frames are ignored. */
void h2_call_unlink(struct h2 *h2, struct h2_call *call);

/* These end the call with a result: for a reason on this side; past a bound, with RST_STREAM; with the server's whole
 * answer. */
void h2_call_fail(struct h2 *h2, struct h2_call *call, enum grpc_code code, bool unprocessed, const char *message);
void h2_call_exhaust(struct h2 *h2, struct h2_call *call, const char *message);
void h2_call_answered(struct h2 *h2, struct h2_call *call);

void h2_call_reset(struct h2 *h2, const struct h2_call *call); /* RST_STREAM(CANCEL) */

/* The headers were informational (1xx): their fields are not the answer's. */
void h2_call_forget_fields(struct h2_call *call);

/* One header or trailer field. -> 0 or -ENOMEM */
int h2_call_keep_field(struct h2_call *call, const uint8_t *name, size_t name_bytes, const uint8_t *value,
                       size_t value_bytes);

/* ---- h2_receive.c, h2_send.c: nghttp2's callbacks in each direction ---- */

void h2_receive_callbacks(nghttp2_session_callbacks *callbacks);
void h2_send_callbacks(nghttp2_session_callbacks *callbacks);

/* The header fields of every request. -> 0 or -ENOMEM */
int h2_send_fields_new(struct h2 *h2);

/* Starts a call on a connection that is ready for it. As h2_submit. */
int h2_send_request(struct h2 *h2, void *owner, const struct h2_request *request);

#endif
