/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "uplink_state.h"

enum {
    RECONNECT_INITIAL_MS = 1000,
    RECONNECT_MAX_MS = 120 * 1000,
    RECONNECT_WANTED_MAX_MS = 5 * 1000,
    SILENT_CALLS = 8, /* that passed their deadlines in a row: the connection leads nowhere */
};

void uplink_release(struct uplink *uplink)
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

void uplink_move_on(struct uplink *uplink)
{
    if (uplink->current)
        uplink_link_retire(uplink->current);
    uplink_schedule_connect(uplink, true);
}

/* ---- connecting */

void uplink_connect(struct uplink *uplink)
{
    struct buf why = {0};
    bool routed = uplink->route || uplink_renew_route(uplink, &why);
    int err = routed ? uplink_link_open(uplink) : 0;
    if (!routed || err) {
        char text[UPLINK_TEXT_BYTES];
        if (err)
            snprintf(text, sizeof(text), "%s: %s", uplink->authority, strerror(-err));
        else
            snprintf(text, sizeof(text), "%.*s", (int)why.len, (const char *)why.data);
        uplink_schedule_connect(uplink, false);
        uplink->callbacks.on_trouble_cb(uplink->user, text);
    }
    buf_done(&why);
}

static void on_connect_timer(uv_timer_t *timer)
{
    uplink_connect(timer->data);
}

void uplink_schedule_connect(struct uplink *uplink, bool at_once)
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
    uplink->handles = 3;
    uv_timer_init(loop, &uplink->age_timer);
    uv_timer_init(loop, &uplink->connect_timer);
    uv_timer_init(loop, &uplink->watch_timer);
    uplink->connect_timer.data = uplink->watch_timer.data = uplink->age_timer.data = uplink;
    uplink_renew_watch(uplink);
    uplink_schedule_connect(uplink, true);
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
    uplink_renew_watch(uplink);
    uplink_move_on(uplink);
}

void uplink_hide_secrets(const struct uplink *uplink, char *text)
{
    const struct uplink_route *asked = uplink->asked ? uplink->asked : uplink->route;
    if (asked)
        uplink_route_hide_secrets(asked, text);
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
    enum link_state state = uplink_link_state(link);
    if (++link->silent_calls >= SILENT_CALLS && link->uplink->current == link) {
        uplink_schedule_connect(link->uplink, false);
        link->retiring = true;
        link->uplink->current = NULL;
    }
    uplink_link_drop_call(link);
    return state;
}

static void timer_closed(uv_handle_t *timer)
{
    uplink_release(timer->data);
}

void uplink_close(struct uplink *uplink, void (*closed_cb)(void *user), void *user)
{
    if (uplink->closing)
        return;
    uplink->closing = true;
    uplink->closed_cb = closed_cb;
    uplink->closed_user = user;
    while (uplink->links)
        uplink_link_close(uplink->links);
    uv_close((uv_handle_t *)&uplink->connect_timer, timer_closed);
    uv_close((uv_handle_t *)&uplink->watch_timer, timer_closed);
    uv_close((uv_handle_t *)&uplink->age_timer, timer_closed);
}
