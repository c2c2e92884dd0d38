/* SPDX-License-Identifier: MIT */
#include "uplink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "base/ending.h"
#include "base/timer_grid.h"
#include "token.h"
#include "uplink_route.h"

enum {
    RECONNECT_INITIAL_MS = 1000,
    RECONNECT_MAX_MS = 120 * 1000,
    RECONNECT_WANTED_MAX_MS = 5 * 1000,
    SILENT_CALLS = 8, /* calls that passed their deadlines in a row: the link is left for another one */
    KEEPALIVE_MAX_MS = 24 * 3600 * 1000,
    RENEW_LOOKS = 20, /* at unchanged files, before files that could not be used are tried again */
    TEXT_BYTES = 512,
};
static const double RECONNECT_FACTOR = 1.6, RECONNECT_JITTER = 0.2; /* as gRPC's connection backoff */
static const double AGE_JITTER = 0.1;                               /* connections made together end one by one */

struct uplink {
    uv_loop_t *loop;
    const struct config *config;
    const char *authority;
    struct uplink_callbacks callbacks;
    void *user;

    struct link *links;   /* all links that are not freed */
    struct link *current; /* for new calls; NULL: none, connect_timer opens the next */
    uv_timer_t connect_timer;
    unsigned failures; /* to connect, in a row */
    bool wanted;
    uv_timer_t age_timer; /* of the current link */
    uint64_t keepalive_ms;
    struct dial_book book;
    uint64_t random;

    struct uplink_route *route;       /* for new links; NULL: not made yet, or out of date */
    const struct uplink_route *asked; /* during result_cb: the route of the call */
    bool plaintext;                   /* of CONFIG_TLS_OR_PLAINTEXT: what the endpoint was found to speak */
    bool told_plaintext;

    struct uplink_route_watch watch;
    uv_timer_t watch_timer;
    bool stale;     /* a file has changed, and could not be taken into the route */
    unsigned looks; /* at the files, since that was tried */

    struct ending ending; /* parts: the timers, the links */
};

static void connect_now(struct uplink *uplink);

static void release(struct uplink *uplink)
{
    if (!ending_release(&uplink->ending))
        return;
    struct ending ending = uplink->ending;
    uplink_route_unref(uplink->route);
    free(uplink);
    ending_tell(&ending);
}

__attribute__((format(printf, 3, 4))) static void tell(struct uplink *uplink, enum uplink_notice notice,
                                                       const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    uplink->callbacks.notice_cb(uplink->user, notice, text);
}

/* ---- when to connect ---- */

static void on_connect_timer(uv_timer_t *timer)
{
    connect_now(timer->data);
}

/* The next connection, after a wait that grows with failures unless at_once. */
static void schedule_connect(struct uplink *uplink, bool at_once)
{
    const struct backoff backoff = {RECONNECT_INITIAL_MS, uplink->wanted ? RECONNECT_WANTED_MAX_MS : RECONNECT_MAX_MS,
                                    RECONNECT_FACTOR, RECONNECT_JITTER};
    uint64_t wait_ms = 0;
    if (at_once)
        uplink->failures = 0;
    else
        wait_ms = backoff_ms(&backoff, uplink->failures++, backoff_random(&uplink->random));
    uv_timer_start(&uplink->connect_timer, on_connect_timer, wait_ms, 0);
}

/* New calls go through another link; calls on the wire finish where they are. */
static void leave(struct uplink *uplink, struct link *link)
{
    if (uplink->current == link)
        uplink->current = NULL;
    link_retire(link);
}

/* Leaves the current link and opens another one at once. */
static void move_on(struct uplink *uplink)
{
    if (uplink->current)
        leave(uplink, uplink->current);
    schedule_connect(uplink, true);
}

/* The current link is old: a new one may reach another server, such as one that joined since. */
static void on_old_age(uv_timer_t *timer)
{
    struct uplink *uplink = timer->data;
    if (uplink->current)
        move_on(uplink);
}

static void start_to_age(struct uplink *uplink)
{
    const uint64_t age_ms = uplink->config->max_connection_age_ms;
    const struct backoff age = {age_ms, age_ms, 1, AGE_JITTER};
    if (age_ms)
        uv_timer_start(&uplink->age_timer, on_old_age, backoff_ms(&age, 0, backoff_random(&uplink->random)), 0);
}

/* ---- what a link tells ---- */

/* Says once for an endpoint that spans are sent in plaintext. */
static void tell_plaintext(struct uplink *uplink, const struct link *link)
{
    if (link->settings.tls || link->route->transport != CONFIG_TLS_OR_PLAINTEXT || uplink->told_plaintext)
        return;
    uplink->told_plaintext = true;
    tell(
        uplink, UPLINK_IN_CLEAR,
        "%s does not speak TLS: spans are sent there in plaintext, as tracing.skip_verify allows; if this is intended, "
        "write tracing.exporter_endpoint with http://",
        link->route->authority);
}

static void on_ready(void *user, struct link *link, bool fresh)
{
    struct uplink *uplink = user;
    if (fresh && link == uplink->current)
        start_to_age(uplink);
    if (fresh)
        tell_plaintext(uplink, link);
    uplink->callbacks.ready_cb(uplink->user, fresh);
}

static void on_result(void *user, struct link *link, void *call, const struct grpc_result *result,
                      enum link_state state)
{
    struct uplink *uplink = user;
    uplink->asked = link->route;
    uplink->callbacks.result_cb(uplink->user, call, result, state);
    uplink->asked = NULL;
}

/* The endpoint has got too many PINGs: half as many on the next link (gRFC A8). */
static void calm(struct uplink *uplink)
{
    if (!uplink->keepalive_ms || uplink->keepalive_ms > KEEPALIVE_MAX_MS / 2)
        return;
    uplink->keepalive_ms *= 2;
    tell(uplink, UPLINK_CALMED,
         "%s wants fewer PINGs: one every %" PRIu64 " ms from now on; raise aistraced.keepalive, or remove it",
         uplink->authority, uplink->keepalive_ms);
}

static void on_goaway(void *user, struct link *link, bool pinged_too_often)
{
    struct uplink *uplink = user;
    if (pinged_too_often)
        calm(uplink);
    if (uplink->current == link)
        schedule_connect(uplink, link_proven(link));
    leave(uplink, link);
}

/* With CONFIG_TLS_OR_PLAINTEXT, after a link that never was ready: -> whether plaintext is tried next, at once. When
 * plaintext fails, TLS is tried again: the endpoint may have TLS by now. */
static bool fall_back(struct uplink *uplink, const struct link *link, enum conn_end end)
{
    if (link->route->transport != CONFIG_TLS_OR_PLAINTEXT || uplink->route != link->route || link->was_ready)
        return false;
    uplink->plaintext = end == CONN_NOT_TLS;
    return uplink->plaintext;
}

static void on_down(void *user, struct link *link, enum conn_end end, const char *why)
{
    struct uplink *uplink = user;
    if (uplink->current != link)
        return;
    uplink->current = NULL;
    if (fall_back(uplink, link, end)) {
        connect_now(uplink);
        return;
    }
    schedule_connect(uplink, link_proven(link));
    /* It is no trouble when a server closes a connection that nobody uses. */
    if (!link_proven(link) || uplink->wanted)
        uplink->callbacks.trouble_cb(uplink->user, why);
}

static void on_freed(void *user, struct link *link)
{
    struct uplink *uplink = user;
    struct link **at = &uplink->links;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    release(uplink);
}

/* ---- files that change ---- */

/* Reads the files again. -> whether there is a new route; else why not, and the former route stays */
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
    if (fresh->token && token_exposed(uplink->config->token_file))
        tell(uplink, UPLINK_TOKEN_EXPOSED,
             "tracing.exporter_auth.token_file: users other than its owner can read %s; run chmod 600 on it",
             uplink->config->token_file);
    return true;
}

static void watch_files(struct uplink *uplink);

static void on_watch_timer(uv_timer_t *timer)
{
    struct uplink *uplink = timer->data;
    struct buf why = {0};
    bool due = uplink_route_due(&uplink->watch, uplink->config);
    watch_files(uplink);
    if (due && !uplink->route)
        move_on(uplink);
    if (!uplink->route)
        return;
    if (!due && (!uplink->stale || ++uplink->looks < RENEW_LOOKS))
        return;
    if (renew_route(uplink, &why)) {
        tell(uplink, UPLINK_RENEWED, "certificates and token have been read again");
        move_on(uplink);
    } else {
        tell(uplink, UPLINK_NOT_RENEWED, "%.*s; what was read before stays in use", (int)why.len,
             (const char *)why.data);
    }
    buf_done(&why);
}

/* Watches the files of the configuration in force, if it has any. */
static void watch_files(struct uplink *uplink)
{
    if (uplink_route_has_files(uplink->config))
        uv_timer_start(&uplink->watch_timer, on_watch_timer, timer_grid_ms(uv_now(uplink->loop), FILE_WATCH_MS), 0);
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

void uplink_hide_secrets(const struct uplink *uplink, char *text)
{
    const struct uplink_route *asked = uplink->asked ? uplink->asked : uplink->route;
    if (asked)
        uplink_route_hide_secrets(asked, text);
}

/* ---- connecting ---- */

/* Opens a link and makes it the current one. -> 0 or -errno */
static int add_link(struct uplink *uplink)
{
    static const struct link_callbacks callbacks = {on_ready, on_result, on_goaway, on_down, on_freed};
    const struct link_settings settings = {
        .route = uplink->route,
        .plaintext = uplink->route->transport == CONFIG_TLS_OR_PLAINTEXT && uplink->plaintext,
        .book = &uplink->book,
        .keepalive_ms = uplink->keepalive_ms,
    };
    struct link *link;
    int err = link_open(uplink->loop, &settings, &callbacks, uplink, &link);
    if (err)
        return err;
    link->next = uplink->links;
    uplink->links = uplink->current = link;
    ending_hold(&uplink->ending, 1);
    return 0;
}

static void connect_now(struct uplink *uplink)
{
    struct buf why = {0};
    bool routed = uplink->route || renew_route(uplink, &why);
    int err = routed ? add_link(uplink) : 0;
    if (!routed || err) {
        char text[TEXT_BYTES];
        if (err)
            snprintf(text, sizeof(text), "%s: %s", uplink->authority, strerror(-err));
        else
            snprintf(text, sizeof(text), "%.*s", (int)why.len, (const char *)why.data);
        schedule_connect(uplink, false);
        uplink->callbacks.trouble_cb(uplink->user, text);
    }
    buf_done(&why);
}

/* ---- what the owner calls ---- */

int uplink_start(uv_loop_t *loop, const struct config *config, const char *authority,
                 const struct uplink_callbacks *callbacks, void *user, struct uplink **out)
{
    struct uplink *uplink = calloc(1, sizeof(*uplink));
    if (!uplink)
        return -ENOMEM;
    uplink->loop = loop;
    uplink->config = config;
    uplink->authority = authority;
    uplink->callbacks = *callbacks;
    uplink->user = user;
    uplink->random = uv_hrtime() ^ (uint64_t)(uintptr_t)uplink;
    uplink->keepalive_ms = config->keepalive_ms;
    ending_hold(&uplink->ending, 3);
    uv_timer_init(loop, &uplink->age_timer);
    uv_timer_init(loop, &uplink->connect_timer);
    uv_timer_init(loop, &uplink->watch_timer);
    uplink->connect_timer.data = uplink->watch_timer.data = uplink->age_timer.data = uplink;
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
    uplink->keepalive_ms = config->keepalive_ms;
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
    return uplink->current && link_ready(uplink->current);
}

int uplink_submit(struct uplink *uplink, void *call, const struct h2_request *request, struct link **link)
{
    if (!uplink->current)
        return -EAGAIN;
    int err = link_submit(uplink->current, call, request);
    if (!err)
        *link = uplink->current;
    return err;
}

enum link_state uplink_cancel(struct uplink *uplink, struct link *link, void *call)
{
    enum link_state state = link_cancel(link, call);
    if (link->silent_calls >= SILENT_CALLS && uplink->current == link) {
        schedule_connect(uplink, false);
        leave(uplink, link);
    }
    return state;
}

static void timer_closed(uv_handle_t *timer)
{
    release(timer->data);
}

void uplink_close(struct uplink *uplink, void (*closed_cb)(void *user), void *user)
{
    if (!ending_begin(&uplink->ending, closed_cb, user))
        return;
    uplink->current = NULL;
    for (struct link *link = uplink->links; link; link = link->next)
        link_close(link);
    uv_close((uv_handle_t *)&uplink->connect_timer, timer_closed);
    uv_close((uv_handle_t *)&uplink->watch_timer, timer_closed);
    uv_close((uv_handle_t *)&uplink->age_timer, timer_closed);
}
