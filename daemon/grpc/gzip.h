/* SPDX-License-Identifier: MIT
 *
 * gzip (RFC 1952) over zlib, for requests: one message after the other through one state, so that the 256 KiB it takes
 * are allocated once. Pure. One thread.
 */
#ifndef GZIP_H
#define GZIP_H

#include <stddef.h>
#include <sys/uio.h>

#include "base/buf.h"

enum { GZIP_LEVEL = 1 }; /* of 1 to 9: the others cost several times the time for some percent */

struct gzip;

int gzip_new(struct gzip **out); /* -> 0 or -ENOMEM */
void gzip_free(struct gzip *gzip);

/* Appends the parts, as one gzip member, to out. -> 0 or -ENOMEM, out then as it was but for its capacity. */
int gzip_pack(struct gzip *gzip, const struct iovec *parts, size_t count, struct buf *out);

#endif
