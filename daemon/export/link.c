/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "backoff.h"
#include "uplink_state.h"

enum {
    CONNECT_TIMEOUT_MS = 20 * 1000,
    KEEPALIVE_ANSWER_MS = 20 * 1000,
    KEEPALIVE_MAX_MS = 24 * 3600 * 1000,
    PROVEN_MS = 10 * 1000, /* a connection that lived so long, or answered, has proven itself */
};
static const char EXPORT_PATH[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

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
    uplink_release(uplink);
}

void uplink_link_close(struct link *link)
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

enum link_state uplink_link_state(const struct link *link)
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
void uplink_link_retire(struct link *link)
{
    struct uplink *uplink = link->uplink;
    link->retiring = true;
    if (uplink->current == link)
        uplink->current = NULL;
    if (!link->calls)
        uplink_link_close(link);
}

/* A call is over. */
void uplink_link_drop_call(struct link *link)
{
    if (--link->calls == 0 && link->retiring)
        uplink_link_close(link);
}

/* Once for an endpoint. */
static void tell_plaintext(const struct link *link)
{
    struct uplink *uplink = link->uplink;
    char text[UPLINK_TEXT_BYTES];
    if (link->settings.tls || link->route->transport != CONFIG_TLS_OR_PLAINTEXT || uplink->told_plaintext)
        return;
    uplink->told_plaintext = true;
    snprintf(text, sizeof(text),
             "%s does not speak TLS: spans go there in plaintext, as tracing.skip_verify allows; http:// in "
             "tracing.exporter_endpoint says that you mean it",
             link->route->authority);
    uplink->callbacks.on_notice_cb(uplink->user, UPLINK_IN_CLEAR, text);
}

/* The current link has lived long enough: others get their turn, such as servers that have joined meanwhile. */
static void on_old_age(uv_timer_t *timer)
{
    struct uplink *uplink = timer->data;
    if (uplink->current)
        uplink_move_on(uplink);
}

static void start_to_age(const struct link *link)
{
    struct uplink *uplink = link->uplink;
    const struct backoff age = {uplink->config->max_connection_age_ms, uplink->config->max_connection_age_ms, 1, 0.1};
    if (link == uplink->current && age.max_ms)
        uv_timer_start(&uplink->age_timer, on_old_age, backoff_ms(&age, 0, backoff_random(&uplink->random)), 0);
}

static void on_ready(void *user)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    bool fresh = !link->was_ready;
    if (fresh) {
        link->was_ready = true;
        link->ready_ms = uv_now(uplink->loop);
        start_to_age(link);
        tell_plaintext(link);
    }
    uplink->callbacks.on_ready_cb(uplink->user, fresh);
}

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    enum link_state state = uplink_link_state(link);
    if (!result->unprocessed && state != LINK_LOST) {
        link->answered = true;
        link->silent_calls = 0;
    }
    struct uplink_route *asked = uplink_route_ref(link->route);
    uplink_link_drop_call(link);
    uplink->asked = asked;
    uplink->callbacks.on_result_cb(uplink->user, call, result, state);
    uplink->asked = NULL;
    uplink_route_unref(asked);
}

/* The endpoint finds our PINGs too many: half as many on the next connection (gRFC A8). */
static void calm(struct uplink *uplink)
{
    char text[UPLINK_TEXT_BYTES];
    if (!uplink->keepalive_ms || uplink->keepalive_ms > KEEPALIVE_MAX_MS / 2)
        return;
    uplink->keepalive_ms *= 2;
    snprintf(text, sizeof(text),
             "%s wants fewer PINGs: one in %" PRIu64 " ms from now on; raise aistraced.keepalive, or leave it out",
             uplink->authority, uplink->keepalive_ms);
    uplink->callbacks.on_notice_cb(uplink->user, UPLINK_CALMED, text);
}

static void on_goaway(void *user)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    if (conn_pinged_too_often(link->conn))
        calm(uplink);
    if (uplink->current == link)
        uplink_schedule_connect(uplink, link_proven(link));
    uplink_link_retire(link);
}

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
    uplink_link_close(link);
    if (!current)
        return;
    if (changed) {
        uplink_connect(uplink);
        return;
    }
    uplink_schedule_connect(uplink, proven);
    /* A server may well close a connection that nobody uses. */
    if (!proven || uplink->wanted)
        uplink->callbacks.on_trouble_cb(uplink->user, why);
}

int uplink_link_open(struct uplink *uplink)
{
    static const struct conn_callbacks callbacks = {on_ready, on_result, on_down, on_goaway};
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return -ENOMEM;
    const struct uplink_route *route = link->route = uplink_route_ref(uplink->route);
    bool plaintext = !route->tls || (route->transport == CONFIG_TLS_OR_PLAINTEXT && uplink->plaintext);
    link->uplink = uplink;
    link->settings = (struct conn_settings){
        .target = {route->host, route->port, route->unix_socket, route->proxy.host ? &route->proxy : NULL},
        .book = &uplink->book,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .keepalive_ms = uplink->keepalive_ms,
        .keepalive_answer_ms = KEEPALIVE_ANSWER_MS,
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
