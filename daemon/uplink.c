/* SPDX-License-Identifier: MIT */
#include "uplink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "conn.h"
#include "exporter_token.h"

enum {
    CONNECT_TIMEOUT_MS = 20 * 1000,
    RECONNECT_INITIAL_MS = 1000,
    RECONNECT_MAX_MS = 120 * 1000,
    RECONNECT_WANTED_MAX_MS = 5 * 1000,
    SILENT_CALLS = 8,      /* that passed their deadlines in a row: the connection leads nowhere */
    PROVEN_MS = 10 * 1000, /* a connection that lived so long, or answered, has proven itself */
};
static const char EXPORT_PATH[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/* A connection, and what it borrows: copies, because it may outlive the configuration it was made by. */
struct link {
    struct link *next;
    struct uplink *uplink;
    struct conn *conn;
    struct conn_settings settings;
    char *host, *port, *authority, *token_header;
    struct h2_metadata token_field;
    char *token;
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
    struct link *current; /* for new calls; NULL: none, the timer makes the next */
    uv_timer_t connect_timer;
    unsigned failures; /* to connect, in a row */
    uint64_t random;
    bool wanted;
    bool closing;
    size_t handles; /* the timer, and links not yet freed */
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
    free(uplink);
    if (closed_cb)
        closed_cb(user);
}

static void link_free(struct link *link)
{
    exporter_token_free(link->token);
    free(link->token_header);
    free(link->authority);
    free(link->port);
    free(link->host);
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

static void on_ready(void *user)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    bool fresh = !link->was_ready;
    if (fresh) {
        link->was_ready = true;
        link->ready_ms = uv_now(uplink->loop);
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
    link_drop_call(link);
    uplink->callbacks.on_result_cb(uplink->user, call, result, state);
}

static void on_goaway(void *user)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    if (uplink->current == link)
        schedule_connect(uplink, link_proven(link));
    link_retire(link);
}

static void on_down(void *user, const char *why)
{
    struct link *link = user;
    struct uplink *uplink = link->uplink;
    bool current = uplink->current == link;
    bool proven = link_proven(link);
    link_close(link);
    if (!current)
        return;
    schedule_connect(uplink, proven);
    /* A server may well close a connection that nobody uses. */
    if (!proven || uplink->wanted)
        uplink->callbacks.on_trouble_cb(uplink->user, why);
}

static int use_token(struct link *link)
{
    const struct config *config = link->uplink->config;
    if (!config->token_header || !*config->token_header || !config->token_file || !*config->token_file)
        return 0;
    int err = exporter_token_read(config->token_file, &link->token);
    if (err)
        return err;
    link->token_header = strdup(config->token_header);
    if (!link->token_header)
        return -ENOMEM;
    link->token_field = (struct h2_metadata){link->token_header, link->token, true};
    link->settings.h2.metadata = &link->token_field;
    link->settings.h2.metadata_count = 1;
    return 0;
}

/* -> 0, or -errno and *what it is about */
static int link_open(struct uplink *uplink, const char **what)
{
    static const struct conn_callbacks callbacks = {on_ready, on_result, on_down, on_goaway};
    struct link *link = calloc(1, sizeof *link);
    *what = uplink->authority;
    if (!link)
        return -ENOMEM;
    link->uplink = uplink;
    link->host = strdup(uplink->config->host);
    link->port = strdup(uplink->config->port);
    link->authority = strdup(uplink->authority);
    link->settings = (struct conn_settings){
        .host = link->host,
        .port = link->port,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .h2 = {.scheme = "http", .authority = link->authority, .path = EXPORT_PATH},
    };
    int err = link->host && link->port && link->authority ? use_token(link) : -ENOMEM;
    if (err && err != -ENOMEM)
        *what = uplink->config->token_file;
    if (!err)
        err = conn_open(uplink->loop, &link->settings, &callbacks, link, &link->conn);
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

static void on_connect_timer(uv_timer_t *timer)
{
    struct uplink *uplink = timer->data;
    const char *what;
    int err = link_open(uplink, &what);
    if (!err)
        return;
    char why[512];
    snprintf(why, sizeof why, "%s: %s", what, strerror(-err));
    schedule_connect(uplink, false);
    uplink->callbacks.on_trouble_cb(uplink->user, why);
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
    uplink->handles = 1;
    uv_timer_init(loop, &uplink->connect_timer);
    uplink->connect_timer.data = uplink;
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
    if (uplink->current)
        link_retire(uplink->current);
    schedule_connect(uplink, true);
}

void uplink_want(struct uplink *uplink, bool wanted)
{
    uplink->wanted = wanted;
    if (wanted && uv_is_active((uv_handle_t *)&uplink->connect_timer) &&
        uv_timer_get_due_in(&uplink->connect_timer) > RECONNECT_WANTED_MAX_MS)
        uv_timer_start(&uplink->connect_timer, on_connect_timer, RECONNECT_WANTED_MAX_MS, 0);
}

bool uplink_refresh_token(struct uplink *uplink)
{
    struct link *link = uplink->current;
    char *token;
    if (!link || !link->token || exporter_token_read(uplink->config->token_file, &token))
        return false;
    bool changed = strcmp(token, link->token) != 0;
    exporter_token_free(token);
    if (changed) {
        schedule_connect(uplink, true);
        link_retire(link);
    }
    return changed;
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
}
