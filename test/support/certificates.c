/* SPDX-License-Identifier: MIT */
#include "certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "certificates: %s: %s\n", what, ERR_reason_error_string(ERR_peek_last_error()));
    abort();
}

static void extend(const struct certificate *certificate, const struct certificate *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer->x509, certificate->x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    must(extension && X509_add_ext(certificate->x509, extension, -1), value);
    X509_EXTENSION_free(extension);
}

static void extend_all(const struct certificate_wish *wish, const struct certificate *certificate,
                       const struct certificate *issuer)
{
    extend(certificate, issuer, NID_basic_constraints, wish->authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wish->authority)
        extend(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    if (wish->usage || !wish->authority)
        extend(certificate, issuer, NID_ext_key_usage, wish->usage ? wish->usage : "serverAuth");
    if (wish->alt_names)
        extend(certificate, issuer, NID_subject_alt_name, wish->alt_names);
    if (wish->constraints)
        extend(certificate, issuer, NID_name_constraints, wish->constraints);
    extend(certificate, issuer, NID_subject_key_identifier, "hash");
}

void certificate_make(const struct certificate_wish *wish, const struct certificate *issuer, struct certificate *out)
{
    BIGNUM *serial = BN_new();
    bool standard = !wish->from_s && !wish->until_s;
    const char *name = wish->common_name ? wish->common_name : "test";
    out->key = wish->rsa_bits ? EVP_RSA_gen((unsigned)wish->rsa_bits) : EVP_EC_gen("P-256");
    out->x509 = X509_new();
    must(out->key && out->x509, "key");
    const struct certificate *signer = issuer ? issuer : out;
    X509_set_version(out->x509, X509_VERSION_3);
    must(BN_rand(serial, 64, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
             BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(out->x509)),
         "serial number");
    BN_free(serial);
    X509_gmtime_adj(X509_getm_notBefore(out->x509), standard ? -3600 : wish->from_s);
    X509_gmtime_adj(X509_getm_notAfter(out->x509), standard ? 3600 : wish->until_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(out->x509), "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                               -1, 0);
    X509_set_issuer_name(out->x509, X509_get_subject_name(signer->x509));
    X509_set_pubkey(out->x509, out->key);
    extend_all(wish, out, signer);
    must(X509_sign(out->x509, signer->key, EVP_get_digestbyname(wish->digest ? wish->digest : "SHA256")), "signature");
}

void certificate_read(const char *path, const char *key_path, struct certificate *out)
{
    FILE *file = fopen(path, "r"), *key_file = fopen(key_path, "r");
    must(file && key_file, path);
    out->x509 = PEM_read_X509(file, NULL, NULL, NULL);
    out->key = PEM_read_PrivateKey(key_file, NULL, NULL, NULL);
    must(out->x509 && out->key, path);
    fclose(file);
    fclose(key_file);
}

void certificate_done(struct certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
    *certificate = (struct certificate){NULL, NULL};
}

static FILE *open_new(const char *path, char new_path[512])
{
    snprintf(new_path, 512, "%s.new", path);
    FILE *file = fopen(new_path, "w");
    must(file, new_path);
    return file;
}

static void put_in_place(FILE *file, const char *new_path, const char *path)
{
    must(fclose(file) == 0 && rename(new_path, path) == 0, path);
}

void certificate_write_chain(const char *path, const struct certificate *const *certificates)
{
    char new_path[512];
    FILE *file = open_new(path, new_path);
    for (; *certificates; certificates++)
        must(PEM_write_X509(file, (*certificates)->x509), path);
    put_in_place(file, new_path, path);
}

void certificate_write_key(const char *path, const struct certificate *certificate)
{
    char new_path[512];
    FILE *file = open_new(path, new_path);
    must(PEM_write_PrivateKey(file, certificate->key, NULL, NULL, 0, NULL, NULL), path);
    put_in_place(file, new_path, path);
}

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *in,
                     unsigned in_bytes, void *user)
{
    (void)ssl;
    (void)user;
    static const unsigned char h2[] = "\x02h2";
    unsigned char *chosen;
    int got = SSL_select_next_proto(&chosen, out_bytes, h2, sizeof(h2) - 1, in, in_bytes);
    *out = chosen;
    return got == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

SSL_CTX *certificate_server(const struct certificate *certificate, const struct certificate *chain)
{
    SSL_CTX *server = SSL_CTX_new(TLS_server_method());
    must(server, "server");
    SSL_CTX_set_security_level(server, 0); /* bad certificates are what some tests want */
    must(SSL_CTX_use_certificate(server, certificate->x509) == 1 &&
             SSL_CTX_use_PrivateKey(server, certificate->key) == 1,
         "server's certificate");
    if (chain)
        must(SSL_CTX_add1_chain_cert(server, chain->x509) == 1, "server's chain");
    SSL_CTX_set_mode(server, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_alpn_select_cb(server, choose_h2, NULL);
    return server;
}

void certificate_demand_client(SSL_CTX *server, const struct certificate *authority)
{
    must(X509_STORE_add_cert(SSL_CTX_get_cert_store(server), authority->x509) == 1, "client's authority");
    SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}
