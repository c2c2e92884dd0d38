/* SPDX-License-Identifier: MIT */
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_bio.h"
#include "tls_context.h"
#include "tls_explain.h"

enum {
    READ_BYTES = 16 << 10, /* a record's worth */
    FRAME_HEADER_BYTES = 9,
    TYPE_OFFSET = 3,
    TYPE_SETTINGS = 4,
    CONTENT_TYPE_FIRST = 20, /* of TLS records: change_cipher_spec, alert, handshake, application_data */
    CONTENT_TYPE_LAST = 23,
};

static const char PLAINTEXT_HTTP2[] = "it speaks plaintext HTTP/2, not TLS: write exporter_endpoint with http://, or "
                                      "turn TLS on in the server";
static const char PLAINTEXT_HTTP1[] = "it speaks plaintext HTTP/1, not TLS: exporter_endpoint must name a gRPC port "
                                      "(OTLP: 4317; 4318 is HTTP), with http:// if that is plaintext";
static const char NO_TLS[] =
    "it does not speak TLS: check the port in exporter_endpoint (OTLP: 4317), and write http:// "
    "if it is plaintext";
static const char SAID_NOTHING[] =
    "it did not answer in TLS: if it is a plaintext endpoint, write exporter_endpoint with "
    "http://";
static const char UNFINISHED[] = "the TLS handshake was not finished";
static const char NO_H2[] =
    "it speaks TLS but does not agree to HTTP/2 (ALPN h2): exporter_endpoint must name a gRPC port "
    "(OTLP: 4317), and a proxy in between must pass h2";
static const char RENEGOTIATES[] = "it renegotiates TLS on an HTTP/2 connection, which RFC 9113 (9.2.1) forbids: "
                                   "turn renegotiation off in the server, or TLS 1.3 on";

struct tls {
    struct tls_context *context;
    SSL *ssl;
    char *host;
    struct tls_bytes bytes;
    uint8_t first[FRAME_HEADER_BYTES]; /* the peer's first bytes */
    size_t first_bytes;
    bool peer_is_tls;
    bool established;
    bool failed;
    struct tls_refusal refusal;
    char why[TLS_WHY_BYTES];
};

static int fail(struct tls *tls, const char *text)
{
    if (!tls->failed)
        snprintf(tls->why, sizeof(tls->why), "%s", text);
    tls->failed = true;
    return -EPROTO;
}

/* OpenSSL cannot go on. */
static int fail_openssl(struct tls *tls)
{
    if (tls->failed)
        return -EPROTO;
    if (tls->refusal.error != X509_V_OK)
        tls_explain_refusal(&tls->refusal, tls->host, tls->context->own_ca, tls->why);
    else
        tls_explain_failure(tls->established, tls->why);
    ERR_clear_error();
    tls->failed = true;
    return -EPROTO;
}

/* Keeps the first certificate that does not verify. */
static int on_verify(int good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = SSL_get_app_data(ssl);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    if (good || tls->refusal.error != X509_V_OK)
        return good;
    tls->refusal.error = X509_STORE_CTX_get_error(store);
    tls->refusal.depth = X509_STORE_CTX_get_error_depth(store);
    if (certificate && X509_up_ref(certificate))
        tls->refusal.certificate = certificate;
    return good;
}

static bool is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* The name or address that the certificate has to be for. Certificates have neither the final dot of a name nor the
 * zone of an address. */
static bool expect_peer(struct tls *tls)
{
    size_t bytes = strcspn(tls->host, "%");
    tls->host[bytes] = '\0';
    if (bytes > 1 && tls->host[bytes - 1] == '.')
        tls->host[bytes - 1] = '\0';
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (is_address(tls->host))
        return X509_VERIFY_PARAM_set1_ip_asc(param, tls->host) == 1;
    return SSL_set_tlsext_host_name(tls->ssl, tls->host) == 1 && SSL_set1_host(tls->ssl, tls->host) == 1;
}

static bool prepare(struct tls *tls)
{
    BIO *bio = BIO_new(tls->context->bytes_method);
    if (!bio)
        return false;
    BIO_set_data(bio, &tls->bytes);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, tls);
    if (tls->context->verify)
        SSL_set_verify(tls->ssl, SSL_VERIFY_PEER, on_verify);
    SSL_set_connect_state(tls->ssl);
    return expect_peer(tls);
}

int tls_new(struct tls_context *context, const char *host, struct tls **out)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    if (!tls)
        return -ENOMEM;
    tls->context = tls_context_ref(context);
    tls->host = strdup(host);
    tls->ssl = SSL_new(context->ssl);
    bool good = tls->host && tls->ssl && prepare(tls);
    if (good) {
        SSL_do_handshake(tls->ssl);
        good = tls->bytes.out.len > 0;
    }
    ERR_clear_error();
    if (!good) {
        tls_free(tls);
        return -ENOMEM;
    }
    *out = tls;
    return 0;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    X509_free(tls->refusal.certificate);
    tls_context_unref(tls->context);
    buf_done(&tls->bytes.out);
    free(tls->host);
    free(tls);
}

bool tls_established(const struct tls *tls)
{
    return tls->established && !tls->failed;
}

/* ---- the peer's first bytes ---- */

static bool is_tls(uint8_t first)
{
    return first >= CONTENT_TYPE_FIRST && first <= CONTENT_TYPE_LAST;
}

/* Bytes that are not TLS, which OpenSSL does not get. -> 0: more are needed to tell what they are */
static int judge_first(struct tls *tls, const uint8_t *data, size_t bytes)
{
    size_t room = sizeof(tls->first) - tls->first_bytes;
    size_t kept = bytes < room ? bytes : room;
    memcpy(tls->first + tls->first_bytes, data, kept);
    tls->first_bytes += kept;
    if (tls->first[0] == 'H')
        return fail(tls, PLAINTEXT_HTTP1);
    if (tls->first[0] != 0)
        return fail(tls, NO_TLS);
    if (tls->first_bytes < sizeof(tls->first))
        return 0;
    return fail(tls, tls_peer_spoke_settings(tls) ? PLAINTEXT_HTTP2 : NO_TLS);
}

bool tls_peer_spoke_settings(const struct tls *tls)
{
    static const uint8_t connection[4];
    const uint8_t *first = tls->first;
    return tls->first_bytes == sizeof(tls->first) && first[0] == 0 && first[TYPE_OFFSET] == TYPE_SETTINGS &&
           memcmp(first + FRAME_HEADER_BYTES - sizeof(connection), connection, sizeof(connection)) == 0;
}

bool tls_peer_said_nothing(const struct tls *tls)
{
    return !tls->peer_is_tls && !tls->first_bytes;
}

/* ---- receiving and sending ---- */

static bool agreed_h2(const struct tls *tls)
{
    const unsigned char *protocol;
    unsigned bytes;
    SSL_get0_alpn_selected(tls->ssl, &protocol, &bytes);
    return bytes == 2 && memcmp(protocol, "h2", 2) == 0;
}

static int shake_hands(struct tls *tls)
{
    int got = SSL_do_handshake(tls->ssl);
    if (got != 1)
        return SSL_get_error(tls->ssl, got) == SSL_ERROR_WANT_READ ? 0 : fail_openssl(tls);
    if (!agreed_h2(tls))
        return fail(tls, NO_H2);
    tls->established = true;
    return 0;
}

/* While it reads, OpenSSL has output only to refuse a renegotiation. The first request ends the connection:
 * a peer could ask for ever. */
static int read_plain(struct tls *tls, struct buf *plain)
{
    size_t said = tls->bytes.out.len;
    for (;;) {
        if (buf_reserve(plain, READ_BYTES))
            return -ENOMEM;
        int got = SSL_read(tls->ssl, plain->data + plain->len, READ_BYTES);
        if (got > 0) {
            plain->len += (size_t)got;
            continue;
        }
        switch (SSL_get_error(tls->ssl, got)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_ZERO_RETURN: /* what follows is the end of the connection */
            return tls->bytes.out.len > said ? fail(tls, RENEGOTIATES) : 0;
        default:
            return fail_openssl(tls);
        }
    }
}

int tls_receive(struct tls *tls, const uint8_t *data, size_t bytes, struct buf *plain)
{
    if (tls->failed)
        return -EPROTO;
    if (!bytes)
        return 0;
    if (!tls->peer_is_tls) {
        if (tls->first_bytes || !is_tls(data[0]))
            return judge_first(tls, data, bytes);
        tls->peer_is_tls = true;
    }
    tls->bytes.in = data;
    tls->bytes.in_bytes = bytes;
    ERR_clear_error();
    int err = tls->established ? 0 : shake_hands(tls);
    if (!err && tls->established)
        err = read_plain(tls, plain);
    tls->bytes.in_bytes = 0;
    return err;
}

int tls_send(struct tls *tls, const uint8_t *data, size_t bytes)
{
    if (!tls_established(tls))
        return -EPROTO;
    size_t written;
    ERR_clear_error();
    if (bytes && SSL_write_ex(tls->ssl, data, bytes, &written) != 1)
        return fail_openssl(tls);
    return 0;
}

void tls_end(struct tls *tls)
{
    if (tls_established(tls))
        SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

struct buf *tls_output(struct tls *tls)
{
    return &tls->bytes.out;
}

const char *tls_problem(const struct tls *tls)
{
    if (tls->failed)
        return tls->why;
    if (tls->established)
        return NULL;
    return tls_peer_said_nothing(tls) ? SAID_NOTHING : UNFINISHED;
}
