/* SPDX-License-Identifier: MIT
 *
 * OpenSSL's way to bytes in memory: reads a borrowed piece, appends to a buffer, copies nothing else.
 */
#ifndef TLS_BIO_H
#define TLS_BIO_H

#include <openssl/bio.h>

#include "base/buf.h"

struct tls_bytes {
    const uint8_t *in; /* borrowed; what has not been read yet */
    size_t in_bytes;
    struct buf out;
};

/* For BIOs whose data (BIO_set_data) is a struct tls_bytes that outlives them. -> BIO_meth_free, or NULL */
BIO_METHOD *tls_bio_method(void);

#endif
