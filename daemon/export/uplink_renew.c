/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "base/timer_grid.h"
#include "token.h"
#include "uplink_state.h"

enum { RENEW_LOOKS = 20 }; /* before what was wrong with them is tried again although they look the same */

bool uplink_renew_route(struct uplink *uplink, struct buf *why)
{
    struct uplink_route *fresh;
    uplink_route_taken(&uplink->watch, uplink->config);
    uplink->looks = 0;
    uplink->stale = uplink_route_new(uplink->config, uplink->authority, &fresh, why) != 0;
    if (uplink->stale)
        return false;
    uplink_route_unref(uplink->route);
    uplink->route = fresh;
    if (fresh->token && token_exposed(uplink->config->token_file)) {
        char text[UPLINK_TEXT_BYTES];
        snprintf(text, sizeof(text),
                 "tracing.exporter_auth.token_file: others than its owner may read %s; chmod 600 mends it",
                 uplink->config->token_file);
        uplink->callbacks.on_notice_cb(uplink->user, UPLINK_TOKEN_EXPOSED, text);
    }
    return true;
}

static void on_watch_timer(uv_timer_t *timer)
{
    struct uplink *uplink = timer->data;
    struct buf why = {0};
    bool due = uplink_route_due(&uplink->watch, uplink->config);
    uplink_renew_watch(uplink);
    if (due && !uplink->route)
        uplink_move_on(uplink);
    if (!uplink->route)
        return;
    if (!due && (!uplink->stale || ++uplink->looks < RENEW_LOOKS))
        return;
    if (uplink_renew_route(uplink, &why)) {
        uplink->callbacks.on_notice_cb(uplink->user, UPLINK_RENEWED, "certificates and token have been read again");
        uplink_move_on(uplink);
    } else {
        char text[UPLINK_TEXT_BYTES];
        snprintf(text, sizeof(text), "%.*s; what was read before stays in use", (int)why.len, (const char *)why.data);
        uplink->callbacks.on_notice_cb(uplink->user, UPLINK_NOT_RENEWED, text);
    }
    buf_done(&why);
}

void uplink_renew_watch(struct uplink *uplink)
{
    if (uplink_route_has_files(uplink->config))
        uv_timer_start(&uplink->watch_timer, on_watch_timer, timer_grid_ms(uplink->loop, FILE_WATCH_MS), 0);
    else
        uv_timer_stop(&uplink->watch_timer);
}

bool uplink_refresh_token(struct uplink *uplink)
{
    const struct uplink_route *asked = uplink->asked ? uplink->asked : uplink->route;
    struct buf why = {0};
    if (!asked || !uplink->route)
        return false;
    if (uplink_route_token_changed(uplink->route, uplink->config) && uplink_renew_route(uplink, &why))
        uplink_move_on(uplink);
    buf_done(&why);
    return uplink_route_tokens_differ(asked, uplink->route);
}
