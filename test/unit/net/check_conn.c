/* SPDX-License-Identifier: MIT
 *
 * One connection: the ways in which it fails to come about, or has to be given up, and closing at any moment.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/dial.h"
#include "support/certificates.h"
#include "support/directory.h"
#include "support/loop.h"
#include "support/script_server.h"
#include "support/test.h"
#include "support/tls_front.h"

enum { PATIENCE_MS = 20000 };

/* The resolver, as libuv sees it: of the two addresses of the name `two.addresses` nobody listens at the first one, and
 * there is no hosts file that knows `localhost`. */
__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out)
{
    (void)hints;
    if (strcmp(node, "localhost") == 0)
        return EAI_NONAME;
    static struct sockaddr_in addresses[2];
    static struct addrinfo list[2];
    for (size_t i = 0; i < 2; i++) {
        addresses[i].sin_family = AF_INET;
        addresses[i].sin_port = htons((uint16_t)atoi(service));
        addresses[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 - (uint32_t)i);
        list[i] = (struct addrinfo){.ai_family = AF_INET,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_addr = (struct sockaddr *)&addresses[i],
                                    .ai_addrlen = sizeof(addresses[i]),
                                    .ai_next = i == 0 ? &list[1] : NULL};
    }
    if (*node >= '0' && *node <= '9')
        inet_pton(AF_INET, node, &addresses[1].sin_addr);
    *out = strcmp(node, "two.addresses") == 0 ? &list[0] : &list[1];
    return 0;
}

__attribute__((visibility("default"))) void freeaddrinfo(struct addrinfo *list)
{
    (void)list;
}

static struct bench {
    uv_loop_t loop;
    struct conn *conn;
    struct conn_settings settings;
    struct dial_book book;
    struct script_server *server;
    struct script script;
    char port[16];
    unsigned ready, results, downs, goaways, requests;
    unsigned results_before_down;
    struct grpc_result result;
    enum conn_end end;
    struct tls_context *tls;
    SSL_CTX *server_tls;
    struct tls_front *front;
    char why[512];
    uint64_t connect_timeout_ms; /* 0: PATIENCE_MS */
    uint64_t keepalive_ms, keepalive_answer_ms;
    bool stay_on_host;
    bool close_on_result;
    bool closed;
} bench;

static void on_ready(void *user)
{
    ck_assert_ptr_eq(user, &bench);
    bench.ready++;
}

static void on_closed(void *user)
{
    ck_assert_ptr_eq(user, &bench);
    bench.closed = true;
}

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    ck_assert_ptr_eq(user, &bench);
    ck_assert_ptr_eq(call, &bench.result);
    bench.results++;
    bench.result = *result;
    if (bench.close_on_result)
        conn_close(bench.conn, on_closed, &bench);
}

static void on_down(void *user, enum conn_end end, const char *why)
{
    ck_assert_ptr_eq(user, &bench);
    bench.end = end;
    bench.results_before_down = bench.results;
    bench.downs++;
    snprintf(bench.why, sizeof(bench.why), "%s", why);
}

static void on_goaway(void *user)
{
    ck_assert_ptr_eq(user, &bench);
    bench.goaways++;
}

static void server_begin(const struct script_server_options *given)
{
    ck_assert_int_eq(uv_loop_init(&bench.loop), 0);
    if (given) {
        struct script_server_options options = *given;
        options.script = &bench.script;
        ck_assert_int_eq(script_server_start(&bench.loop, &options, &bench.server), 0);
        snprintf(bench.port, sizeof(bench.port), "%d", script_server_port(bench.server));
    }
}

static void conn_begin(const char *host)
{
    static const struct conn_callbacks callbacks = {on_ready, on_result, on_down, on_goaway};
    bench.settings = (struct conn_settings){
        .target = {.host = host, .port = bench.port},
        .book = &bench.book,
        .connect_timeout_ms = bench.connect_timeout_ms ? bench.connect_timeout_ms : PATIENCE_MS,
        .keepalive_ms = bench.keepalive_ms,
        .keepalive_answer_ms = bench.keepalive_answer_ms,
        .tls = bench.tls,
        .stay_on_host = bench.stay_on_host,
        .h2 = {.scheme = "http", .authority = "test", .path = "/test"},
    };
    ck_assert_int_eq(conn_open(&bench.loop, &bench.settings, &callbacks, &bench, &bench.conn), 0);
}

static void begin(const char *host, const struct script_server_options *given)
{
    server_begin(given);
    conn_begin(host);
}

static void end(void)
{
    if (!bench.closed)
        conn_close(bench.conn, on_closed, &bench);
    if (bench.server)
        script_server_stop(bench.server);
    if (bench.front)
        tls_front_stop(bench.front);
    ck_assert_int_eq(uv_run(&bench.loop, UV_RUN_DEFAULT), 0);
    ck_assert(bench.closed);
    ck_assert_int_eq(uv_loop_close(&bench.loop), 0);
    tls_context_unref(bench.tls);
    SSL_CTX_free(bench.server_tls);
}

static void run_until(const unsigned *count)
{
    LOOP_UNTIL_OR(&bench.loop, *count, "%s", bench.why);
}

static struct iovec HELLO = {"hello", 5};
static const struct h2_request HELLO_REQUEST = {.parts = &HELLO, .part_count = 1, .timeout_ms = 1000};

TEST(every_address_of_a_name_is_tried)
{
    begin("two.addresses", &(struct script_server_options){0});
    ck_assert(!conn_ready(bench.conn));
    run_until(&bench.ready);
    ck_assert(conn_ready(bench.conn));
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), 0);
    ck_assert_uint_eq(bench.results, 0);
    run_until(&bench.results);
    ck_assert_int_eq(bench.result.code, GRPC_OK);
    ck_assert_uint_eq(bench.downs, 0);
    end();
}

TEST(localhost_is_found_without_a_hosts_file)
{
    begin("localhost", &(struct script_server_options){0});
    run_until(&bench.ready);
    ck_assert_uint_eq(bench.downs, 0);
    end();
}

TEST(a_silent_peer_is_given_up_in_time)
{
    bench.connect_timeout_ms = 200;
    begin("127.0.0.1", &(struct script_server_options){.greeting = ""});
    run_until(&bench.downs);
    ck_assert_uint_eq(bench.ready, 0);
    ck_assert_ptr_nonnull(strstr(bench.why, "allowed no call in time"));
    ck_assert_ptr_nonnull(strstr(bench.why, "exporter_endpoint"));
    ck_assert(conn_down(bench.conn));
    end();
}

static void on_request(void *user, const struct script_request *request)
{
    (void)request;
    ++*(unsigned *)user;
}

TEST(a_peer_that_allows_no_more_calls_is_given_up_when_the_last_is_over)
{
    static const struct script_step steps[] = {{.delay_ms = 300}};
    bench.connect_timeout_ms = 200;
    bench.script = (struct script){.steps = steps, .count = 1};
    begin("127.0.0.1", &(struct script_server_options){.on_act_cb = on_request, .user = &bench.requests});
    run_until(&bench.ready);
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), 0);
    run_until(&bench.requests);
    script_server_limit(bench.server, &(struct script_limits){.max_concurrent_streams = SCRIPT_NO_STREAMS});
    run_until(&bench.results);
    ck_assert_int_eq(bench.result.code, GRPC_OK);
    ck_assert_uint_eq(bench.downs, 0);
    run_until(&bench.downs);
    ck_assert_ptr_nonnull(strstr(bench.why, "allowed no call in time"));
    end();
}

TEST(a_flood_of_frames_ends_the_connection)
{
    enum { PINGS = 20000, PING_BYTES = 17 };
    static char flood[9 + PINGS * PING_BYTES] = "\0\0\0\4\0\0\0\0\0";
    for (size_t i = 0; i < PINGS; i++)
        memcpy(flood + 9 + i * PING_BYTES, "\0\0\x08\6\0\0\0\0\0........", PING_BYTES);
    begin("127.0.0.1", &(struct script_server_options){.greeting = flood, .greeting_bytes = sizeof(flood)});
    run_until(&bench.downs);
    ck_assert_ptr_nonnull(strstr(bench.why, "floods"));
    end();
}

TEST(a_refused_connection_is_said)
{
    begin("127.0.0.1", &(struct script_server_options){0});
    script_server_stop(bench.server);
    bench.server = NULL;
    run_until(&bench.downs);
    ck_assert_str_eq(bench.why, "test: cannot connect: connection refused");
    end();
}

TEST(a_lost_connection_ends_its_calls_first)
{
    static const struct script_step close_it = {.kind = SCRIPT_CLOSE};
    bench.script = (struct script){.steps = &close_it, .count = 1};
    begin("127.0.0.1", &(struct script_server_options){0});
    run_until(&bench.ready);
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), 0);
    run_until(&bench.downs);
    ck_assert_uint_eq(bench.results_before_down, 1);
    ck_assert_uint_eq(bench.results, 1);
    ck_assert_int_eq(bench.result.code, GRPC_UNAVAILABLE);
    ck_assert(!bench.result.unprocessed);
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), -EAGAIN);
    end();
}

LOOP_TEST(closing_is_possible_at_any_moment, 4)
{
    static const struct script_step hold = {.kind = SCRIPT_HOLD};
    static uint8_t large[8 << 20];
    static struct iovec much = {large, sizeof(large)};
    bench.script = (struct script){.steps = &hold, .count = _i == 3};
    begin("127.0.0.1", &(struct script_server_options){.limits.initial_window_bytes = 1 << 30});
    switch (_i) {
    case 0: /* while resolving */
        break;
    case 1: /* while connecting */
        loop_turns(&bench.loop, 2);
        break;
    case 2: /* within a callback */
        bench.close_on_result = true;
        run_until(&bench.ready);
        ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), 0);
        run_until(&bench.results);
        break;
    default: /* with a write under way */
        run_until(&bench.ready);
        ck_assert_int_eq(conn_submit(bench.conn, &bench.result,
                                     &(struct h2_request){.parts = &much, .part_count = 1, .timeout_ms = 1000}),
                         0);
        uv_run(&bench.loop, UV_RUN_NOWAIT);
        break;
    }
    unsigned results = bench.results;
    end();
    ck_assert_uint_eq(bench.results, results);
    ck_assert_uint_eq(bench.downs, 0);
}

/* ---- keepalive ---- */

TEST(a_peer_that_answers_no_ping_is_given_up)
{
    static const char settings[] = "\0\0\0\4\0\0\0\0";
    bench.keepalive_ms = bench.keepalive_answer_ms = 50;
    begin("127.0.0.1", &(struct script_server_options){.greeting = settings, .greeting_bytes = sizeof(settings)});
    run_until(&bench.ready);
    run_until(&bench.downs);
    ck_assert_ptr_nonnull(strstr(bench.why, "no answer to a PING"));
    ck_assert_ptr_nonnull(strstr(bench.why, "aistraced.keepalive"));
    end();
}

LOOP_TEST(a_server_that_has_had_too_many_pings_is_heard, 2)
{
    static const char words[2][40] = {"\0\0\0\4\0\0\0\0\0" /* SETTINGS, then GOAWAY, ENHANCE_YOUR_CALM */
                                      "\0\0\x16\7\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo_many_pings",
                                      "\0\0\0\4\0\0\0\0\0"
                                      "\0\0\x16\7\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo_many_pongs"};
    begin("127.0.0.1", &(struct script_server_options){.greeting = words[_i], .greeting_bytes = sizeof(words[0])});
    run_until(&bench.goaways);
    ck_assert_int_eq(conn_pinged_too_often(bench.conn), _i == 0);
    end();
}

/* ---- TLS ---- */

/* TLS on both sides: the front's certificate is for alt_names, and the client trusts only who signed it. */
static void tls_begin(const char *alt_names, bool verify)
{
    char directory[TEST_DIRECTORY_BYTES], path[sizeof(directory) + 8];
    struct certificate root, leaf;
    struct buf why = {0};
    test_directory(directory, "conn");
    snprintf(path, sizeof(path), "%s/ca.pem", directory);
    certificate_make(&(struct certificate_wish){.common_name = "root", .authority = true}, NULL, &root);
    certificate_make(&(struct certificate_wish){.alt_names = alt_names}, &root, &leaf);
    certificate_write_chain(path, (const struct certificate *[]){&root, NULL});
    ck_assert_int_eq(tls_context_new(&(struct tls_settings){.verify = verify, .ca_file = path}, &bench.tls, &why), 0);
    unlink(path);
    bench.server_tls = certificate_server(&leaf, NULL);
    certificate_done(&root);
    certificate_done(&leaf);
}

static void front_begin(void)
{
    ck_assert_int_eq(tls_front_start(&bench.loop, bench.server_tls, 0, script_server_port(bench.server), &bench.front),
                     0);
    snprintf(bench.port, sizeof(bench.port), "%d", tls_front_port(bench.front));
}

static void expect_an_answer(void)
{
    run_until(&bench.ready);
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result, &HELLO_REQUEST), 0);
    run_until(&bench.results);
    ck_assert_int_eq(bench.result.code, GRPC_OK);
    ck_assert_uint_eq(bench.downs, 0);
}

/* alt_names: of the server's certificate */
static void expect_an_answer_through_tls(const char *alt_names, bool verify)
{
    tls_begin(alt_names, verify);
    server_begin(&(struct script_server_options){0});
    front_begin();
    conn_begin("127.0.0.1");
    expect_an_answer();
    ck_assert_uint_eq(tls_front_shaken(bench.front), 1);
    end();
}

TEST(a_verified_server_gets_calls_through_tls)
{
    expect_an_answer_through_tls("IP:127.0.0.1", true);
}

static void keep_body(void *user, const struct script_request *request)
{
    struct buf *body = user;
    ck_assert_int_eq(buf_append(body, request->body.data, request->body.len), 0);
}

/* More than the socket takes at once, in parts of all lengths. */
TEST(a_large_call_arrives_as_it_was)
{
    enum { BYTES = 8 << 20, PARTS = 500, PREFIX_BYTES = 5 };
    static uint8_t large[BYTES];
    static struct iovec parts[PARTS];
    struct buf body = {0};
    size_t at = 0;
    for (size_t i = 0; i < BYTES; i++)
        large[i] = (uint8_t)(i ^ i >> 8 ^ i >> 16);
    for (size_t i = 0; i < PARTS; i++) {
        size_t bytes = i == PARTS - 1 ? BYTES - at : i * 40 % 30000;
        parts[i] = (struct iovec){large + at, bytes};
        at += bytes;
    }
    begin("127.0.0.1", &(struct script_server_options){
                           .limits.initial_window_bytes = 1 << 30, .on_act_cb = keep_body, .user = &body});
    run_until(&bench.ready);
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result,
                                 &(struct h2_request){.parts = parts, .part_count = PARTS, .timeout_ms = 10000}),
                     0);
    run_until(&bench.results);
    ck_assert_int_eq(bench.result.code, GRPC_OK);
    ck_assert_uint_eq(body.len, PREFIX_BYTES + BYTES);
    ck_assert_int_eq(memcmp(body.data + PREFIX_BYTES, large, BYTES), 0);
    end();
    buf_done(&body);
}

TEST(a_large_call_goes_through_tls)
{
    static uint8_t large[8 << 20];
    static struct iovec much = {large, sizeof(large)};
    tls_begin("IP:127.0.0.1", true);
    server_begin(&(struct script_server_options){.limits.initial_window_bytes = 1 << 30});
    front_begin();
    conn_begin("127.0.0.1");
    run_until(&bench.ready);
    ck_assert_int_eq(conn_submit(bench.conn, &bench.result,
                                 &(struct h2_request){.parts = &much, .part_count = 1, .timeout_ms = 10000}),
                     0);
    run_until(&bench.results);
    ck_assert_int_eq(bench.result.code, GRPC_OK);
    ck_assert_uint_ge(tls_front_bytes(bench.front), sizeof(large));
    end();
}

TEST(an_idle_connection_is_asked_again_and_again)
{
    enum { PING_BYTES = 17, PINGS = 4 };
    bench.keepalive_ms = 10;
    bench.keepalive_answer_ms = PATIENCE_MS;
    tls_begin("IP:127.0.0.1", true);
    server_begin(&(struct script_server_options){0});
    front_begin();
    conn_begin("127.0.0.1");
    expect_an_answer();
    size_t before = tls_front_bytes(bench.front);
    LOOP_UNTIL(&bench.loop, tls_front_bytes(bench.front) >= before + PINGS * PING_BYTES);
    ck_assert_uint_eq(bench.downs, 0);
    end();
}

TEST(a_server_that_does_not_verify_gets_no_byte)
{
    tls_begin("IP:127.0.0.2", true);
    server_begin(&(struct script_server_options){0});
    front_begin();
    conn_begin("127.0.0.1");
    run_until(&bench.downs);
    ck_assert_int_eq(bench.end, CONN_BROKEN);
    ck_assert_ptr_nonnull(strstr(bench.why, "not for 127.0.0.1"));
    ck_assert_uint_eq(bench.ready, 0);
    ck_assert_uint_eq(tls_front_bytes(bench.front), 0);
    end();
}

TEST(without_verification_any_certificate_will_do)
{
    expect_an_answer_through_tls("IP:127.0.0.2", false);
}

TEST(a_server_in_plaintext_is_told_from_its_settings)
{
    tls_begin("IP:127.0.0.1", true);
    begin("127.0.0.1", &(struct script_server_options){0});
    run_until(&bench.downs);
    ck_assert_int_eq(bench.end, CONN_NOT_TLS);
    ck_assert_ptr_nonnull(strstr(bench.why, "plaintext HTTP/2"));
    end();
}

LOOP_TEST(a_peer_that_is_neither_is_broken, 3)
{
    static const struct {
        const char *greeting;
        const char *says;
    } table[] = {{"", "did not answer in TLS"}, {"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1"}, {"SSH-2.0\r\n", "TLS"}};
    bench.connect_timeout_ms = _i == 0 ? 200 : 0;
    tls_begin("IP:127.0.0.1", false);
    begin("127.0.0.1", &(struct script_server_options){.greeting = table[_i].greeting,
                                                       .greeting_bytes = strlen(table[_i].greeting)});
    run_until(&bench.downs);
    ck_assert_int_eq(bench.end, CONN_BROKEN);
    ck_assert_msg(strstr(bench.why, table[_i].says), "%s", bench.why);
    end();
}

TEST(a_server_with_tls_is_named_when_we_have_none)
{
    tls_begin("IP:127.0.0.1", true);
    server_begin(&(struct script_server_options){0});
    front_begin();
    tls_context_unref(bench.tls);
    bench.tls = NULL;
    conn_begin("127.0.0.1");
    run_until(&bench.downs);
    ck_assert_ptr_nonnull(strstr(bench.why, "https://"));
    ck_assert_uint_eq(tls_front_bytes(bench.front), 0);
    end();
}

/* A server that reads what it gets, and closes the connection without having sent a byte. */
static struct {
    uv_tcp_t listener, peer;
    char data[4096];
    size_t bytes;
    unsigned closed;
} mute;

static void mute_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)handle;
    (void)suggested;
    *out = uv_buf_init(mute.data, sizeof(mute.data));
}

static void mute_closed(uv_handle_t *handle)
{
    (void)handle;
    mute.closed++;
}

static void mute_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    (void)buffer;
    mute.bytes += bytes > 0 ? (size_t)bytes : 0;
    if (!uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, mute_closed);
}

static void mute_accept(uv_stream_t *listener, int status)
{
    ck_assert_int_eq(status, 0);
    uv_tcp_init(&bench.loop, &mute.peer);
    ck_assert_int_eq(uv_accept(listener, (uv_stream_t *)&mute.peer), 0);
    uv_read_start((uv_stream_t *)&mute.peer, mute_alloc, mute_read);
}

static void mute_begin(const char *host)
{
    struct sockaddr_in address;
    int bytes = sizeof(address);
    server_begin(NULL);
    uv_ip4_addr(host, 0, &address);
    uv_tcp_init(&bench.loop, &mute.listener);
    ck_assert_int_eq(uv_tcp_bind(&mute.listener, (struct sockaddr *)&address, 0), 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)&mute.listener, 4, mute_accept), 0);
    uv_tcp_getsockname(&mute.listener, (struct sockaddr *)&address, &bytes);
    snprintf(bench.port, sizeof(bench.port), "%d", ntohs(address.sin_port));
}

TEST(a_server_that_closes_without_a_word_may_be_plaintext)
{
    tls_begin("IP:127.0.0.1", false);
    mute_begin("127.0.0.1");
    conn_begin("127.0.0.1");
    run_until(&bench.downs);
    ck_assert_int_eq(bench.end, CONN_NOT_TLS);
    ck_assert_ptr_nonnull(strstr(bench.why, "http://"));
    ck_assert_uint_gt(mute.bytes, 0);
    uv_close((uv_handle_t *)&mute.listener, NULL);
    end();
}

/* An address of this machine that other machines can reach. */
static bool find_outside_address(char host[INET_ADDRSTRLEN])
{
    uv_interface_address_t *all;
    int count;
    bool found = false;
    ck_assert_int_eq(uv_interface_addresses(&all, &count), 0);
    for (int i = 0; i < count && !found; i++) {
        found = !all[i].is_internal && all[i].address.address4.sin_family == AF_INET;
        if (found)
            uv_ip4_name(&all[i].address.address4, host, INET_ADDRSTRLEN);
    }
    uv_free_interface_addresses(all, count);
    return found;
}

TEST(what_has_to_stay_on_the_host_does_not_leave_it_in_plaintext)
{
    char host[INET_ADDRSTRLEN];
    NEEDS(find_outside_address(host), "an address but loopback");
    bench.stay_on_host = true;
    mute_begin(host);
    conn_begin(host);
    run_until(&bench.downs);
    ck_assert_ptr_nonnull(strstr(bench.why, "loopback"));
    ck_assert_ptr_nonnull(strstr(bench.why, "http://"));
    conn_close(bench.conn, on_closed, &bench);
    run_until(&mute.closed);
    ck_assert_uint_eq(mute.bytes, 0);
    uv_close((uv_handle_t *)&mute.listener, NULL);
    end();
}

TEST(what_has_to_stay_on_the_host_goes_to_loopback)
{
    bench.stay_on_host = true;
    begin("127.0.0.1", &(struct script_server_options){0});
    expect_an_answer();
    end();
}

TEST(loopback_is_told_from_the_address)
{
    static const struct {
        const char *text;
        bool stays;
    } table[] = {{"127.0.0.1", true},
                 {"127.1.2.3", true},
                 {"128.0.0.1", false},
                 {"10.0.0.1", false},
                 {"0.0.0.0", false},
                 {"::1", true},
                 {"::", false},
                 {"fe80::1", false},
                 {"::ffff:127.0.0.1", true},
                 {"::ffff:192.0.2.1", false},
                 {"2001:db8::127", false}};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    for (size_t i = 0; i < COUNT(table); i++) {
        bool colon = strchr(table[i].text, ':') != NULL;
        ck_assert_int_eq(
            inet_pton(colon ? AF_INET6 : AF_INET, table[i].text, colon ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr),
            1);
        ck_assert_int_eq(dial_stays_on_host(colon ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4), table[i].stays);
    }
    ck_assert(dial_stays_on_host(&(struct sockaddr){.sa_family = AF_UNIX}));
    ck_assert(!dial_stays_on_host(&(struct sockaddr){.sa_family = AF_UNSPEC}));
}
