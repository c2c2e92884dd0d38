/* SPDX-License-Identifier: MIT
 *
 * The client's HTTP/2 and a scripted peer, in memory: what one sends the other receives, nothing else happens.
 */
#ifndef H2_PAIR_H
#define H2_PAIR_H

#include "grpc/h2.h"
#include "script_peer.h"

enum { CALLS_MAX = 64, REQUESTS_MAX = 64 };

struct outcome_seen {
    unsigned results;
    enum grpc_code code;
    bool unprocessed;
    char message[256];    /* its beginning */
    size_t message_bytes; /* all of it */
    struct buf body;
    struct buf details;
};

struct pair {
    struct h2 *h2;
    struct script_peer *peer;
    struct script script;
    struct buf to_peer, to_client;
    struct outcome_seen calls[CALLS_MAX];
    struct script_request requests[REQUESTS_MAX]; /* copies */
    size_t request_count;
    unsigned goaways, resets;
    size_t chunk_max;
};

struct pair *pair_new(const struct script_limits *limits, const struct script_step *steps, size_t count);
void pair_free(struct pair *pair);

/* Moves bytes both ways until both are silent, in chunks of at most chunk_max. -> the first error of the client */
int pair_talk(struct pair *pair);

extern struct iovec SMALL[1]; /* a message of 5 bytes */
int pair_submit(struct pair *pair, size_t call, struct iovec *parts, size_t count);

/* One call of a small message through a script of one step. */
struct pair *pair_one_call(struct script_step *step);

void pair_receive(struct pair *pair, const void *bytes, size_t count); /* these bytes, as the peer's */

#endif
