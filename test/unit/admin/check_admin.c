/* SPDX-License-Identifier: MIT */
#include "admin/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin_http.h"
#include "base/buf.h"
#include "support/test.h"

enum { DEADLINE_MS = 20000 };

static uv_loop_t loop;
static struct log *sink;
static int told; /* the log's file */
static struct admin *admin;
static bool ready;
static bool no_metrics;
static size_t padding;

static void on_metrics(void *user, struct buf *out)
{
    ck_assert_ptr_eq(user, &loop);
    if (no_metrics)
        return;
    ck_assert_int_eq(buf_printf(out, "a_metric 1\n"), 0);
    ck_assert_int_eq(buf_reserve(out, padding), 0);
    memset(out->data + out->len, 'x', padding);
    out->len += padding;
}

static bool on_ready(void *user, struct buf *out)
{
    ck_assert_ptr_eq(user, &loop);
    ck_assert_int_eq(buf_printf(out, ready ? "ok; but" : "the endpoint is away"), 0);
    return ready;
}

static const struct admin_callbacks callbacks = {on_metrics, on_ready};

static void setup(void)
{
    ready = no_metrics = false;
    padding = 0;
    told = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_eq(log_new(told, &sink), 0);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(admin_start(&loop, "127.0.0.1:0", &callbacks, &loop, sink, &admin), 0);
}

static void on_closed(void *user)
{
    *(bool *)user = true;
}

static void teardown(void)
{
    bool closed = false;
    admin_close(admin, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(closed);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    log_free(sink);
    close(told);
}

/* As the log told it last. */
static unsigned port(void)
{
    char text[8192];
    ssize_t bytes = pread(told, text, sizeof(text) - 1, 0);
    ck_assert_int_gt(bytes, 0);
    text[bytes] = '\0';
    char *end = strstr(text, "/metrics\n");
    for (char *next; end && (next = strstr(end + 1, "/metrics\n"));)
        end = next;
    ck_assert_ptr_nonnull(end);
    *end = '\0';
    return (unsigned)strtoul(strrchr(text, ':') + 1, NULL, 10);
}

FIXTURE(setup, teardown);

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port()), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    usleep(500);
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Everything the peer sends until it closes; NUL-terminated. A reset ends it too. */
static char *receive_all(int fd)
{
    static char text[4 << 20];
    size_t bytes = 0;
    uint64_t until = now_ms() + DEADLINE_MS;
    for (;;) {
        ssize_t got = recv(fd, text + bytes, sizeof(text) - 1 - bytes, MSG_DONTWAIT);
        if (got > 0)
            bytes += (size_t)got;
        else if (got == 0 || (errno != EAGAIN && errno != EINTR))
            break;
        ck_assert_uint_lt(now_ms(), until);
        turn();
    }
    text[bytes] = '\0';
    return text;
}

static void say(int fd, const char *text, size_t bytes)
{
    ck_assert_int_eq(send(fd, text, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
}

static const char *exchange(const char *request)
{
    int fd = dial();
    say(fd, request, strlen(request));
    const char *answer = receive_all(fd);
    close(fd);
    return answer;
}

static void check_answer(const char *answer, const char *status, const char *body)
{
    char line[64];
    snprintf(line, sizeof(line), "HTTP/1.1 %s\r\n", status);
    ck_assert_msg(strncmp(answer, line, strlen(line)) == 0, "%s expected: %s", status, answer);
    const char *head_end = strstr(answer, "\r\n\r\n");
    const char *length = strstr(answer, "\r\nContent-Length: ");
    ck_assert(head_end && length && length < head_end);
    ck_assert_ptr_nonnull(strstr(answer, "\r\nConnection: close\r\n"));
    if (!body)
        return;
    ck_assert_str_eq(head_end + 4, body);
    ck_assert_uint_eq(strtoul(length + 18, NULL, 10), strlen(body));
}

TEST(metrics_are_served)
{
    const char *answer = exchange("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    check_answer(answer, "200 OK", "a_metric 1\n");
    ck_assert_ptr_nonnull(strstr(answer, "\r\nContent-Type: text/plain; version=0.0.4"));
    check_answer(exchange("GET /metrics?name=x HTTP/1.0\n\n"), "200 OK", "a_metric 1\n");
}

TEST(liveness_and_readiness)
{
    check_answer(exchange("GET /livez HTTP/1.1\r\n\r\n"), "200 OK", "ok\n");
    check_answer(exchange("GET /readyz HTTP/1.1\r\n\r\n"), "503 Service Unavailable", "the endpoint is away\n");
    ready = true;
    check_answer(exchange("GET /readyz HTTP/1.1\r\n\r\n"), "200 OK", "ok; but\n");
}

TEST(head_has_the_length_and_no_body)
{
    const char *answer = exchange("HEAD /metrics HTTP/1.1\r\n\r\n");
    check_answer(answer, "200 OK", NULL);
    ck_assert_ptr_nonnull(strstr(answer, "Content-Length: 11\r\n"));
    ck_assert_str_eq(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
}

static const struct {
    const char *request;
    const char *status;
} refused[] = {
    {"GET / HTTP/1.1\r\n\r\n", "404 Not Found"},
    {"GET /metrics/ HTTP/1.1\r\n\r\n", "404 Not Found"},
    {"GET http://x/metrics HTTP/1.1\r\n\r\n", "404 Not Found"},
    {"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "405 Method Not Allowed"},
    {"DELETE /nothing HTTP/1.1\r\n\r\n", "405 Method Not Allowed"},
    {"GET /metrics\r\n\r\n", "400 Bad Request"},
    {"GET /metrics HTTP/2.0\r\n\r\n", "400 Bad Request"},
    {"GET  /metrics HTTP/1.1\r\n\r\n", "400 Bad Request"},
    {"GET /metrics HTTP/1.1 x\r\n\r\n", "400 Bad Request"},
    {"get /metrics HTTP/1.1\r\n\r\n", "400 Bad Request"},
    {"\r\n\r\n", "400 Bad Request"},
    {"\x16\x03\x01\x02", "400 Bad Request"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400 Bad Request"},
};

LOOP_TEST(other_requests_get_their_status, COUNT(refused))
{
    const char *answer = exchange(refused[_i].request);
    check_answer(answer, refused[_i].status, NULL);
    ck_assert_int_eq(strstr(answer, "\r\nAllow: GET, HEAD\r\n") != NULL, strstr(answer, "405") != NULL);
}

TEST(an_oversize_request_is_refused)
{
    static char request[ADMIN_REQUEST_BYTES_MAX + 1000] = "GET /metrics HTTP/1.1\r\nX: ";
    size_t used = strlen(request);
    memset(request + used, 'x', sizeof(request) - used);
    int fd = dial();
    say(fd, request, sizeof(request));
    check_answer(receive_all(fd), "431 Request Header Fields Too Large", NULL);
    close(fd);
}

TEST(a_request_in_pieces_is_put_together)
{
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = dial();
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        say(fd, request + i, 1);
        turn();
    }
    check_answer(receive_all(fd), "200 OK", "ok\n");
    close(fd);
}

TEST(no_metrics_is_an_error_not_an_empty_page)
{
    no_metrics = true;
    check_answer(exchange("GET /metrics HTTP/1.1\r\n\r\n"), "500 Internal Server Error", "Internal Server Error\n");
}

TEST(a_large_answer_arrives_whole)
{
    padding = 3 << 20;
    const char *answer = exchange("GET /metrics HTTP/1.1\r\n\r\n");
    check_answer(answer, "200 OK", NULL);
    ck_assert_uint_eq(strlen(strstr(answer, "\r\n\r\n") + 4), 11 + padding);
}

TEST(a_slow_client_is_closed_at_the_deadline_and_others_are_served)
{
    int slow = dial();
    say(slow, "GET /livez HT", 13);
    uint64_t begin = now_ms();
    check_answer(exchange("GET /livez HTTP/1.1\r\n\r\n"), "200 OK", "ok\n");
    ck_assert_uint_lt(now_ms() - begin, ADMIN_DEADLINE_MS);
    ck_assert_str_eq(receive_all(slow), "");
    ck_assert_uint_ge(now_ms() - begin, ADMIN_DEADLINE_MS - 500);
    close(slow);
}

TEST(connections_beyond_the_limit_are_closed_and_room_comes_back)
{
    int fds[ADMIN_CONNECTIONS_MAX];
    for (int i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
        fds[i] = dial();
        say(fds[i], "G", 1);
        for (int j = 0; j < 5; j++)
            turn();
    }
    int extra = dial();
    say(extra, "GET /livez HTTP/1.1\r\n\r\n", 23);
    ck_assert_str_eq(receive_all(extra), "");
    close(extra);
    close(fds[0]);
    const char *answer = "";
    for (uint64_t until = now_ms() + 3000; !*answer && now_ms() < until;)
        answer = exchange("GET /livez HTTP/1.1\r\n\r\n");
    check_answer(answer, "200 OK", "ok\n");
    for (int i = 1; i < ADMIN_CONNECTIONS_MAX; i++)
        close(fds[i]);
}

TEST(closing_takes_open_connections_with_it)
{
    int fd = dial();
    say(fd, "GET /li", 7);
    for (int i = 0; i < 10; i++)
        turn();
    teardown();
    char byte;
    ck_assert_int_le(recv(fd, &byte, 1, 0), 0);
    close(fd);
    setup();
}

TEST(an_address_in_use_is_told)
{
    char listen[32];
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", port());
    struct admin *second = NULL;
    ck_assert_int_eq(admin_start(&loop, listen, &callbacks, &loop, sink, &second), -EADDRINUSE);
    ck_assert_ptr_null(second);
}

TEST(each_form_of_listen_is_understood)
{
    static const char *const forms[] = {":0", "localhost:0", "[::1]:0", "0.0.0.0:0"};
    static const char *const wrong[] = {"", "x", "1:2:3", "[::1]", "127.0.0.1:99999"};
    for (size_t i = 0; i < COUNT(forms); i++) {
        struct admin *other = NULL;
        int err = admin_start(&loop, forms[i], &callbacks, &loop, sink, &other);
        if (err == -EADDRNOTAVAIL && forms[i][0] == '[')
            continue; /* a machine without IPv6 */
        ck_assert_msg(!err, "%s: %s", forms[i], strerror(-err));
        ck_assert_uint_gt(port(), 0);
        admin_close(other, NULL, NULL);
    }
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct admin *other = NULL;
        ck_assert_int_eq(admin_start(&loop, wrong[i], &callbacks, &loop, sink, &other), -EINVAL);
    }
}

TEST(every_prefix_of_a_request_asks_for_more)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    struct admin_request parsed;
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        char *copy = malloc(i + 1); /* exactly as long, for the sanitizers */
        memcpy(copy, request, i);
        ck_assert_int_eq(admin_http_parse(copy, i, &parsed), 0);
        free(copy);
    }
    ck_assert_int_eq(admin_http_parse(request, sizeof(request) - 1, &parsed), 200);
}
