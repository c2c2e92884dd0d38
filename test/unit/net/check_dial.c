/* SPDX-License-Identifier: MIT
 *
 * From a name to a socket: the order of addresses, black holes, and when the resolver is asked.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/dial.h"
#include "support/directory.h"
#include "support/loop.h"
#include "support/test.h"

enum { PATIENCE_MS = 20000, FOUND_MAX = 24 };

/* The resolver, as libuv sees it. */
static struct {
    const char *const *answers; /* addresses, up to NULL; NULL: it fails */
    unsigned asked;
    struct sockaddr_storage addresses[FOUND_MAX];
    struct addrinfo list[FOUND_MAX];
} resolver;

static void set_address(struct addrinfo *info, struct sockaddr_storage *storage, const char *text, int port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;
    bool is_v6 = strchr(text, ':') != NULL;
    memset(storage, 0, sizeof(*storage));
    if (is_v6)
        uv_ip6_addr(text, port, v6);
    else
        uv_ip4_addr(text, port, v4);
    *info = (struct addrinfo){.ai_family = is_v6 ? AF_INET6 : AF_INET,
                              .ai_socktype = SOCK_STREAM,
                              .ai_addr = (struct sockaddr *)storage,
                              .ai_addrlen = is_v6 ? sizeof(*v6) : sizeof(*v4)};
}

__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out)
{
    (void)hints;
    (void)node;
    resolver.asked++;
    if (!resolver.answers)
        return EAI_AGAIN;
    for (size_t i = 0; resolver.answers[i]; i++) {
        set_address(&resolver.list[i], &resolver.addresses[i], resolver.answers[i], atoi(service));
        if (i)
            resolver.list[i - 1].ai_next = &resolver.list[i];
    }
    *out = &resolver.list[0];
    return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *list)
{
    (void)list;
}

static struct {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_pipe_t pipe_listener;
    char port[16];
    struct dial_target target;
    struct dial_book book;
    struct dial *dial;
    unsigned done;
    uv_stream_t *stream;
    char why[256];
} bench;

static void on_connection(uv_stream_t *listener, int status)
{
    (void)listener;
    (void)status; /* left in the queue: the kernel has accepted it */
}

static void begin(const char *const *answers)
{
    struct sockaddr_in address;
    int bytes = sizeof(address);
    ck_assert_int_eq(uv_loop_init(&bench.loop), 0);
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&bench.loop, &bench.listener);
    uv_tcp_bind(&bench.listener, (struct sockaddr *)&address, 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)&bench.listener, 8, on_connection), 0);
    uv_tcp_getsockname(&bench.listener, (struct sockaddr *)&address, &bytes);
    snprintf(bench.port, sizeof(bench.port), "%d", ntohs(address.sin_port));
    resolver.answers = answers;
    bench.target = (struct dial_target){.host = "collector", .port = bench.port};
}

static void on_done(void *user, uv_stream_t *stream, const char *why)
{
    ck_assert_ptr_eq(user, &bench);
    bench.done++;
    bench.stream = stream;
    snprintf(bench.why, sizeof(bench.why), "%s", why ? why : "");
}

static void stream_closed(uv_handle_t *stream)
{
    free(stream);
}

static void dial(void)
{
    ck_assert_int_eq(dial_start(&bench.loop, &bench.target, &bench.book, on_done, &bench, &bench.dial), 0);
}

static void hang_up(void)
{
    dial_stop(bench.dial);
    bench.dial = NULL;
    if (bench.stream)
        uv_close((uv_handle_t *)bench.stream, stream_closed);
    bench.stream = NULL;
}

static void end(void)
{
    hang_up();
    uv_close((uv_handle_t *)&bench.listener, NULL);
    uv_run(&bench.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&bench.loop), 0);
}

static void run_until_done(void)
{
    unsigned before = bench.done;
    LOOP_UNTIL(&bench.loop, bench.done > before);
}

static void expect_connected(void)
{
    dial();
    ck_assert_ptr_null(bench.stream);
    run_until_done();
    ck_assert_msg(bench.stream, "%s", bench.why);
}

static const char *const one[] = {"127.0.0.1", NULL};

TEST(a_refusal_leads_on_to_the_next_address_at_once)
{
    static const char *const answers[] = {"127.0.0.2", "127.0.0.3", "::1", "127.0.0.1", NULL};
    begin(answers);
    expect_connected();
    end();
}

/* A socket that listens and whose queue is full: the kernel drops connections, as a firewall would. */
static int dig_black_hole(const char *address, int port, int fillers[3])
{
    struct sockaddr_in at;
    uv_ip4_addr(address, port, &at);
    int hole = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(hole, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(hole, 0), 0);
    for (int i = 0; i < 3; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(fillers[i], (struct sockaddr *)&at, sizeof(at));
    }
    return hole;
}

TEST(a_black_hole_does_not_hold_up_the_next_address)
{
    static const char *const answers[] = {"127.0.0.2", "127.0.0.1", NULL};
    int fillers[3];
    begin(answers);
    int hole = dig_black_hole("127.0.0.2", atoi(bench.port), fillers);
    uint64_t began_ms = uv_now(&bench.loop);
    expect_connected();
    struct sockaddr_in peer;
    int bytes = sizeof(peer);
    ck_assert_int_eq(uv_tcp_getpeername((uv_tcp_t *)bench.stream, (struct sockaddr *)&peer, &bytes), 0);
    ck_assert_uint_eq(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
    ck_assert_uint_ge(uv_now(&bench.loop) - began_ms, DIAL_STAGGER_MS - 1);
    for (int i = 0; i < 3; i++)
        close(fillers[i]);
    close(hole);
    end();
}

TEST(ipv6_and_ipv4_take_turns)
{
    static const char *const answers[] = {"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2", NULL};
    static const char *const order[] = {"2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"};
    begin(answers);
    dial();
    LOOP_UNTIL(&bench.loop, bench.book.count > 0);
    ck_assert_uint_eq(bench.book.count, 5);
    for (size_t i = 0; i < 5; i++) {
        char text[INET6_ADDRSTRLEN];
        uv_ip_name((struct sockaddr *)&bench.book.addresses[i], text, sizeof(text));
        ck_assert_str_eq(text, order[i]);
    }
    end();
}

TEST(more_addresses_than_are_tried_are_no_trouble)
{
    static const char *answers[DIAL_ADDRESSES_MAX + 5];
    for (size_t i = 0; i < DIAL_ADDRESSES_MAX + 4; i++)
        answers[i] = "127.0.0.2";
    begin(answers);
    dial();
    run_until_done();
    ck_assert_ptr_null(bench.stream);
    ck_assert_str_eq(bench.why, "cannot connect: connection refused");
    ck_assert_uint_eq(bench.book.count, DIAL_ADDRESSES_MAX);
    end();
}

TEST(the_resolver_is_asked_again_after_its_time_and_not_before)
{
    begin(one);
    for (int times = 0; times < 3; times++) {
        expect_connected();
        hang_up();
    }
    ck_assert_uint_eq(resolver.asked, 1);
    bench.book.resolved_ms = uv_now(&bench.loop) - DIAL_RESOLVE_MS;
    expect_connected();
    ck_assert_uint_eq(resolver.asked, 2);
    end();
}

TEST(what_was_found_before_serves_when_the_resolver_fails)
{
    begin(one);
    expect_connected();
    hang_up();
    resolver.answers = NULL;
    bench.book.resolved_ms = uv_now(&bench.loop) - DIAL_RESOLVE_MS;
    expect_connected();
    ck_assert_uint_eq(resolver.asked, 2);
    end();
}

TEST(a_name_that_is_not_found_is_said)
{
    begin(NULL);
    dial();
    run_until_done();
    ck_assert_ptr_null(bench.stream);
    ck_assert_ptr_nonnull(strstr(bench.why, "cannot resolve the host name"));
    end();
}

TEST(a_connection_notices_a_dead_way)
{
    int fd;
    unsigned timeout_ms = 0;
    socklen_t bytes = sizeof(timeout_ms);
    begin(one);
    expect_connected();
    ck_assert_int_eq(uv_fileno((uv_handle_t *)bench.stream, &fd), 0);
    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &bytes), 0);
    ck_assert_uint_eq(timeout_ms, DIAL_USER_TIMEOUT_MS);
    end();
}

TEST(a_socket_on_this_host_is_dialed_by_its_path)
{
    char directory[TEST_DIRECTORY_BYTES], path[sizeof(directory) + 8];
    test_directory(directory, "dial");
    snprintf(path, sizeof(path), "%s/socket", directory);
    begin(NULL);
    bench.target = (struct dial_target){.host = path, .port = "", .unix_socket = true};
    dial();
    run_until_done();
    ck_assert_ptr_null(bench.stream);
    ck_assert_str_eq(bench.why, "cannot connect: no such file or directory");
    hang_up();
    uv_pipe_init(&bench.loop, &bench.pipe_listener, 0);
    ck_assert_int_eq(uv_pipe_bind(&bench.pipe_listener, path), 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)&bench.pipe_listener, 1, on_connection), 0);
    expect_connected();
    ck_assert_uint_eq(resolver.asked, 0);
    uv_close((uv_handle_t *)&bench.pipe_listener, NULL);
    end();
    unlink(path);
    rmdir(directory);
}

LOOP_TEST(stopping_is_possible_at_any_moment, 4)
{
    static const char *const answers[] = {"127.0.0.2", "127.0.0.1", NULL};
    begin(answers);
    dial();
    loop_turns(&bench.loop, (unsigned)_i);
    unsigned done = bench.done;
    end();
    ck_assert_uint_eq(bench.done, done);
}
