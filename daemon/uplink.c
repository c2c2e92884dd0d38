/* SPDX-License-Identifier: MIT */
#include "uplink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "conn.h"
#include "exporter_token.h"
#include "uplink_route.h"

enum {
    CONNECT_TIMEOUT_MS = 20 * 1000,
    RECONNECT_INITIAL_MS = 1000,
    RECONNECT_MAX_MS = 120 * 1000,
    RECONNECT_WANTED_MAX_MS = 5 * 1000,
    SILENT_CALLS = 8,      /* that passed their deadlines in a row: the connection leads nowhere */
    WATCH_MS = 250,        /* between two looks at the files */
    RENEW_LOOKS = 40,      /* before what was wrong with them is tried again although they look the same */
    PROVEN_MS = 10 * 1000, /* a connection that lived so long, or answered, has proven itself */
};
static const char EXPORT_PATH[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

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
    uv_timer_t connect_timer;
    unsigned failures; /* to connect, in a row */
    uint64_t random;
    bool wanted;
    bool closing;
    size_t handles; /* the timers, and links not yet freed */
    void (*closed_cb)(void *user);
    void *closed_user;
};

static void schedule_connect(struct uplink *uplink, bool at_once);

static void release(struct uplink *uplink)
{
    if (--uplink->handles)
        return;
    void (*closed_cb)(void *user) = uplink->closed_cb;
    void *user = uplink->closed_user;
    uplink_route_unref(uplink->route);
    free(uplink);
    if (closed_cb)
        closed_cb(user);
}

static void link_free(struct link *link)
{
    uplink_route_unref(link->route);
    free(link);
}

static void link_closed(void *user)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    link_free(link);
    release(uplink);
}

static void link_close(struct link *link)
{
    struct uplink *uplink = link->uplink;
    struct link **at = &uplink->links;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    if (uplink->current == link)
        uplink->current = NULL;
    conn_close(link->conn, link_closed, link);
}

static enum link_state link_state(const struct link *link)
{
    if (link->retiring)
        return LINK_RETIRING;
    return conn_down(link->conn) ? LINK_LOST : LINK_WORKS;
}

static bool link_proven(const struct link *link)
{
    return link->answered || (link->was_ready && uv_now(link->uplink->loop) - link->ready_ms >= PROVEN_MS);
}

/* Takes no more calls; closes when those it has are over. */
static void link_retire(struct link *link)
{
    struct uplink *uplink = link->uplink;
    link->retiring = true;
    if (uplink->current == link)
        uplink->current = NULL;
    if (!link->calls)
        link_close(link);
}

/* A call is over. */
static void link_drop_call(struct link *link)
{
    if (--link->calls == 0 && link->retiring)
        link_close(link);
}

/* Once for an endpoint. */
static void tell_plaintext(const struct link *link)
{
    struct uplink *uplink = link->uplink;
    char text[512];
    if (link->settings.tls || link->route->transport != CONFIG_TLS_OR_PLAINTEXT || uplink->told_plaintext)
        return;
    uplink->told_plaintext = true;
    snprintf(text, sizeof text,
             "%s does not speak TLS: spans go there in plaintext, as tracing.skip_verify allows; http:// in "
             "tracing.exporter_endpoint says that you mean it",
             link->route->authority);
    uplink->callbacks.on_notice_cb(uplink->user, UPLINK_IN_CLEAR, text);
}

static void on_ready(void *user)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    bool fresh = !link->was_ready;
    if (fresh) {
        link->was_ready = true;
        link->ready_ms = uv_now(uplink->loop);
        tell_plaintext(link);
    }
    uplink->callbacks.on_ready_cb(uplink->user, fresh);
}

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    enum link_state state = link_state(link);
    if (!result->unprocessed && state != LINK_LOST) {
        link->answered = true;
        link->silent_calls = 0;
    }
    struct uplink_route *asked = uplink_route_ref(link->route);
    link_drop_call(link);
    uplink->asked = asked;
    uplink->callbacks.on_result_cb(uplink->user, call, result, state);
    uplink->asked = NULL;
    uplink_route_unref(asked);
}

static void on_goaway(void *user)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    if (uplink->current == link)
        schedule_connect(uplink, link_proven(link));
    link_retire(link);
}

static void link_open(struct uplink *uplink);

/* With CONFIG_TLS_OR_PLAINTEXT, a connection that did not come about: -> whether plaintext is next, at once. What was
 * plaintext before may have learnt TLS meanwhile. */
static bool fall_back(struct uplink *uplink, const struct link *link, enum conn_end end)
{
    if (link->route->transport != CONFIG_TLS_OR_PLAINTEXT || uplink->route != link->route || link->was_ready)
        return false;
    uplink->plaintext = end == CONN_NOT_TLS;
    return uplink->plaintext;
}

static void on_down(void *user, enum conn_end end, const char *why)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    bool current = uplink->current == link;
    bool proven = link_proven(link);
    bool changed = current && fall_back(uplink, link, end);
    link_close(link);
    if (!current)
        return;
    if (changed) {
        link_open(uplink);
        return;
    }
    schedule_connect(uplink, proven);
    /* A server may well close a connection that nobody uses. */
    if (!proven || uplink->wanted)
        uplink->callbacks.on_trouble_cb(uplink->user, why);
}

/* ---- the route */

/* Reads the files again. When they are not good, all stays as it is. -> whether there is a new route */
static bool renew_route(struct uplink *uplink, struct buf *why)
{
    struct uplink_route *fresh;
    uplink_route_taken(&uplink->watch, uplink->config);
    uplink->looks = 0;
    uplink->stale = uplink_route_new(uplink->config, uplink->authority, &fresh, why) != 0;
    if (uplink->stale)
        return false;
    uplink_route_unref(uplink->route);
    uplink->route = fresh;
    if (fresh->token && exporter_token_exposed(uplink->config->token_file)) {
        char text[512];
        snprintf(text, sizeof text,
                 "tracing.exporter_auth.token_file: others than its owner may read %s; chmod 600 mends it",
                 uplink->config->token_file);
        uplink->callbacks.on_notice_cb(uplink->user, UPLINK_TOKEN_EXPOSED, text);
    }
    return true;
}

/* New calls go through a new connection; those on the way finish where they are. */
static void move_on(struct uplink *uplink)
{
    if (uplink->current)
        link_retire(uplink->current);
    schedule_connect(uplink, true);
}

static void on_watch_timer(uv_timer_t *timer)
{
    struct uplink *uplink = timer->data;
    struct buf why = {0};
    bool due = uplink_route_due(&uplink->watch, uplink->config);
    if (!due && (!uplink->stale || ++uplink->looks < RENEW_LOOKS))
        return;
    if (renew_route(uplink, &why)) {
        uplink->callbacks.on_notice_cb(uplink->user, UPLINK_RENEWED, "certificates and token have been read again");
        move_on(uplink);
    } else {
        char text[512];
        snprintf(text, sizeof text, "%.*s; what was read before stays in use", (int)why.len, (const char *)why.data);
        uplink->callbacks.on_notice_cb(uplink->user, UPLINK_NOT_RENEWED, text);
    }
    buf_done(&why);
}

static void watch_files(struct uplink *uplink)
{
    if (uplink_route_has_files(uplink->config))
        uv_timer_start(&uplink->watch_timer, on_watch_timer, WATCH_MS, WATCH_MS);
    else
        uv_timer_stop(&uplink->watch_timer);
}

bool uplink_refresh_token(struct uplink *uplink)
{
    const struct uplink_route *asked = uplink->asked ? uplink->asked : uplink->route;
    struct buf why = {0};
    if (!asked || !uplink->route)
        return false;
    if (uplink_route_token_changed(uplink->route, uplink->config) && renew_route(uplink, &why))
        move_on(uplink);
    buf_done(&why);
    return uplink_route_tokens_differ(asked, uplink->route);
}

/* ---- connecting */

static int link_new(struct uplink *uplink)
{
    static const struct conn_callbacks callbacks = {on_ready, on_result, on_down, on_goaway};
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return -ENOMEM;
    const struct uplink_route *route = link->route = uplink_route_ref(uplink->route);
    bool plaintext = !route->tls || (route->transport == CONFIG_TLS_OR_PLAINTEXT && uplink->plaintext);
    link->uplink = uplink;
    link->settings = (struct conn_settings){
        .target = {route->host, route->port, route->unix_socket, route->proxy.host ? &route->proxy : NULL},
        .book = &uplink->book,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .tls = plaintext ? NULL : route->tls,
        .stay_on_host = route->transport == CONFIG_TLS_OR_PLAINTEXT && route->metadata_count,
        .h2 = {.scheme = plaintext ? "http" : "https",
               .authority = route->authority,
               .path = EXPORT_PATH,
               .metadata = route->metadata,
               .metadata_count = route->metadata_count},
    };
    int err = conn_open(uplink->loop, &link->settings, &callbacks, link, &link->conn);
    if (err) {
        link_free(link);
        return err;
    }
    link->next = uplink->links;
    uplink->links = link;
    uplink->current = link;
    uplink->handles++;
    return 0;
}

static void link_open(struct uplink *uplink)
{
    struct buf why = {0};
    bool routed = uplink->route || renew_route(uplink, &why);
    int err = routed ? link_new(uplink) : 0;
    if (!routed || err) {
        char text[512];
        if (err)
            snprintf(text, sizeof text, "%s: %s", uplink->authority, strerror(-err));
        else
            snprintf(text, sizeof text, "%.*s", (int)why.len, (const char *)why.data);
        schedule_connect(uplink, false);
        uplink->callbacks.on_trouble_cb(uplink->user, text);
    }
    buf_done(&why);
}

static void on_connect_timer(uv_timer_t *timer)
{
    link_open(timer->data);
}

static void schedule_connect(struct uplink *uplink, bool at_once)
{
    const struct backoff backoff = {RECONNECT_INITIAL_MS, uplink->wanted ? RECONNECT_WANTED_MAX_MS : RECONNECT_MAX_MS,
                                    1.6, 0.2};
    uint64_t wait_ms = 0;
    if (at_once)
        uplink->failures = 0;
    else
        wait_ms = backoff_ms(&backoff, uplink->failures++, backoff_random(&uplink->random));
    uv_timer_start(&uplink->connect_timer, on_connect_timer, wait_ms, 0);
}

int uplink_start(uv_loop_t *loop, const struct config *config, const char *authority,
                 const struct uplink_callbacks *callbacks, void *user, struct uplink **out)
{
    struct uplink *uplink = calloc(1, sizeof *uplink);
    if (!uplink)
        return -ENOMEM;
    uplink->loop = loop;
    uplink->config = config;
    uplink->authority = authority;
    uplink->callbacks = *callbacks;
    uplink->user = user;
    uplink->random = uv_hrtime() ^ (uint64_t)(uintptr_t)uplink;
    uplink->handles = 2;
    uv_timer_init(loop, &uplink->connect_timer);
    uv_timer_init(loop, &uplink->watch_timer);
    uplink->connect_timer.data = uplink->watch_timer.data = uplink;
    watch_files(uplink);
    schedule_connect(uplink, true);
    *out = uplink;
    return 0;
}

void uplink_reconfigure(struct uplink *uplink, const struct config *config, const char *authority, bool reconnect)
{
    uplink->config = config;
    uplink->authority = authority;
    if (!reconnect)
        return;
    uplink_route_unref(uplink->route);
    uplink->route = NULL;
    uplink->plaintext = uplink->told_plaintext = false;
    uplink->book.count = 0;
    watch_files(uplink);
    move_on(uplink);
}

void uplink_want(struct uplink *uplink, bool wanted)
{
    uplink->wanted = wanted;
    if (wanted && uv_is_active((uv_handle_t *)&uplink->connect_timer) &&
        uv_timer_get_due_in(&uplink->connect_timer) > RECONNECT_WANTED_MAX_MS)
        uv_timer_start(&uplink->connect_timer, on_connect_timer, RECONNECT_WANTED_MAX_MS, 0);
}

bool uplink_ready(const struct uplink *uplink)
{
    return uplink->current && conn_ready(uplink->current->conn);
}

int uplink_submit(struct uplink *uplink, void *call, const struct h2_request *request, struct link **link)
{
    if (!uplink->current)
        return -EAGAIN;
    int err = conn_submit(uplink->current->conn, call, request);
    if (err)
        return err;
    uplink->current->calls++;
    *link = uplink->current;
    return 0;
}

enum link_state uplink_cancel(struct link *link, void *call)
{
    conn_cancel(link->conn, call);
    enum link_state state = link_state(link);
    if (++link->silent_calls >= SILENT_CALLS && link->uplink->current == link) {
        schedule_connect(link->uplink, false);
        link->retiring = true;
        link->uplink->current = NULL;
    }
    link_drop_call(link);
    return state;
}

static void timer_closed(uv_handle_t *timer)
{
    release(timer->data);
}

void uplink_close(struct uplink *uplink, void (*closed_cb)(void *user), void *user)
{
    if (uplink->closing)
        return;
    uplink->closing = true;
    uplink->closed_cb = closed_cb;
    uplink->closed_user = user;
    while (uplink->links)
        link_close(uplink->links);
    uv_close((uv_handle_t *)&uplink->connect_timer, timer_closed);
    uv_close((uv_handle_t *)&uplink->watch_timer, timer_closed);
}
