/* SPDX-License-Identifier: MIT
 *
 * The way to the endpoint: which transport it takes, and what becomes of connections when certificates and token
 * change.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/uplink.h"
#include "grpc/h2.h"
#include "support/certificates.h"
#include "support/directory.h"
#include "support/loop.h"
#include "support/script_server.h"
#include "support/test.h"
#include "support/tls_front.h"

enum { PATIENCE_MS = 20000, CALLS_MAX = 16 };

static struct {
    uv_loop_t loop;
    struct config config;
    struct uplink *uplink;
    struct script script;
    struct script_server *server;
    struct tls_front *front;
    SSL_CTX *server_tls;
    char port[16];
    unsigned fresh, results, notices[8], troubles;
    int codes[CALLS_MAX];
    char notice[512], trouble[512];
    char headers[CALLS_MAX][1024]; /* of the requests, as they came in */
    unsigned requests;
    bool refresh_on_result;
    bool refreshed[CALLS_MAX];
    bool closed;
    char directory[TEST_DIRECTORY_BYTES];
    char token_file[128], ca_file[128], cert_file[128], key_file[128];
    struct certificate root;
} bench;

static void on_ready(void *user, bool fresh)
{
    ck_assert_ptr_eq(user, &bench);
    bench.fresh += fresh;
}

static void on_result(void *user, void *call, const struct grpc_result *result, enum link_state state)
{
    ck_assert_ptr_eq(user, &bench);
    ck_assert_int_ne(state, LINK_LOST);
    int *code = call;
    *code = result->code;
    if (bench.refresh_on_result)
        bench.refreshed[code - bench.codes] = uplink_refresh_token(bench.uplink);
    bench.results++;
}

static void on_trouble(void *user, const char *why)
{
    ck_assert_ptr_eq(user, &bench);
    bench.troubles++;
    snprintf(bench.trouble, sizeof(bench.trouble), "%s", why);
}

static void on_notice(void *user, enum uplink_notice notice, const char *text)
{
    ck_assert_ptr_eq(user, &bench);
    bench.notices[notice]++;
    snprintf(bench.notice, sizeof(bench.notice), "%s", text);
}

static void on_act(void *user, const struct script_request *request)
{
    ck_assert_ptr_eq(user, &bench);
    ck_assert_uint_lt(bench.requests, CALLS_MAX);
    snprintf(bench.headers[bench.requests++], sizeof(bench.headers[0]), "%.*s", (int)request->headers.len,
             (const char *)request->headers.data);
}

/* ---- files ---- */

static void write_file(const char *path, const char *format, ...)
{
    va_list args;
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    fclose(file);
    chmod(path, 0600);
}

static void write_client_certificate(void)
{
    struct certificate client;
    certificate_make(&(struct certificate_wish){.common_name = "client", .usage = "clientAuth"}, &bench.root, &client);
    certificate_write_chain(bench.cert_file, (const struct certificate *[]){&client, NULL});
    certificate_write_key(bench.key_file, &client);
    certificate_done(&client);
}

static void name_files(void)
{
    test_directory(bench.directory, "uplink");
    snprintf(bench.token_file, sizeof(bench.token_file), "%s/token", bench.directory);
    snprintf(bench.ca_file, sizeof(bench.ca_file), "%s/ca.pem", bench.directory);
    snprintf(bench.cert_file, sizeof(bench.cert_file), "%s/cert.pem", bench.directory);
    snprintf(bench.key_file, sizeof(bench.key_file), "%s/key.pem", bench.directory);
}

static void remove_files(void)
{
    test_directory_remove(bench.directory);
}

/* ---- the course of a test ---- */

static void server_begin(const struct script_step *steps, size_t count)
{
    bench.script = (struct script){.steps = steps, .count = count};
    const struct script_server_options options = {
        .script = &bench.script, .on_act_cb = on_act, .user = &bench, .port = atoi(bench.port)};
    ck_assert_int_eq(script_server_start(&bench.loop, &options, &bench.server), 0);
    snprintf(bench.port, sizeof(bench.port), "%d", script_server_port(bench.server));
}

/* TLS in front of the server, on `port`. */
static void front_begin(int port, bool mutual)
{
    struct certificate leaf;
    certificate_make(&(struct certificate_wish){.common_name = "root", .authority = true}, NULL, &bench.root);
    certificate_make(&(struct certificate_wish){.alt_names = "IP:127.0.0.1"}, &bench.root, &leaf);
    certificate_write_chain(bench.ca_file, (const struct certificate *[]){&bench.root, NULL});
    bench.server_tls = certificate_server(&leaf, NULL);
    if (mutual)
        certificate_demand_client(bench.server_tls, &bench.root);
    certificate_done(&leaf);
    ck_assert_int_eq(
        tls_front_start(&bench.loop, bench.server_tls, port, script_server_port(bench.server), &bench.front), 0);
    snprintf(bench.port, sizeof(bench.port), "%d", tls_front_port(bench.front));
}

static void begin(enum config_transport transport)
{
    ck_assert_int_eq(uv_loop_init(&bench.loop), 0);
    name_files();
    bench.config = (struct config){.host = "127.0.0.1",
                                   .port = bench.port,
                                   .transport = transport,
                                   .skip_verify = transport == CONFIG_TLS_OR_PLAINTEXT};
}

static void use_token(const char *token)
{
    write_file(bench.token_file, "%s", token);
    bench.config.token_header = "x-token";
    bench.config.token_file = bench.token_file;
}

static void uplink_begin(void)
{
    static const struct uplink_callbacks callbacks = {on_ready, on_result, on_trouble, on_notice};
    ck_assert_int_eq(uplink_start(&bench.loop, &bench.config, "endpoint:1", &callbacks, &bench, &bench.uplink), 0);
    uplink_want(bench.uplink, true);
}

static void on_closed(void *user)
{
    ck_assert_ptr_eq(user, &bench);
    bench.closed = true;
}

static void end(void)
{
    uplink_close(bench.uplink, on_closed, &bench);
    if (bench.server)
        script_server_stop(bench.server);
    if (bench.front)
        tls_front_stop(bench.front);
    ck_assert_int_eq(uv_run(&bench.loop, UV_RUN_DEFAULT), 0);
    ck_assert(bench.closed);
    ck_assert_int_eq(uv_loop_close(&bench.loop), 0);
    SSL_CTX_free(bench.server_tls);
    certificate_done(&bench.root);
    remove_files();
}

static void run_until(const unsigned *figure, unsigned wanted)
{
    LOOP_UNTIL_OR(&bench.loop, *figure >= wanted, "trouble: %s; notice: %s", bench.trouble, bench.notice);
}

static struct iovec HELLO = {"hello", 5};

/* Call number `call`, from 0; they are made in order. */
static void submit(unsigned call)
{
    struct link *link;
    const struct h2_request request = {.parts = &HELLO, .part_count = 1, .timeout_ms = 60000};
    ck_assert_int_eq(uplink_submit(bench.uplink, &bench.codes[call], &request, &link), 0);
}

static void expect_an_answer(unsigned call)
{
    submit(call);
    run_until(&bench.results, call + 1);
    ck_assert_int_eq(bench.codes[call], GRPC_OK);
}

static void expect_header(unsigned request, const char *line)
{
    ck_assert_uint_lt(request, bench.requests);
    ck_assert_msg(strstr(bench.headers[request], line), "%s", bench.headers[request]);
}

/* ---- the transport ---- */

static const struct script_step lose_the_second[] = {{.kind = SCRIPT_ANSWER}, {.kind = SCRIPT_GOAWAY_AFTER}};

TEST(an_endpoint_in_plaintext_is_found_and_remembered)
{
    begin(CONFIG_TLS_OR_PLAINTEXT);
    use_token("t0ken");
    server_begin(lose_the_second, 2);
    uplink_begin();
    run_until(&bench.fresh, 1);
    ck_assert_uint_eq(script_server_accepted(bench.server), 2);
    expect_an_answer(0);
    expect_header(0, "x-token: t0ken (never indexed)");
    expect_header(0, ":scheme: http\n");
    expect_an_answer(1);
    run_until(&bench.fresh, 2);
    ck_assert_uint_eq(script_server_accepted(bench.server), 3);
    expect_an_answer(2);
    ck_assert_uint_eq(bench.notices[UPLINK_IN_CLEAR], 1);
    ck_assert_ptr_nonnull(strstr(bench.notice, "http://"));
    ck_assert_uint_eq(bench.troubles, 0);
    end();
}

TEST(an_endpoint_that_learns_tls_is_found_again)
{
    begin(CONFIG_TLS_OR_PLAINTEXT);
    server_begin(NULL, 0);
    uplink_begin();
    run_until(&bench.fresh, 1);
    expect_an_answer(0);
    int port = script_server_port(bench.server);
    script_server_stop(bench.server);
    run_until(&bench.troubles, 1);
    bench.port[0] = '\0';
    server_begin(NULL, 0);
    front_begin(port, false);
    run_until(&bench.fresh, 2);
    expect_an_answer(1);
    expect_header(1, ":scheme: https\n");
    ck_assert_uint_ge(tls_front_shaken(bench.front), 1);
    end();
}

TEST(tls_without_verification_is_preferred_to_plaintext)
{
    begin(CONFIG_TLS_OR_PLAINTEXT);
    server_begin(NULL, 0);
    front_begin(0, false);
    uplink_begin();
    run_until(&bench.fresh, 1);
    expect_an_answer(0);
    ck_assert_uint_eq(tls_front_shaken(bench.front), 1);
    ck_assert_uint_eq(bench.notices[UPLINK_IN_CLEAR], 0);
    end();
}

TEST(verified_tls_never_falls_back)
{
    begin(CONFIG_TLS);
    server_begin(NULL, 0);
    uplink_begin();
    run_until(&bench.troubles, 2);
    ck_assert_uint_eq(bench.fresh, 0);
    ck_assert_uint_eq(bench.requests, 0);
    ck_assert_ptr_nonnull(strstr(bench.trouble, "plaintext HTTP/2"));
    end();
}

TEST(plaintext_is_what_http_asks_for)
{
    begin(CONFIG_PLAINTEXT);
    server_begin(NULL, 0);
    bench.config.headers = (struct config_header[]){{"x-one", "1"}, {"x-two", "2"}};
    bench.config.header_count = 2;
    uplink_begin();
    run_until(&bench.fresh, 1);
    ck_assert_uint_eq(script_server_accepted(bench.server), 1);
    expect_an_answer(0);
    expect_header(0, "x-one: 1 (never indexed)\nx-two: 2 (never indexed)\n");
    end();
}

/* ---- how long connections live ---- */

TEST(an_old_connection_gives_way_and_finishes_its_calls)
{
    begin(CONFIG_PLAINTEXT);
    bench.config.max_connection_age_ms = 200;
    server_begin(&(struct script_step){.delay_ms = 800}, 1);
    uplink_begin();
    run_until(&bench.fresh, 1);
    submit(0);
    run_until(&bench.fresh, 2);
    ck_assert_uint_eq(bench.results, 0);
    run_until(&bench.results, 1);
    ck_assert_int_eq(bench.codes[0], GRPC_OK);
    ck_assert_uint_eq(bench.troubles, 0);
    end();
}

TEST(too_many_pings_make_them_fewer)
{
    static const char words[] = "\0\0\0\4\0\0\0\0\0" /* SETTINGS, then GOAWAY, ENHANCE_YOUR_CALM */
                                "\0\0\x16\7\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo_many_pings";
    begin(CONFIG_PLAINTEXT);
    bench.config.keepalive_ms = 10000;
    const struct script_server_options options = {
        .script = &bench.script, .greeting = words, .greeting_bytes = sizeof(words) - 1};
    ck_assert_int_eq(script_server_start(&bench.loop, &options, &bench.server), 0);
    snprintf(bench.port, sizeof(bench.port), "%d", script_server_port(bench.server));
    uplink_begin();
    run_until(&bench.notices[UPLINK_CALMED], 1);
    ck_assert_ptr_nonnull(strstr(bench.notice, "one every 20000 ms"));
    run_until(&bench.notices[UPLINK_CALMED], 2);
    ck_assert_ptr_nonnull(strstr(bench.notice, "one every 40000 ms"));
    end();
}

/* ---- certificates ---- */

static void uplink_begin_with_certificate(void)
{
    write_client_certificate();
    bench.config.ca_file = bench.ca_file;
    bench.config.cert_file = bench.cert_file;
    bench.config.key_file = bench.key_file;
    uplink_begin();
    run_until(&bench.fresh, 1);
}

TEST(a_client_certificate_is_read_again_when_it_changes)
{
    begin(CONFIG_TLS);
    server_begin(&(struct script_step){.delay_ms = 1500}, 1);
    front_begin(0, true);
    uplink_begin_with_certificate();
    submit(0);
    run_until(&bench.requests, 1);
    write_client_certificate();
    run_until(&bench.fresh, 2);
    ck_assert_uint_eq(tls_front_shaken(bench.front), 2);
    submit(1);
    run_until(&bench.results, 2); /* the one that was on its way as well */
    ck_assert_int_eq(bench.codes[0], GRPC_OK);
    ck_assert_int_eq(bench.codes[1], GRPC_OK);
    ck_assert_uint_ge(bench.notices[UPLINK_RENEWED], 1);
    ck_assert_uint_eq(bench.troubles, 0);
    end();
}

TEST(a_certificate_that_is_half_written_changes_nothing_until_it_is_whole)
{
    begin(CONFIG_TLS);
    server_begin(NULL, 0);
    front_begin(0, true);
    uplink_begin_with_certificate();
    write_file(bench.cert_file, "-----BEGIN CERTIFICATE-----\nMIIB");
    run_until(&bench.notices[UPLINK_NOT_RENEWED], 1);
    ck_assert_ptr_nonnull(strstr(bench.notice, "aistraced.cert_file"));
    ck_assert_ptr_nonnull(strstr(bench.notice, "stays in use"));
    expect_an_answer(0);
    ck_assert_uint_eq(tls_front_shaken(bench.front), 1);
    write_client_certificate();
    run_until(&bench.fresh, 2);
    expect_an_answer(1);
    ck_assert_uint_eq(bench.troubles, 0);
    end();
}

TEST(another_authority_is_trusted_when_its_file_changes)
{
    struct certificate other;
    begin(CONFIG_TLS);
    server_begin(NULL, 0);
    front_begin(0, false);
    certificate_make(&(struct certificate_wish){.common_name = "other", .authority = true}, NULL, &other);
    certificate_write_chain(bench.ca_file, (const struct certificate *[]){&other, NULL});
    bench.config.ca_file = bench.ca_file;
    uplink_begin();
    run_until(&bench.troubles, 1);
    ck_assert_ptr_nonnull(strstr(bench.trouble, "unknown authority"));
    certificate_write_chain(bench.ca_file, (const struct certificate *[]){&other, &bench.root, NULL});
    run_until(&bench.fresh, 1);
    expect_an_answer(0);
    certificate_done(&other);
    end();
}

/* ---- the token ---- */

TEST(a_token_is_read_again_when_its_file_changes)
{
    begin(CONFIG_PLAINTEXT);
    use_token("  one\n");
    server_begin(&(struct script_step){.delay_ms = 1500}, 1);
    uplink_begin();
    run_until(&bench.fresh, 1);
    submit(0);
    run_until(&bench.requests, 1);
    use_token("two");
    run_until(&bench.fresh, 2);
    submit(1);
    run_until(&bench.results, 2);
    ck_assert_int_eq(bench.codes[0], GRPC_OK);
    expect_header(0, "x-token: one (never indexed)\n");
    expect_header(1, "x-token: two (never indexed)\n");
    ck_assert_uint_eq(bench.troubles, 0);
    end();
}

/* As the kubelet does it: token -> ..data/token, ..data -> a directory per version, and ..data is renamed over. */
static void swap_data(const char *version, const char *token)
{
    char path[256], link[256], target[256];
    snprintf(path, sizeof(path), "%s/%s", bench.directory, version);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/%s/token", bench.directory, version);
    write_file(path, "%s", token);
    snprintf(link, sizeof(link), "%s/..data_tmp", bench.directory);
    snprintf(target, sizeof(target), "%s/..data", bench.directory);
    ck_assert_int_eq(symlink(version, link), 0);
    ck_assert_int_eq(rename(link, target), 0);
}

TEST(a_token_behind_a_link_that_is_swapped_is_read_again)
{
    begin(CONFIG_PLAINTEXT);
    swap_data("v1", "one");
    ck_assert_int_eq(symlink("..data/token", bench.token_file), 0);
    bench.config.token_header = "x-token";
    bench.config.token_file = bench.token_file;
    server_begin(NULL, 0);
    uplink_begin();
    run_until(&bench.fresh, 1);
    expect_an_answer(0);
    swap_data("v2", "two");
    run_until(&bench.fresh, 2);
    expect_an_answer(1);
    expect_header(0, "x-token: one ");
    expect_header(1, "x-token: two ");
    end();
}

TEST(an_empty_token_changes_nothing)
{
    begin(CONFIG_PLAINTEXT);
    use_token("one");
    server_begin(NULL, 0);
    uplink_begin();
    run_until(&bench.fresh, 1);
    use_token(" \n");
    run_until(&bench.notices[UPLINK_NOT_RENEWED], 1);
    ck_assert_ptr_nonnull(strstr(bench.notice, "tracing.exporter_auth.token_file"));
    expect_an_answer(0);
    expect_header(0, "x-token: one ");
    use_token("two");
    run_until(&bench.fresh, 2);
    expect_an_answer(1);
    expect_header(1, "x-token: two ");
    end();
}

TEST(a_token_that_is_not_there_yet_is_waited_for)
{
    begin(CONFIG_PLAINTEXT);
    use_token("");
    unlink(bench.token_file);
    server_begin(NULL, 0);
    uplink_begin();
    run_until(&bench.troubles, 1);
    ck_assert_ptr_nonnull(strstr(bench.trouble, "token_file"));
    ck_assert_ptr_nonnull(strstr(bench.trouble, "No such file"));
    ck_assert_uint_eq(script_server_accepted(bench.server), 0);
    use_token("late");
    run_until(&bench.fresh, 1);
    expect_an_answer(0);
    expect_header(0, "x-token: late ");
    end();
}

TEST(a_refused_token_is_compared_with_its_file)
{
    static const struct script_step refuse_twice[] = {{.status = GRPC_UNAUTHENTICATED, .times = 2, .delay_ms = 1}};
    begin(CONFIG_PLAINTEXT);
    use_token("one");
    server_begin(refuse_twice, 1);
    uplink_begin();
    run_until(&bench.fresh, 1);
    bench.refresh_on_result = true;
    submit(0);
    submit(1);
    use_token("two"); /* what the two on their way are not sent with */
    run_until(&bench.results, 2);
    ck_assert(bench.refreshed[0]);
    ck_assert(bench.refreshed[1]);
    run_until(&bench.fresh, 2);
    expect_an_answer(2);
    ck_assert(!bench.refreshed[2]);
    expect_header(2, "x-token: two ");
    ck_assert(!uplink_refresh_token(bench.uplink));
    end();
}

TEST(a_token_that_others_may_read_is_told_once_a_change)
{
    begin(CONFIG_PLAINTEXT);
    use_token("one");
    chmod(bench.token_file, 0640);
    server_begin(lose_the_second, 2);
    uplink_begin();
    run_until(&bench.fresh, 1);
    expect_an_answer(0);
    expect_an_answer(1);
    run_until(&bench.fresh, 2);
    ck_assert_uint_eq(bench.notices[UPLINK_TOKEN_EXPOSED], 1);
    ck_assert_ptr_nonnull(strstr(bench.notice, bench.token_file));
    ck_assert_ptr_null(strstr(bench.notice, "one "));
    write_file(bench.token_file, "two");
    run_until(&bench.fresh, 3);
    ck_assert_uint_eq(bench.notices[UPLINK_TOKEN_EXPOSED], 1);
    end();
}
