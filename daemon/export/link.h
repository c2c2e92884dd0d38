/* SPDX-License-Identifier: MIT
 *
 * One connection to the endpoint and its calls. A link does not reconnect: its owner decides when to open another one
 * and to retire this one. A retired link takes no new calls and closes after its last call. On the loop's thread.
 */
#ifndef LINK_H
#define LINK_H

#include "net/conn.h"
#include "uplink_route.h"

struct link;

/* The state of the link when a call ended. */
enum link_state {
    LINK_WORKS,    /* takes calls */
    LINK_RETIRING, /* new calls go through another link */
    LINK_LOST,     /* broke: a result of UNAVAILABLE does not come from the server */
};

struct link_callbacks {
    void (*ready_cb)(void *user, struct link *link, bool fresh); /* calls may be submitted; fresh: for the first time */
    void (*result_cb)(void *user, struct link *link, void *call, const struct grpc_result *result,
                      enum link_state state);
    void (*goaway_cb)(void *user, struct link *link, bool pinged_too_often); /* the server will take no new calls */
    void (*down_cb)(void *user, struct link *link, enum conn_end end, const char *why); /* broke, and is being closed */
    /* The link is closed, by itself or by its owner, and is freed after this call. */
    void (*freed_cb)(void *user, struct link *link);
};

struct link_settings {
    struct uplink_route *route; /* a reference is taken */
    bool plaintext;             /* even if the route has TLS */
    struct dial_book *book;     /* borrowed until freed_cb */
    uint64_t keepalive_ms;      /* 0: never asks */
};

/* The owner may read all of it, and uses next as it likes. */
struct link {
    struct link *next;
    uv_loop_t *loop;
    struct link_callbacks callbacks;
    void *user;
    struct conn *conn;
    struct uplink_route *route;
    struct conn_settings settings; /* for conn, which borrows it */
    size_t calls;
    bool was_ready;        /* has been ready before */
    uint64_t ready_ms;     /* when for the first time */
    bool answered;         /* the server has answered a call */
    unsigned silent_calls; /* cancelled since the last answer */
    bool retiring;
};

/* -> 0 and *out, or -errno. Makes no callback. */
int link_open(uv_loop_t *loop, const struct link_settings *settings, const struct link_callbacks *callbacks, void *user,
              struct link **out);

bool link_ready(const struct link *link);  /* calls may be submitted */
bool link_proven(const struct link *link); /* the server has answered a call, or the link came up long ago */

/* As conn_submit: makes no callback; the request's parts stay valid until the result, or link_cancel. */
int link_submit(struct link *link, void *call, const struct h2_request *request);

/* Ends a call that has passed its deadline, without a result. Makes no callback. */
enum link_state link_cancel(struct link *link, void *call);

/* No new calls; the link closes after its last call. Makes no callback but freed_cb, later. */
void link_retire(struct link *link);

/* Closes now; open calls get no result. No callback after this call but freed_cb. May be called again. */
void link_close(struct link *link);

#endif
