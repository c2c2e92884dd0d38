/* SPDX-License-Identifier: MIT
 *
 * What the parts of the uplink share. Only uplink*.c include it.
 */
#ifndef UPLINK_STATE_H
#define UPLINK_STATE_H

#include "net/conn.h"
#include "uplink.h"
#include "uplink_route.h"

enum { UPLINK_TEXT_BYTES = 512 };

/* A connection, and what it borrows: it may outlive the configuration it was made by. */
struct link {
    struct link *next;
    struct uplink *uplink;
    struct conn *conn;
    struct conn_settings settings;
    struct uplink_route *route;
    size_t calls;
    bool was_ready;
    uint64_t ready_ms; /* when it was */
    bool answered;
    unsigned silent_calls; /* since the last answer */
    bool retiring;
};

struct uplink {
    uv_loop_t *loop;
    const struct config *config;
    const char *authority;
    struct uplink_callbacks callbacks;
    void *user;
    struct link *links;
    struct link *current;       /* for new calls; NULL: none, the timer makes the next */
    struct uplink_route *route; /* for new connections; NULL: not made yet, or out of date */
    struct uplink_route_watch watch;
    bool stale;     /* a file has changed, and what is there now is not in the route */
    unsigned looks; /* since it was tried last */
    bool plaintext; /* of CONFIG_TLS_OR_PLAINTEXT: what the endpoint was found to speak */
    bool told_plaintext;
    const struct uplink_route *asked; /* during on_result_cb: the route of the call */
    uv_timer_t watch_timer;
    struct dial_book book;
    uint64_t keepalive_ms;
    uv_timer_t age_timer; /* of the current link */
    uv_timer_t connect_timer;
    unsigned failures; /* to connect, in a row */
    uint64_t random;
    bool wanted;
    bool closing;
    size_t handles; /* the timers, and links not yet freed */
    void (*closed_cb)(void *user);
    void *closed_user;
};

void uplink_release(struct uplink *uplink); /* a handle is gone */

/* The next connection, after a wait that grows with failures unless at_once. */
void uplink_schedule_connect(struct uplink *uplink, bool at_once);
void uplink_connect(struct uplink *uplink); /* now */

/* New calls go through a new connection; those on the way finish where they are. */
void uplink_move_on(struct uplink *uplink);

/* ---- link.c: the life of a connection */

int uplink_link_open(struct uplink *uplink); /* makes it the current one; -> 0 or -errno */
void uplink_link_close(struct link *link);
void uplink_link_retire(struct link *link);    /* takes no more calls; closes when those it has are over */
void uplink_link_drop_call(struct link *link); /* a call is over */
enum link_state uplink_link_state(const struct link *link);

/* ---- uplink_renew.c: files that change */

/* Reads the files again. When they are not good, all stays as it is. -> whether there is a new route, or why not */
bool uplink_renew_route(struct uplink *uplink, struct buf *why);
void uplink_renew_watch(struct uplink *uplink); /* as the configuration in force has files */

#endif
