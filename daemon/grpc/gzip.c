/* SPDX-License-Identifier: MIT */
#include "gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    WINDOW_BITS = 15 + 16, /* + 16: gzip's header and trailer, not zlib's */
    MEMORY_LEVEL = 8,
    ROOM_BYTES = 16 << 10,
};

struct gzip {
    z_stream stream;
};

int gzip_new(struct gzip **out)
{
    struct gzip *gzip = calloc(1, sizeof(*gzip));
    if (!gzip)
        return -ENOMEM;
    if (deflateInit2(&gzip->stream, GZIP_LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(gzip);
        return -ENOMEM;
    }
    *out = gzip;
    return 0;
}

void gzip_free(struct gzip *gzip)
{
    if (!gzip)
        return;
    deflateEnd(&gzip->stream);
    free(gzip);
}

/* Runs until all input is taken; with Z_FINISH until all output is written. */
static int run(z_stream *stream, int flush, struct buf *out)
{
    int status;
    do {
        if (buf_reserve(out, ROOM_BYTES))
            return -ENOMEM;
        stream->next_out = out->data + out->len;
        stream->avail_out = (uInt)(out->cap - out->len);
        status = deflate(stream, flush);
        out->len = out->cap - stream->avail_out;
    } while (flush == Z_FINISH ? status == Z_OK : stream->avail_in > 0);
    return 0;
}

int gzip_pack(struct gzip *gzip, const struct iovec *parts, size_t count, struct buf *out)
{
    size_t before = out->len;
    int err = 0;
    deflateReset(&gzip->stream);
    for (size_t i = 0; i < count && !err; i++) {
        gzip->stream.next_in = parts[i].iov_base;
        gzip->stream.avail_in = (uInt)parts[i].iov_len;
        err = run(&gzip->stream, Z_NO_FLUSH, out);
    }
    if (!err)
        err = run(&gzip->stream, Z_FINISH, out);
    if (err)
        out->len = before;
    return err;
}
