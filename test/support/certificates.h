/* SPDX-License-Identifier: MIT
 *
 * Certificates for tests, good ones and bad ones, made when they are needed. A failure ends the program.
 */
#ifndef CERTIFICATES_H
#define CERTIFICATES_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct certificate {
    X509 *x509;
    EVP_PKEY *key;
};

/* Zero: for a server, valid for an hour, P-256 and SHA-256. */
struct certificate_wish {
    const char *common_name; /* NULL: "test" */
    const char *alt_names;   /* "DNS:a.example, IP:127.0.0.1"; NULL: none */
    long from_s, until_s;    /* from now; both 0: an hour back to an hour ahead */
    bool authority;          /* may sign others */
    const char *usage;       /* extended key usage; NULL: "serverAuth", of an authority none */
    const char *constraints; /* name constraints of an authority; NULL: none */
    int rsa_bits;            /* 0: P-256 */
    const char *digest;      /* NULL: "SHA256" */
};

/* issuer NULL: self-signed. */
void certificate_make(const struct certificate_wish *wish, const struct certificate *issuer, struct certificate *out);
/* What certificate_write_chain (its first) and certificate_write_key wrote. */
void certificate_read(const char *path, const char *key_path, struct certificate *out);
void certificate_done(struct certificate *certificate);

/* PEM files, through a new file renamed over: a reader sees the old or the new. certificates ends with NULL. */
void certificate_write_chain(const char *path, const struct certificate *const *certificates);
void certificate_write_key(const char *path, const struct certificate *certificate);

/* A server's context: its certificate, with the chain (may be NULL) up to but without the root; h2 agreed by ALPN. */
SSL_CTX *certificate_server(const struct certificate *certificate, const struct certificate *chain);
/* The server then asks for a client certificate that authority signed. */
void certificate_demand_client(SSL_CTX *server, const struct certificate *authority);

#endif
