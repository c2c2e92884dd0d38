/* SPDX-License-Identifier: MIT */
#include "tls_bio.h"

#include <string.h>

static int append(BIO *bio, const char *data, int bytes)
{
    struct tls_bytes *at = BIO_get_data(bio);
    return buf_append(&at->out, data, (size_t)bytes) ? -1 : bytes;
}

static int take(BIO *bio, char *data, int room)
{
    struct tls_bytes *at = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!at->in_bytes) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t bytes = (size_t)room < at->in_bytes ? (size_t)room : at->in_bytes;
    memcpy(data, at->in, bytes);
    at->in += bytes;
    at->in_bytes -= bytes;
    return (int)bytes;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "aistrace");
    if (method && BIO_meth_set_write(method, append) && BIO_meth_set_read(method, take) &&
        BIO_meth_set_ctrl(method, control))
        return method;
    BIO_meth_free(method);
    return NULL;
}
