/* SPDX-License-Identifier: MIT */
#include "dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_BYTES = 128 };

/* Cannot be stopped while the resolver works: it outlives a stopped dial, alone. */
struct lookup {
    uv_getaddrinfo_t request;
    struct dial *dial; /* NULL: stopped meanwhile */
};

struct attempt {
    uv_tcp_t tcp; /* first: who takes the stream frees the attempt */
    uv_connect_t request;
    struct attempt *next;
    struct dial *dial; /* NULL: taken, or being closed */
};

struct dial {
    uv_loop_t *loop;
    const char *host;
    const char *port;
    dial_done_cb done_cb;
    void *user;
    struct lookup *lookup;
    bool localhost_tried; /* by its address, after its name */
    struct addrinfo *found;
    const struct addrinfo *addresses[DIAL_ADDRESSES_MAX]; /* in the order to be tried */
    size_t address_count;
    size_t tried;
    struct attempt *attempts; /* under way */
    uv_timer_t stagger;
    int error; /* of the last attempt that failed */
    char why[WHY_BYTES];
};

static void attempt_freed(uv_handle_t *handle)
{
    free(handle);
}

static void attempt_close(struct attempt *attempt)
{
    attempt->dial = NULL;
    uv_close((uv_handle_t *)&attempt->tcp, attempt_freed);
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

static void fail(struct dial *dial, const char *what, int error)
{
    snprintf(dial->why, sizeof dial->why, "%s: %s", what, uv_strerror(error));
    dial->done_cb(dial->user, NULL, dial->why);
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
        dial->error = status;
        attempt_close(attempt);
        try_next(dial);
        return;
    }
    end_attempts(dial);
    dial->tried = dial->address_count;
    dial->done_cb(dial->user, (uv_stream_t *)&attempt->tcp, NULL);
}

static int set_options(uv_tcp_t *tcp)
{
    int fd;
    unsigned user_timeout_ms = DIAL_USER_TIMEOUT_MS;
    int err = uv_fileno((uv_handle_t *)tcp, &fd);
    if (!err && setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms))
        err = -errno;
    return err ? err : uv_tcp_nodelay(tcp, 1);
}

static int attempt_start(struct dial *dial, const struct addrinfo *address)
{
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (!attempt)
        return UV_ENOMEM;
    int err = uv_tcp_init_ex(dial->loop, &attempt->tcp, (unsigned)address->ai_family);
    if (err) {
        free(attempt);
        return err;
    }
    attempt->request.data = attempt;
    err = set_options(&attempt->tcp);
    if (!err)
        err = uv_tcp_connect(&attempt->request, &attempt->tcp, address->ai_addr, on_connected);
    if (err) {
        attempt_close(attempt);
        return err;
    }
    attempt->dial = dial;
    attempt->next = dial->attempts;
    dial->attempts = attempt;
    return 0;
}

static void on_stagger(uv_timer_t *timer)
{
    try_next(timer->data);
}

/* Begins with one more address, or ends when there is none and nothing is under way. */
static void try_next(struct dial *dial)
{
    int err = -1;
    while (err && dial->tried < dial->address_count) {
        err = attempt_start(dial, dial->addresses[dial->tried++]);
        if (err)
            dial->error = err;
    }
    if (!dial->attempts)
        fail(dial, "cannot connect", dial->error);
    else if (dial->tried < dial->address_count)
        uv_timer_start(&dial->stagger, on_stagger, DIAL_STAGGER_MS, 0);
}

/* The first's family first, then in turn as long as there are both. */
static void put_in_order(struct dial *dial)
{
    const struct addrinfo *same = dial->found, *other = dial->found;
    int family = dial->found->ai_family;
    for (bool turn = true; (same || other) && dial->address_count < DIAL_ADDRESSES_MAX; turn = !turn) {
        const struct addrinfo **at = turn ? &same : &other;
        while (*at && ((*at)->ai_family == family) != turn)
            *at = (*at)->ai_next;
        if (!*at)
            continue;
        dial->addresses[dial->address_count++] = *at;
        *at = (*at)->ai_next;
    }
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
    dial->found = found;
    if (!status) {
        put_in_order(dial);
        try_next(dial);
        return;
    }
    /* A container may have no hosts file, but RFC 6761 says what this name means. */
    bool again = strcmp(dial->host, "localhost") == 0 && !dial->localhost_tried;
    dial->localhost_tried = again;
    if (!again || resolve(dial, "127.0.0.1"))
        fail(dial, "cannot resolve the host name", status);
}

static int resolve(struct dial *dial, const char *host)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (!lookup)
        return -ENOMEM;
    lookup->dial = dial;
    lookup->request.data = lookup;
    int err = uv_getaddrinfo(dial->loop, &lookup->request, on_resolved, host, dial->port, &hints);
    if (err)
        free(lookup);
    else
        dial->lookup = lookup;
    return err;
}

int dial_start(uv_loop_t *loop, const char *host, const char *port, dial_done_cb done_cb, void *user, struct dial **out)
{
    struct dial *dial = calloc(1, sizeof *dial);
    if (!dial)
        return -ENOMEM;
    dial->loop = loop;
    dial->host = host;
    dial->port = port;
    dial->done_cb = done_cb;
    dial->user = user;
    int err = resolve(dial, host);
    if (err) {
        free(dial);
        return err;
    }
    uv_timer_init(loop, &dial->stagger);
    dial->stagger.data = dial;
    *out = dial;
    return 0;
}

static void dial_freed(uv_handle_t *stagger)
{
    struct dial *dial = stagger->data;
    uv_freeaddrinfo(dial->found);
    free(dial);
}

void dial_stop(struct dial *dial)
{
    if (!dial)
        return;
    end_attempts(dial);
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
