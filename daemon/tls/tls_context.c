/* SPDX-License-Identifier: MIT */
#include "tls_context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/given.h"
#include "tls_bio.h"
#include "tls_explain.h"

enum {
    FILE_MAX_BYTES = 1 << 20,
    SECURITY_LEVEL = 2, /* keys of 112 bits: RSA from 2,048; no MD5, no SHA-1 */
};

/* A PEM file. It may hold a private key: its bytes are erased when it is closed. */
struct pem {
    uint8_t *text;
    size_t bytes;
    BIO *bio;
};

static void pem_close(struct pem *pem)
{
    BIO_free(pem->bio);
    if (pem->text)
        explicit_bzero(pem->text, pem->bytes);
    free(pem->text);
}

static int pem_open(struct pem *pem, const char *setting, const char *path, struct buf *why)
{
    *pem = (struct pem){.text = malloc(FILE_MAX_BYTES)};
    int err = pem->text ? file_read(path, pem->text, FILE_MAX_BYTES, &pem->bytes) : -ENOMEM;
    if (!err && pem->bytes == 0)
        err = -ENODATA;
    if (!err) {
        pem->bio = BIO_new_mem_buf(pem->text, (int)pem->bytes);
        err = pem->bio ? 0 : -ENOMEM;
    }
    if (!err)
        return 0;
    buf_printf(why, "aistraced.%s: %s: %s\n", setting, path, file_problem(err));
    pem_close(pem);
    return err;
}

/* A key with a passphrase fails: there is nobody to ask. */
static int no_passphrase(char *text, int room, int writing, void *user)
{
    (void)text;
    (void)room;
    (void)writing;
    bool *asked = user;
    *asked = true;
    return -1;
}

static int trust_file(SSL_CTX *ssl, const char *path, struct buf *why)
{
    struct pem pem;
    int err = pem_open(&pem, "ca_file", path, why);
    if (err)
        return err;
    bool asked = false;
    X509 *certificate;
    unsigned count = 0;
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    while (!err && (certificate = PEM_read_bio_X509_AUX(pem.bio, NULL, no_passphrase, &asked))) {
        err = X509_STORE_add_cert(store, certificate) ? 0 : -ENOMEM;
        X509_free(certificate);
        count++;
    }
    pem_close(&pem);
    if (!err && (!count || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)) {
        err = -EINVAL;
        buf_printf(why,
                   "aistraced.ca_file: %s: certificate %u in it cannot be read (%s); it has to hold PEM "
                   "certificates\n",
                   path, count + 1, tls_reason());
    }
    ERR_clear_error();
    return err;
}

/* Our certificate comes first in the file, then the intermediate ones, up to an authority that the server trusts. */
static int use_chain(SSL_CTX *ssl, const char *path, struct buf *why)
{
    struct pem pem;
    int err = pem_open(&pem, "cert_file", path, why);
    if (err)
        return err;
    bool asked = false;
    X509 *certificate = PEM_read_bio_X509_AUX(pem.bio, NULL, no_passphrase, &asked);
    bool good = certificate && SSL_CTX_use_certificate(ssl, certificate) == 1;
    X509_free(certificate);
    while (good && (certificate = PEM_read_bio_X509(pem.bio, NULL, no_passphrase, &asked))) {
        good = SSL_CTX_add0_chain_cert(ssl, certificate) == 1;
        if (!good)
            X509_free(certificate);
    }
    pem_close(&pem);
    if (good)
        good = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!good)
        buf_printf(why, "aistraced.cert_file: %s: not a usable chain of PEM certificates (%s)\n", path, tls_reason());
    ERR_clear_error();
    return good ? 0 : -EINVAL;
}

/* has_certificate: ssl has the certificate that the key has to fit. */
static int use_key(SSL_CTX *ssl, const struct tls_settings *settings, bool has_certificate, struct buf *why)
{
    struct pem pem;
    const char *path = settings->key_file;
    int err = pem_open(&pem, "key_file", path, why);
    if (err)
        return err;
    bool asked = false, good = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem.bio, NULL, no_passphrase, &asked);
    if (asked)
        buf_printf(why,
                   "aistraced.key_file: %s: it has a passphrase, and nobody is there to enter it: give the key "
                   "without one\n",
                   path);
    else if (!key)
        buf_printf(why, "aistraced.key_file: %s: not a private key in PEM\n", path);
    else if (has_certificate && (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1))
        buf_printf(why, "aistraced.key_file: %s: not the key of the certificate in aistraced.cert_file %s\n", path,
                   settings->cert_file);
    else
        good = true;
    EVP_PKEY_free(key);
    pem_close(&pem);
    ERR_clear_error();
    return good ? 0 : -EINVAL;
}

static int configure(SSL_CTX *ssl, const struct tls_settings *settings, struct buf *why)
{
    static const unsigned char h2[] = "\x02h2";
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_security_level(ssl, SECURITY_LEVEL);
    SSL_CTX_set_verify(ssl, settings->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN);
    if (!SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) || SSL_CTX_set_alpn_protos(ssl, h2, sizeof(h2) - 1)) {
        buf_printf(why, "TLS cannot be set up: %s\n", tls_reason());
        return -EINVAL;
    }
    return 0;
}

static int trust(SSL_CTX *ssl, const struct tls_settings *settings, struct buf *why)
{
    if (!settings->verify)
        return 0;
    if (given(settings->ca_file))
        return trust_file(ssl, settings->ca_file, why);
    return SSL_CTX_set_default_verify_paths(ssl) ? 0 : -ENOMEM;
}

static int present(SSL_CTX *ssl, const struct tls_settings *settings, struct buf *why)
{
    if (!given(settings->cert_file) || !given(settings->key_file))
        return 0;
    int chain_err = use_chain(ssl, settings->cert_file, why);
    int key_err = use_key(ssl, settings, !chain_err, why);
    return chain_err ? chain_err : key_err;
}

/* Goes on after a fault: all are told at once. */
static int read_files(SSL_CTX *ssl, const struct tls_settings *settings, struct buf *why)
{
    int trust_err = trust(ssl, settings, why);
    int own_err = present(ssl, settings, why);
    return trust_err ? trust_err : own_err;
}

int tls_context_new(const struct tls_settings *settings, struct tls_context **out, struct buf *why)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    if (!context)
        return -ENOMEM;
    context->refs = 1;
    context->verify = settings->verify;
    context->own_ca = given(settings->ca_file);
    context->ssl = SSL_CTX_new(TLS_client_method());
    context->bytes_method = tls_bio_method();
    int err = context->ssl && context->bytes_method ? configure(context->ssl, settings, why) : -ENOMEM;
    if (!err)
        err = read_files(context->ssl, settings, why);
    ERR_clear_error();
    if (err)
        tls_context_unref(context);
    else
        *out = context;
    return err;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    if (context)
        context->refs++;
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (!context || --context->refs)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->bytes_method);
    free(context);
}
