/* SPDX-License-Identifier: MIT
 *
 * gzip (RFC 1952) over zlib, for requests: one message after the other through one state, whose 256 KiB are
 * allocated once. Pure. One thread.
 */
#ifndef GZIP_H
#define GZIP_H

#include <stddef.h>
#include <sys/uio.h>

#include "base/buf.h"

enum { GZIP_LEVEL = 1 }; /* of 1 to 9: higher levels take several times as long to save a few percent */

struct gzip;

int gzip_new(struct gzip **out); /* -> 0 or -ENOMEM */
void gzip_free(struct gzip *gzip);

/* Appends the parts, as one gzip member, to out. -> 0; -ENOMEM: out->len is unchanged. */
int gzip_pack(struct gzip *gzip, const struct iovec *parts, size_t count, struct buf *out);

#endif
