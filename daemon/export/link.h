/* SPDX-License-Identifier: MIT
 *
 * One connection to the endpoint and the calls on it. It does not reconnect, and whether it is left for another is its
 * owner's to decide. Retired, it takes no more calls and closes when those it has are over. On the loop's thread.
 */
#ifndef LINK_H
#define LINK_H

#include "net/conn.h"
#include "uplink_route.h"

struct link;

/* The connection of a call that ended. */
enum link_state {
    LINK_WORKS,    /* it takes calls */
    LINK_RETIRING, /* new calls go through another one */
    LINK_LOST,     /* it broke: a result of UNAVAILABLE is not the server's word */
};

struct link_callbacks {
    void (*ready_cb)(void *user, struct link *link, bool fresh); /* calls may be submitted; fresh: for the first time */
    void (*result_cb)(void *user, struct link *link, void *call, const struct grpc_result *result,
                      enum link_state state);
    void (*goaway_cb)(void *user, struct link *link, bool pinged_too_often); /* the server will take no new calls */
    void (*down_cb)(void *user, struct link *link, enum conn_end end, const char *why); /* broke; it is being closed */
    /* The end of each link, whoever closed it. It is still valid here, and no longer after it. */
    void (*freed_cb)(void *user, struct link *link);
};

struct link_settings {
    struct uplink_route *route; /* a reference is taken */
    bool plaintext;             /* although the route may have TLS */
    struct dial_book *book;     /* borrowed until freed_cb */
    uint64_t keepalive_ms;      /* 0: never asks */
};

/* The owner reads it; next is the owner's own. */
struct link {
    struct link *next;
    uv_loop_t *loop;
    struct link_callbacks callbacks;
    void *user;
    struct conn *conn;
    struct uplink_route *route;
    struct conn_settings settings; /* for conn, which borrows it */
    size_t calls;
    bool was_ready;        /* ever */
    uint64_t ready_ms;     /* when it was for the first time */
    bool answered;         /* a call, ever */
    unsigned silent_calls; /* cancelled since the last answer */
    bool retiring;
};

/* -> 0 and *out, or -errno. Makes no callback. */
int link_open(uv_loop_t *loop, const struct link_settings *settings, const struct link_callbacks *callbacks, void *user,
              struct link **out);

bool link_ready(const struct link *link);  /* calls may be submitted */
bool link_proven(const struct link *link); /* it has answered a call, or has been ready for long */

/* As conn_submit: makes no callback; the request's parts stay valid until the result, or link_cancel. */
int link_submit(struct link *link, void *call, const struct h2_request *request);

/* Ends a call that has passed its deadline, without a result. Makes no callback. */
enum link_state link_cancel(struct link *link, void *call);

/* Takes no more calls; closes when those it has are over. Makes no callback. */
void link_retire(struct link *link);

/* Closes now; open calls are forgotten. No callback after it but freed_cb. Twice is allowed. */
void link_close(struct link *link);

#endif
