/* SPDX-License-Identifier: MIT
 *
 * Our side of TLS against OpenSSL as a server, in memory: good and bad certificates, peers that speak something else,
 * and what the errors say.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/certificates.h"
#include "support/directory.h"
#include "support/test.h"
#include "tls/tls.h"

enum { DAY_S = 86400 };

static struct {
    char directory[TEST_DIRECTORY_BYTES];
    char ca_file[160], cert_file[160], key_file[160], other_file[160];
    struct certificate root, stranger, intermediate, no_authority, constrained, expired_authority, rsa_root;
} made;

static void make_certificates(void)
{
    test_directory(made.directory, "tls");
    snprintf(made.ca_file, sizeof(made.ca_file), "%s/ca.pem", made.directory);
    snprintf(made.cert_file, sizeof(made.cert_file), "%s/cert.pem", made.directory);
    snprintf(made.key_file, sizeof(made.key_file), "%s/key.pem", made.directory);
    snprintf(made.other_file, sizeof(made.other_file), "%s/other", made.directory);
    certificate_make(&(struct certificate_wish){.common_name = "root", .authority = true}, NULL, &made.root);
    certificate_make(&(struct certificate_wish){.common_name = "stranger", .authority = true}, NULL, &made.stranger);
    certificate_make(&(struct certificate_wish){.common_name = "intermediate", .authority = true}, &made.root,
                     &made.intermediate);
    certificate_make(&(struct certificate_wish){.common_name = "leaf that signs", .alt_names = "DNS:leaf.example"},
                     &made.root, &made.no_authority);
    certificate_make(&(struct certificate_wish){.common_name = "constrained",
                                                .authority = true,
                                                .constraints = "permitted;DNS:elsewhere.example"},
                     &made.root, &made.constrained);
    certificate_make(
        &(struct certificate_wish){.common_name = "old", .authority = true, .from_s = -2 * DAY_S, .until_s = -DAY_S},
        &made.root, &made.expired_authority);
    certificate_make(&(struct certificate_wish){.common_name = "RSA root", .authority = true, .rsa_bits = 2048}, NULL,
                     &made.rsa_root);
    certificate_write_chain(made.ca_file, (const struct certificate *[]){&made.root, &made.rsa_root, NULL});
}

static void remove_certificates(void)
{
    struct certificate *all[] = {&made.root,        &made.stranger,          &made.intermediate, &made.no_authority,
                                 &made.constrained, &made.expired_authority, &made.rsa_root};
    for (size_t i = 0; i < COUNT(all); i++)
        certificate_done(all[i]);
    unlink(made.ca_file);
    unlink(made.cert_file);
    unlink(made.key_file);
    unlink(made.other_file);
    rmdir(made.directory);
}

FIXTURE_ONCE(make_certificates, remove_certificates);

/* ---- a connection in memory ---- */

struct pair {
    struct tls_context *context;
    struct tls *client;
    int err; /* of the client's last step */
    struct buf plain;
    SSL_CTX *server_context;
    SSL *server;
    bool server_done;
    size_t server_bytes; /* of application data, that the server has seen */
    char server_data[256];
};

static void pair_begin(struct pair *pair, const struct tls_settings *settings, const char *host, SSL_CTX *server)
{
    struct buf why = {0};
    *pair = (struct pair){.server_context = server};
    int err = tls_context_new(settings, &pair->context, &why);
    ck_assert_msg(!err, "%.*s", (int)why.len, (const char *)why.data);
    ck_assert_int_eq(tls_new(pair->context, host, &pair->client), 0);
    if (!server)
        return;
    pair->server = SSL_new(server);
    SSL_set_bio(pair->server, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(pair->server);
}

static void pair_end(struct pair *pair)
{
    tls_free(pair->client);
    tls_context_unref(pair->context);
    buf_done(&pair->plain);
    SSL_free(pair->server);
    SSL_CTX_free(pair->server_context);
}

static void server_step(struct pair *pair)
{
    ERR_clear_error();
    if (!pair->server_done)
        pair->server_done = SSL_do_handshake(pair->server) == 1;
    if (!pair->server_done)
        return;
    int got;
    while ((got = SSL_read(pair->server, pair->server_data, sizeof(pair->server_data))) > 0)
        pair->server_bytes += (size_t)got;
}

/* Moves bytes both ways, the client's way in pieces, until nobody says anything more. The client sends `request` as
 * soon as it may. */
static void pair_run(struct pair *pair, const char *request, size_t piece)
{
    for (bool moved = true; moved;) {
        struct buf *out = tls_output(pair->client);
        if (!pair->err && request && tls_established(pair->client)) {
            pair->err = tls_send(pair->client, (const uint8_t *)request, strlen(request));
            request = NULL;
        }
        moved = out->len > 0;
        BIO_write(SSL_get_rbio(pair->server), out->data, (int)out->len);
        out->len = 0;
        server_step(pair);
        uint8_t data[4096];
        int got;
        while ((got = BIO_read(SSL_get_wbio(pair->server), data, (int)(piece < sizeof(data) ? piece : sizeof(data)))) >
               0) {
            moved = true;
            if (!pair->err)
                pair->err = tls_receive(pair->client, data, (size_t)got, &pair->plain);
        }
    }
}

static struct tls_settings verifying(void)
{
    return (struct tls_settings){.verify = true, .ca_file = made.ca_file};
}

/* ---- good ---- */

static const struct {
    const char *host;
    const char *alt_names;
} good[] = {
    {"collector.example", "DNS:collector.example"},
    {"collector.example.", "DNS:collector.example"},
    {"COLLECTOR.example", "DNS:other.example, DNS:collector.EXAMPLE"},
    {"a.collector.example", "DNS:*.collector.example"},
    {"127.0.0.1", "IP:127.0.0.1"},
    {"::1", "DNS:localhost, IP:::1"},
    {"fe80::1%eth0", "IP:fe80::1"},
};

LOOP_TEST(a_good_certificate_lets_data_through, COUNT(good))
{
    struct certificate leaf;
    struct pair pair;
    struct tls_settings settings = verifying();
    certificate_make(&(struct certificate_wish){.alt_names = good[_i].alt_names}, &made.intermediate, &leaf);
    pair_begin(&pair, &settings, good[_i].host, certificate_server(&leaf, &made.intermediate));
    pair_run(&pair, "request", _i % 2 ? 1 : 4096);
    ck_assert_msg(tls_established(pair.client), "%s", tls_problem(pair.client));
    ck_assert_ptr_null(tls_problem(pair.client));
    ck_assert_uint_eq(pair.server_bytes, strlen("request"));
    const char *name = SSL_get_servername(pair.server, TLSEXT_NAMETYPE_host_name);
    if (strchr(good[_i].host, ':') || good[_i].host[0] == '1')
        ck_assert_ptr_null(name);
    else
        ck_assert_mem_eq(name, good[_i].host, strlen("collector"));
    SSL_write(pair.server, "answer", 6);
    pair_run(&pair, NULL, 3);
    ck_assert_uint_eq(pair.plain.len, 6);
    ck_assert_mem_eq(pair.plain.data, "answer", 6);
    tls_end(pair.client);
    pair_run(&pair, NULL, 4096);
    ck_assert_int_eq(SSL_get_shutdown(pair.server) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
    pair_end(&pair);
    certificate_done(&leaf);
}

TEST(much_data_is_sent_in_full_records)
{
    enum { BYTES = 64 << 10, RECORD = 16 << 10, RECORD_OVERHEAD = 64 };
    static uint8_t data[BYTES];
    struct certificate leaf;
    struct pair pair;
    struct tls_settings settings = verifying();
    certificate_make(&(struct certificate_wish){.alt_names = "DNS:localhost"}, &made.root, &leaf);
    pair_begin(&pair, &settings, "localhost", certificate_server(&leaf, NULL));
    pair_run(&pair, NULL, 4096);
    ck_assert_int_eq(tls_send(pair.client, data, sizeof(data)), 0);
    ck_assert_uint_le(tls_output(pair.client)->len, BYTES + (BYTES / RECORD) * RECORD_OVERHEAD);
    pair_run(&pair, NULL, 4096);
    ck_assert_uint_eq(pair.server_bytes, BYTES);
    pair_end(&pair);
    certificate_done(&leaf);
}

/* ---- bad: each refused before a byte of the request ---- */

enum signer {
    BY_ROOT,
    BY_INTERMEDIATE_NOT_SENT,
    BY_STRANGER,
    BY_ITSELF,
    BY_LEAF,
    BY_CONSTRAINED,
    BY_EXPIRED,
    BY_RSA_ROOT
};

static const struct {
    const char *name;
    enum signer signer;
    const char *host;
    struct certificate_wish wish;
    const char *says[3];
} bad[] = {
    {"expired",
     BY_ROOT,
     "localhost",
     {.alt_names = "DNS:localhost", .from_s = -2 * DAY_S, .until_s = -DAY_S},
     {"has expired", "GMT", "renew it"}},
    {"not yet valid",
     BY_ROOT,
     "localhost",
     {.alt_names = "DNS:localhost", .from_s = DAY_S, .until_s = 2 * DAY_S},
     {"not valid yet", "clock", "clock"}},
    {"expired authority",
     BY_EXPIRED,
     "localhost",
     {.alt_names = "DNS:localhost"},
     {"above the server's has expired", "renew it", "renew it"}},
    {"another host",
     BY_ROOT,
     "localhost",
     {.alt_names = "DNS:a.example, DNS:b.example"},
     {"not for localhost", "DNS:a.example, DNS:b.example", "exporter_endpoint"}},
    {"a host above", BY_ROOT, "a.localhost", {.alt_names = "DNS:localhost"}, {"not for a.localhost"}},
    {"another address",
     BY_ROOT,
     "127.0.0.1",
     {.alt_names = "IP:127.0.0.2"},
     {"not for 127.0.0.1", "IP Address:127.0.0.2"}},
    {"an address as a name", BY_ROOT, "127.0.0.1", {.alt_names = "DNS:127.0.0.1"}, {"not for 127.0.0.1"}},
    {"wildcard of a top-level domain", BY_ROOT, "collector.com", {.alt_names = "DNS:*.com"}, {"not for collector.com"}},
    {"wildcard of two labels",
     BY_ROOT,
     "a.b.collector.example",
     {.alt_names = "DNS:*.collector.example"},
     {"not for a.b.collector.example"}},
    {"wildcard of part of a label",
     BY_ROOT,
     "node1.collector.example",
     {.alt_names = "DNS:node*.collector.example"},
     {"not for node1.collector.example"}},
    {"wildcard in the middle", BY_ROOT, "a.b.example", {.alt_names = "DNS:a.*.example"}, {"not for a.b.example"}},
    {"common name beside another alternative name",
     BY_ROOT,
     "localhost",
     {.common_name = "localhost", .alt_names = "DNS:a.example"},
     {"not for localhost", "DNS:a.example"}},
    {"common name only", BY_ROOT, "localhost", {.common_name = "localhost"}, {"subjectAltName", "localhost"}},
    {"unknown authority",
     BY_STRANGER,
     "localhost",
     {.alt_names = "DNS:localhost"},
     {"unknown authority", "aistraced.ca_file", "intermediate"}},
    {"self-signed", BY_ITSELF, "localhost", {.alt_names = "DNS:localhost"}, {"self-signed", "aistraced.ca_file"}},
    {"missing intermediate",
     BY_INTERMEDIATE_NOT_SENT,
     "localhost",
     {.alt_names = "DNS:localhost"},
     {"unknown authority", "does not send its intermediate"}},
    {"signed by one that is no authority",
     BY_LEAF,
     "localhost",
     {.alt_names = "DNS:localhost"},
     {"used as an authority and is none"}},
    {"name constraints", BY_CONSTRAINED, "localhost", {.alt_names = "DNS:localhost"}, {"may not vouch for"}},
    {"for clients only",
     BY_ROOT,
     "localhost",
     {.alt_names = "DNS:localhost", .usage = "clientAuth"},
     {"not made for a server", "serverAuth"}},
    {"short key", BY_ROOT, "localhost", {.alt_names = "DNS:localhost", .rsa_bits = 1024}, {"too weak", "2,048"}},
    {"signed with SHA-1",
     BY_ROOT,
     "localhost",
     {.alt_names = "DNS:localhost", .digest = "SHA1"},
     {"broken hash", "SHA-256"}},
    {"signed with MD5",
     BY_RSA_ROOT,
     "localhost",
     {.alt_names = "DNS:localhost", .digest = "MD5"},
     {"broken hash", "SHA-256"}},
};

LOOP_TEST(a_bad_certificate_is_refused_before_any_byte_of_the_request, COUNT(bad))
{
    const struct certificate *const signers[] = {
        [BY_ROOT] = &made.root,
        [BY_INTERMEDIATE_NOT_SENT] = &made.intermediate,
        [BY_STRANGER] = &made.stranger,
        [BY_ITSELF] = NULL,
        [BY_LEAF] = &made.no_authority,
        [BY_CONSTRAINED] = &made.constrained,
        [BY_EXPIRED] = &made.expired_authority,
        [BY_RSA_ROOT] = &made.rsa_root,
    };
    const struct certificate *signer = signers[bad[_i].signer];
    bool chained = bad[_i].signer >= BY_LEAF && bad[_i].signer <= BY_EXPIRED;
    struct certificate leaf;
    struct pair pair;
    struct tls_settings settings = verifying();
    certificate_make(&bad[_i].wish, signer, &leaf);
    pair_begin(&pair, &settings, bad[_i].host, certificate_server(&leaf, chained ? signer : NULL));
    pair_run(&pair, "request", 4096);
    ck_assert_msg(!tls_established(pair.client), "%s: accepted", bad[_i].name);
    ck_assert_int_eq(pair.err, -EPROTO);
    ck_assert_uint_eq(pair.server_bytes, 0);
    ck_assert_uint_eq(pair.plain.len, 0);
    for (size_t i = 0; i < 3 && bad[_i].says[i]; i++)
        ck_assert_msg(strstr(tls_problem(pair.client), bad[_i].says[i]), "%s: %s", bad[_i].name,
                      tls_problem(pair.client));
    ck_assert_int_eq(tls_send(pair.client, (const uint8_t *)"x", 1), -EPROTO);
    pair_end(&pair);

    /* The same certificate serves who has asked for no verification: it is what is refused, and nothing else. */
    settings.verify = false;
    pair_begin(&pair, &settings, bad[_i].host, certificate_server(&leaf, chained ? signer : NULL));
    SSL_CTX_set_security_level(pair.server_context, 0);
    pair_run(&pair, "request", 4096);
    if (!bad[_i].wish.rsa_bits) /* OpenSSL holds on to the level for the peer's own key */
        ck_assert_msg(tls_established(pair.client), "%s: %s", bad[_i].name, tls_problem(pair.client));
    pair_end(&pair);
    certificate_done(&leaf);
}

TEST(the_systems_store_does_not_know_our_authority)
{
    struct certificate leaf;
    struct pair pair;
    struct tls_settings settings = {.verify = true, .ca_file = ""};
    certificate_make(&(struct certificate_wish){.alt_names = "DNS:localhost"}, &made.root, &leaf);
    pair_begin(&pair, &settings, "localhost", certificate_server(&leaf, NULL));
    pair_run(&pair, "request", 4096);
    ck_assert(!tls_established(pair.client));
    ck_assert_ptr_nonnull(strstr(tls_problem(pair.client), "give the authority that signed it in aistraced.ca_file"));
    pair_end(&pair);
    certificate_done(&leaf);
}

TEST(a_self_signed_certificate_that_is_its_own_authority_is_good)
{
    struct certificate leaf;
    struct pair pair;
    struct tls_settings settings = {.verify = true, .ca_file = made.other_file};
    certificate_make(&(struct certificate_wish){.alt_names = "DNS:localhost"}, NULL, &leaf);
    certificate_write_chain(made.other_file, (const struct certificate *[]){&leaf, NULL});
    pair_begin(&pair, &settings, "localhost", certificate_server(&leaf, NULL));
    pair_run(&pair, "request", 4096);
    ck_assert_msg(tls_established(pair.client), "%s", tls_problem(pair.client));
    pair_end(&pair);
    certificate_done(&leaf);
}

/* ---- client certificates ---- */

static void run_mutual(struct pair *pair, const struct tls_settings *settings, int version)
{
    struct certificate leaf;
    certificate_make(&(struct certificate_wish){.alt_names = "DNS:localhost"}, &made.root, &leaf);
    SSL_CTX *server = certificate_server(&leaf, NULL);
    SSL_CTX_set_max_proto_version(server, version);
    certificate_demand_client(server, &made.root);
    pair_begin(pair, settings, "localhost", server);
    pair_run(pair, NULL, 4096);
    certificate_done(&leaf);
}

static void write_client(const struct certificate *issuer)
{
    struct certificate client;
    certificate_make(&(struct certificate_wish){.common_name = "client", .usage = "clientAuth"}, issuer, &client);
    certificate_write_chain(made.cert_file, (const struct certificate *[]){&client, issuer, NULL});
    certificate_write_key(made.key_file, &client);
    certificate_done(&client);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

LOOP_TEST(a_client_certificate_opens_a_server_that_asks_for_one, 2)
{
    struct pair pair;
    struct tls_settings settings = verifying();
    settings.cert_file = made.cert_file;
    settings.key_file = made.key_file;
    write_client(&made.intermediate);
    run_mutual(&pair, &settings, versions[_i]);
    ck_assert_msg(tls_established(pair.client), "%s", tls_problem(pair.client));
    ck_assert(pair.server_done);
    pair_end(&pair);
}

LOOP_TEST(a_server_that_asks_for_a_client_certificate_is_named, 2)
{
    struct pair pair;
    struct tls_settings settings = verifying();
    run_mutual(&pair, &settings, versions[_i]);
    ck_assert(!pair.server_done);
    ck_assert_int_eq(pair.err, -EPROTO);
    ck_assert_msg(strstr(tls_problem(pair.client), "cert_file"), "%s", tls_problem(pair.client));
    pair_end(&pair);
}

LOOP_TEST(a_client_certificate_that_the_server_does_not_know_is_named, 2)
{
    struct pair pair;
    struct tls_settings settings = verifying();
    settings.cert_file = made.cert_file;
    settings.key_file = made.key_file;
    write_client(&made.stranger);
    run_mutual(&pair, &settings, versions[_i]);
    ck_assert(!pair.server_done);
    ck_assert_msg(strstr(tls_problem(pair.client), "aistraced.cert_file"), "%s", tls_problem(pair.client));
    pair_end(&pair);
}

/* ---- what is not our kind of TLS ---- */

TEST(tls_older_than_1_2_is_refused)
{
    struct certificate leaf;
    struct pair pair;
    struct tls_settings settings = verifying();
    certificate_make(&(struct certificate_wish){.alt_names = "DNS:localhost"}, &made.root, &leaf);
    SSL_CTX *server = certificate_server(&leaf, NULL);
    SSL_CTX_set_min_proto_version(server, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(server, TLS1_1_VERSION);
    pair_begin(&pair, &settings, "localhost", server);
    pair_run(&pair, "request", 4096);
    ck_assert(!tls_established(pair.client));
    ck_assert_msg(strstr(tls_problem(pair.client), "older than 1.2"), "%s", tls_problem(pair.client));
    pair_end(&pair);
    certificate_done(&leaf);
}

TEST(tls_without_http2_is_refused)
{
    struct certificate leaf;
    struct pair pair;
    struct tls_settings settings = verifying();
    certificate_make(&(struct certificate_wish){.alt_names = "DNS:localhost"}, &made.root, &leaf);
    SSL_CTX *server = certificate_server(&leaf, NULL);
    SSL_CTX_set_alpn_select_cb(server, NULL, NULL);
    pair_begin(&pair, &settings, "localhost", server);
    pair_run(&pair, "request", 4096);
    ck_assert(!tls_established(pair.client));
    ck_assert_uint_eq(pair.server_bytes, 0);
    ck_assert_msg(strstr(tls_problem(pair.client), "ALPN h2"), "%s", tls_problem(pair.client));
    pair_end(&pair);
    certificate_done(&leaf);
}

/* RFC 9113, 9.2.1. Whoever went on would also gather refusals for a peer that takes none. */
TEST(a_server_that_negotiates_anew_is_left)
{
    struct certificate leaf;
    struct pair pair;
    struct tls_settings settings = verifying();
    certificate_make(&(struct certificate_wish){.alt_names = "DNS:localhost"}, &made.root, &leaf);
    SSL_CTX *server = certificate_server(&leaf, NULL);
    SSL_CTX_set_max_proto_version(server, TLS1_2_VERSION);
    pair_begin(&pair, &settings, "localhost", server);
    pair_run(&pair, "request", 4096);
    ck_assert(tls_established(pair.client));
    ck_assert_int_eq(SSL_renegotiate(pair.server), 1);
    SSL_do_handshake(pair.server);
    pair_run(&pair, NULL, 4096);
    ck_assert_int_eq(pair.err, -EPROTO);
    ck_assert_msg(strstr(tls_problem(pair.client), "negotiate"), "%s", tls_problem(pair.client));
    pair_end(&pair);
    certificate_done(&leaf);
}

static const struct {
    const char *bytes;
    size_t count;
    const char *says;
    bool settings;
} strangers[] = {
    {"\0\0\x18\4\0\0\0\0\0\0\4", 11, "plaintext HTTP/2", true},
    {"\0\0\0\7\0\0\0\0\0", 9, "does not speak TLS", false},
    {"\0\0\0\4\0\0\0\0\1", 9, "does not speak TLS", false},
    {"HTTP/1.1 400 Bad Request\r\n", 26, "HTTP/1", false},
    {"SSH-2.0-OpenSSH\r\n", 17, "does not speak TLS", false},
    {"\x16\3\1garbage", 10, "TLS", false},
    {"\x15\3\3\0\2\2\x28", 7, "refuses the handshake", false},
    {"\x15\3\3\0\2\2\x46", 7, "older than 1.2", false},
    {"\x15\3\3\0\2\2\x78", 7, "ALPN h2", false},
    {"\x15\3\3\0\2\2\x70", 7, "no certificate for this name", false},
};

LOOP_TEST(a_peer_that_speaks_something_else_is_named, COUNT(strangers))
{
    struct tls_settings settings = verifying();
    for (size_t piece = 1; piece < 64; piece += 62) {
        struct pair pair;
        pair_begin(&pair, &settings, "localhost", NULL);
        ck_assert(tls_peer_said_nothing(pair.client));
        ck_assert_ptr_nonnull(strstr(tls_problem(pair.client), "did not answer in TLS"));
        for (size_t at = 0; at < strangers[_i].count && !pair.err; at += piece) {
            size_t left = strangers[_i].count - at;
            pair.err = tls_receive(pair.client, (const uint8_t *)strangers[_i].bytes + at, left < piece ? left : piece,
                                   &pair.plain);
        }
        ck_assert_int_eq(tls_peer_spoke_settings(pair.client), strangers[_i].settings);
        ck_assert(!tls_peer_said_nothing(pair.client));
        ck_assert_ptr_nonnull(strstr(tls_problem(pair.client), pair.err ? strangers[_i].says : "not finished"));
        ck_assert(pair.err || strangers[_i].bytes[0] == 0x16);
        pair_end(&pair);
    }
}

TEST(damaged_bytes_of_the_server_never_pass)
{
    struct certificate leaf;
    struct pair pair;
    struct tls_settings settings = verifying();
    certificate_make(&(struct certificate_wish){.alt_names = "DNS:localhost"}, &made.root, &leaf);
    for (unsigned flip = 0; flip < 400; flip += 7) {
        pair_begin(&pair, &settings, "localhost", certificate_server(&leaf, NULL));
        struct buf *out = tls_output(pair.client);
        BIO_write(SSL_get_rbio(pair.server), out->data, (int)out->len);
        out->len = 0;
        server_step(&pair);
        uint8_t data[8192];
        int got = BIO_read(SSL_get_wbio(pair.server), data, sizeof(data));
        ck_assert_int_gt(got, 400);
        data[flip] ^= 0x40;
        pair.err = tls_receive(pair.client, data, (size_t)got, &pair.plain);
        ck_assert(!tls_established(pair.client));
        ck_assert_ptr_nonnull(tls_problem(pair.client));
        pair_end(&pair);
    }
    certificate_done(&leaf);
}

/* ---- files ---- */

static void expect_refused(const struct tls_settings *settings, const char *first, const char *second)
{
    struct tls_context *context = NULL;
    struct buf why = {0};
    ck_assert_int_lt(tls_context_new(settings, &context, &why), 0);
    ck_assert_ptr_null(context);
    ck_assert_int_eq(buf_append(&why, "", 1), 0);
    ck_assert_msg(strstr((const char *)why.data, first), "%s", (const char *)why.data);
    ck_assert_msg(strstr((const char *)why.data, second), "%s", (const char *)why.data);
    ck_assert_str_eq(strchr((const char *)why.data, '\n'), "\n");
    buf_done(&why);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static void cut_file(const char *path, long off_end)
{
    FILE *file = fopen(path, "r+");
    fseek(file, 0, SEEK_END);
    ck_assert_int_eq(ftruncate(fileno(file), ftell(file) - off_end), 0);
    fclose(file);
}

TEST(files_that_cannot_be_used_are_named)
{
    struct tls_settings settings = verifying();
    struct certificate other;
    write_client(&made.root);
    settings.ca_file = "/does/not/exist";
    expect_refused(&settings, "aistraced.ca_file: /does/not/exist", "No such file");
    settings.ca_file = made.directory;
    expect_refused(&settings, "aistraced.ca_file", "plain file");
    settings.ca_file = made.other_file;
    write_text(made.other_file, "");
    expect_refused(&settings, "aistraced.ca_file", "it is empty");
    write_text(made.other_file, "no certificate");
    expect_refused(&settings, "aistraced.ca_file", "certificate 1 in it");
    certificate_write_chain(made.other_file, (const struct certificate *[]){&made.root, &made.stranger, NULL});
    cut_file(made.other_file, 40);
    expect_refused(&settings, "aistraced.ca_file", "certificate 2 in it");

    settings = verifying();
    settings.cert_file = made.cert_file;
    settings.key_file = "/does/not/exist";
    expect_refused(&settings, "aistraced.key_file", "No such file");
    settings.key_file = made.cert_file;
    expect_refused(&settings, "aistraced.key_file", "not a private key");
    certificate_make(&(struct certificate_wish){0}, NULL, &other);
    certificate_write_key(made.other_file, &other);
    settings.key_file = made.other_file;
    expect_refused(&settings, "aistraced.key_file", "not the key of the certificate");
    certificate_done(&other);
    settings.key_file = made.key_file;
    cut_file(made.cert_file, 40);
    expect_refused(&settings, "aistraced.cert_file", "chain");
    settings.cert_file = made.key_file;
    expect_refused(&settings, "aistraced.cert_file", "chain");
}

TEST(a_key_with_a_passphrase_is_refused_without_asking)
{
    struct tls_settings settings = verifying();
    struct certificate client;
    write_client(&made.root);
    certificate_make(&(struct certificate_wish){0}, NULL, &client);
    FILE *file = fopen(made.other_file, "w");
    ck_assert_int_eq(
        PEM_write_PrivateKey(file, client.key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL), 1);
    fclose(file);
    settings.cert_file = made.cert_file;
    settings.key_file = made.other_file;
    expect_refused(&settings, "aistraced.key_file", "passphrase");
    certificate_done(&client);
}
