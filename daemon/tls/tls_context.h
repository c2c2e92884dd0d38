/* SPDX-License-Identifier: MIT
 *
 * What tls_context.c shows to tls.c.
 */
#ifndef TLS_CONTEXT_H
#define TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "tls.h"

struct tls_context {
    unsigned refs;
    SSL_CTX *ssl;
    BIO_METHOD *bytes_method; /* tls_bio.h */
    bool verify;
    bool own_ca;
};

#endif
