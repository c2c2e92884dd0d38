/* SPDX-License-Identifier: MIT */
#include "dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel.h"

enum { WHY_BYTES = 384 };

/* A lookup cannot be stopped while the resolver works: it may outlive its dial. */
struct lookup {
    uv_getaddrinfo_t request;
    struct dial *dial; /* NULL: the dial was stopped */
};

struct attempt {
    union { /* the first member: freeing the stream frees the attempt */
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    uv_connect_t request;
    struct attempt *next;
    struct dial *dial; /* NULL: the stream was handed over, or is being closed */
};

struct dial {
    uv_loop_t *loop;
    const struct dial_target *target;
    struct dial_book *book;
    dial_done_cb done_cb;
    void *user;
    struct lookup *lookup;
    bool localhost_tried; /* the name was not found, 127.0.0.1 was looked up in its place */
    size_t tried;
    struct attempt *attempts; /* under way */
    struct attempt *proxied;  /* connected to the proxy */
    struct tunnel *tunnel;    /* through proxied */
    uv_timer_t stagger;
    int err; /* of the last attempt that failed */
    char why[WHY_BYTES];
};

static void attempt_freed(uv_handle_t *handle)
{
    free(handle);
}

static void attempt_close(struct attempt *attempt)
{
    attempt->dial = NULL;
    uv_close(&attempt->handle, attempt_freed);
}

static void unlink_attempt(struct dial *dial, struct attempt *attempt)
{
    struct attempt **at = &dial->attempts;
    while (*at != attempt)
        at = &(*at)->next;
    *at = attempt->next;
    attempt->dial = NULL;
}

static void end_attempts(struct dial *dial)
{
    uv_timer_stop(&dial->stagger);
    for (struct attempt *attempt = dial->attempts, *next; attempt; attempt = next) {
        next = attempt->next;
        attempt_close(attempt);
    }
    dial->attempts = NULL;
}

static void fail(struct dial *dial, const char *what, int err)
{
    const struct proxy *proxy = dial->target->proxy;
    if (proxy)
        snprintf(dial->why, sizeof(dial->why), "proxy %.200s:%.5s (https_proxy): %s: %s", proxy->host, proxy->port,
                 what, uv_strerror(err));
    else
        snprintf(dial->why, sizeof(dial->why), "%s: %s", what, uv_strerror(err));
    dial->done_cb(dial->user, NULL, dial->why);
}

static void on_tunnel(void *user, const char *why)
{
    struct dial *dial = user;
    if (why) {
        dial->done_cb(dial->user, NULL, why);
        return;
    }
    struct attempt *attempt = dial->proxied;
    dial->proxied = NULL;
    tunnel_stop(dial->tunnel);
    dial->tunnel = NULL;
    dial->done_cb(dial->user, &attempt->stream, NULL);
}

static void dig_tunnel(struct dial *dial, struct attempt *attempt)
{
    const struct dial_target *target = dial->target;
    dial->proxied = attempt;
    int err = tunnel_start(&attempt->stream, target->proxy, target->host, target->port, on_tunnel, dial, &dial->tunnel);
    if (err)
        fail(dial, "cannot send the request", err);
}

static void try_next(struct dial *dial);

static void on_connected(uv_connect_t *request, int status)
{
    struct attempt *attempt = request->data;
    struct dial *dial = attempt->dial;
    if (!dial)
        return;
    unlink_attempt(dial, attempt);
    if (status) {
        dial->err = status;
        attempt_close(attempt);
        try_next(dial);
        return;
    }
    end_attempts(dial);
    if (dial->target->proxy)
        dig_tunnel(dial, attempt);
    else
        dial->done_cb(dial->user, &attempt->stream, NULL);
}

static int set_options(uv_tcp_t *tcp)
{
    int fd;
    unsigned user_timeout_ms = DIAL_USER_TIMEOUT_MS;
    int err = uv_fileno((uv_handle_t *)tcp, &fd);
    if (!err && setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof(user_timeout_ms)))
        err = -errno;
    return err ? err : uv_tcp_nodelay(tcp, 1);
}

static void attempt_begun(struct dial *dial, struct attempt *attempt)
{
    attempt->dial = dial;
    attempt->next = dial->attempts;
    dial->attempts = attempt;
}

static int try_path(struct dial *dial, struct attempt *attempt)
{
    int err = uv_pipe_init(dial->loop, &attempt->pipe, 0);
    if (err)
        return err;
    attempt_begun(dial, attempt);
    uv_pipe_connect(&attempt->request, &attempt->pipe, dial->target->host, on_connected);
    return 0;
}

static int try_address(struct dial *dial, struct attempt *attempt, const struct sockaddr *address)
{
    int err = uv_tcp_init_ex(dial->loop, &attempt->tcp, address->sa_family);
    if (err)
        return err;
    err = set_options(&attempt->tcp);
    if (!err)
        err = uv_tcp_connect(&attempt->request, &attempt->tcp, address, on_connected);
    if (err) {
        dial->err = err;
        attempt_close(attempt);
        return 0;
    }
    attempt_begun(dial, attempt);
    return 0;
}

static size_t target_count(const struct dial *dial)
{
    return dial->target->unix_socket ? 1 : dial->book->count;
}

/* Begins an attempt at the next address. It may fail at once: then dial->err says why. */
static void try_one(struct dial *dial)
{
    size_t number = dial->tried++;
    struct attempt *attempt = calloc(1, sizeof(*attempt));
    int err = UV_ENOMEM;
    if (attempt) {
        attempt->request.data = attempt;
        err = dial->target->unix_socket
                  ? try_path(dial, attempt)
                  : try_address(dial, attempt, (const struct sockaddr *)&dial->book->addresses[number]);
    }
    if (!err)
        return;
    free(attempt);
    dial->err = err;
}

static void on_stagger(uv_timer_t *timer)
{
    try_next(timer->data);
}

/* Begins one more attempt, or fails when no address is left and no attempt is under way. */
static void try_next(struct dial *dial)
{
    const struct attempt *before = dial->attempts;
    while (dial->attempts == before && dial->tried < target_count(dial))
        try_one(dial);
    if (!dial->attempts)
        fail(dial, "cannot connect", dial->err);
    else if (dial->tried < target_count(dial))
        uv_timer_start(&dial->stagger, on_stagger, DIAL_STAGGER_MS, 0);
}

/* The families in turn, as long as there are both: first that of the resolver's first address. */
static void note_addresses(struct dial_book *book, const struct addrinfo *found)
{
    const struct addrinfo *same = found, *other = found;
    int family = found->ai_family;
    book->count = 0;
    for (bool turn = true; (same || other) && book->count < DIAL_ADDRESSES_MAX; turn = !turn) {
        const struct addrinfo **at = turn ? &same : &other;
        while (*at && ((*at)->ai_family == family) != turn)
            *at = (*at)->ai_next;
        if (!*at)
            continue;
        memcpy(&book->addresses[book->count++], (*at)->ai_addr, (*at)->ai_addrlen);
        *at = (*at)->ai_next;
    }
}

static const char *name_of(const struct dial *dial)
{
    return dial->target->proxy ? dial->target->proxy->host : dial->target->host;
}

static const char *port_of(const struct dial *dial)
{
    return dial->target->proxy ? dial->target->proxy->port : dial->target->port;
}

static int resolve(struct dial *dial, const char *host);

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = request->data;
    struct dial *dial = lookup->dial;
    free(lookup);
    if (!dial) {
        uv_freeaddrinfo(found);
        return;
    }
    dial->lookup = NULL;
    if (!status) {
        note_addresses(dial->book, found);
        dial->book->resolved_ms = uv_now(dial->loop);
        uv_freeaddrinfo(found);
    }
    if (dial->book->count) {
        try_next(dial);
        return;
    }
    /* A container may have no hosts file; RFC 6761 says that the name localhost means this host. */
    bool again = strcmp(name_of(dial), "localhost") == 0 && !dial->localhost_tried;
    dial->localhost_tried = again;
    if (!again || resolve(dial, "127.0.0.1"))
        fail(dial, "cannot resolve the host name", status);
}

static int resolve(struct dial *dial, const char *host)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return -ENOMEM;
    lookup->dial = dial;
    lookup->request.data = lookup;
    int err = uv_getaddrinfo(dial->loop, &lookup->request, on_resolved, host, port_of(dial), &hints);
    if (err)
        free(lookup);
    else
        dial->lookup = lookup;
    return err;
}

static bool is_known(const struct dial *dial)
{
    const struct dial_book *book = dial->book;
    return dial->target->unix_socket || (book->count && uv_now(dial->loop) - book->resolved_ms < DIAL_RESOLVE_MS);
}

int dial_start(uv_loop_t *loop, const struct dial_target *target, struct dial_book *book, dial_done_cb done_cb,
               void *user, struct dial **out)
{
    struct dial *dial = calloc(1, sizeof(*dial));
    if (!dial)
        return -ENOMEM;
    dial->loop = loop;
    dial->target = target;
    dial->book = book;
    dial->done_cb = done_cb;
    dial->user = user;
    bool known = is_known(dial);
    int err = known ? 0 : resolve(dial, name_of(dial));
    if (err) {
        free(dial);
        return err;
    }
    uv_timer_init(loop, &dial->stagger);
    dial->stagger.data = dial;
    if (known)
        uv_timer_start(&dial->stagger, on_stagger, 0, 0);
    *out = dial;
    return 0;
}

static void dial_freed(uv_handle_t *stagger)
{
    free(stagger->data);
}

void dial_stop(struct dial *dial)
{
    if (!dial)
        return;
    end_attempts(dial);
    tunnel_stop(dial->tunnel);
    if (dial->proxied)
        attempt_close(dial->proxied);
    if (dial->lookup) {
        uv_cancel((uv_req_t *)&dial->lookup->request);
        dial->lookup->dial = NULL;
    }
    uv_close((uv_handle_t *)&dial->stagger, dial_freed);
}

bool dial_stays_on_host(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    switch (address->sa_family) {
    case AF_INET:
        return ntohl(v4->sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
    default:
        return address->sa_family == AF_UNIX;
    }
}
