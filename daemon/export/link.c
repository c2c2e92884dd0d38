/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <errno.h>
#include <stdlib.h>

#include "base/otlp.h"

enum {
    CONNECT_TIMEOUT_MS = 20 * 1000,
    KEEPALIVE_ANSWER_MS = 20 * 1000,
    PROVEN_MS = 10 * 1000, /* a link that came up so long ago has proven itself */
};

static enum link_state state_of(const struct link *link)
{
    if (link->retiring)
        return LINK_RETIRING;
    return conn_down(link->conn) ? LINK_LOST : LINK_WORKS;
}

static void drop_call(struct link *link)
{
    if (--link->calls == 0 && link->retiring)
        link_close(link);
}

/* ---- what the connection tells ---- */

static void on_ready(void *user)
{
    struct link *link = user;
    bool fresh = !link->was_ready;
    if (fresh) {
        link->was_ready = true;
        link->ready_ms = uv_now(link->loop);
    }
    link->callbacks.ready_cb(link->user, link, fresh);
}

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    struct link *link = user;
    enum link_state state = state_of(link);
    if (!result->unprocessed && state != LINK_LOST) {
        link->answered = true;
        link->silent_calls = 0;
    }
    drop_call(link);
    link->callbacks.result_cb(link->user, link, call, result, state);
}

static void on_goaway(void *user)
{
    struct link *link = user;
    link->callbacks.goaway_cb(link->user, link, conn_pinged_too_often(link->conn));
}

static void on_down(void *user, enum conn_end end, const char *why)
{
    struct link *link = user;
    link_close(link);
    link->callbacks.down_cb(link->user, link, end, why);
}

static void link_free(struct link *link)
{
    uplink_route_unref(link->route);
    free(link);
}

static void on_closed(void *user)
{
    struct link *link = user;
    link->callbacks.freed_cb(link->user, link);
    link_free(link);
}

/* ---- what the owner calls ---- */

int link_open(uv_loop_t *loop, const struct link_settings *settings, const struct link_callbacks *callbacks, void *user,
              struct link **out)
{
    static const struct conn_callbacks conn_callbacks = {on_ready, on_result, on_down, on_goaway};
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return -ENOMEM;
    struct uplink_route *route = uplink_route_ref(settings->route);
    struct tls_context *tls = settings->plaintext ? NULL : route->tls;
    link->loop = loop;
    link->callbacks = *callbacks;
    link->user = user;
    link->route = route;
    link->settings = (struct conn_settings){
        .target = {route->host, route->port, route->unix_socket, route->proxy.host ? &route->proxy : NULL},
        .book = settings->book,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .keepalive_ms = settings->keepalive_ms,
        .keepalive_answer_ms = KEEPALIVE_ANSWER_MS,
        .tls = tls,
        .stay_on_host = route->transport == CONFIG_TLS_OR_PLAINTEXT && route->metadata_count,
        .h2 = {.scheme = tls ? "https" : "http",
               .authority = route->authority,
               .path = OTLP_EXPORT_PATH,
               .metadata = route->metadata,
               .metadata_count = route->metadata_count},
    };
    int err = conn_open(loop, &link->settings, &conn_callbacks, link, &link->conn);
    if (err)
        link_free(link);
    else
        *out = link;
    return err;
}

bool link_ready(const struct link *link)
{
    return conn_ready(link->conn);
}

bool link_proven(const struct link *link)
{
    return link->answered || (link->was_ready && uv_now(link->loop) - link->ready_ms >= PROVEN_MS);
}

int link_submit(struct link *link, void *call, const struct h2_request *request)
{
    int err = conn_submit(link->conn, call, request);
    if (!err)
        link->calls++;
    return err;
}

enum link_state link_cancel(struct link *link, void *call)
{
    conn_cancel(link->conn, call);
    enum link_state state = state_of(link);
    link->silent_calls++;
    drop_call(link);
    return state;
}

void link_retire(struct link *link)
{
    link->retiring = true;
    if (!link->calls)
        link_close(link);
}

void link_close(struct link *link)
{
    conn_close(link->conn, on_closed, link);
}
