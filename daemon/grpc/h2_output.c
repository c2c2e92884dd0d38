/* SPDX-License-Identifier: MIT */
#include "h2_output.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    BORROW_MIN_BYTES = 512, /* for shorter bytes, one more part costs the kernel more than a copy */
    FIRST_CAPACITY = 64,
};

/* Parts in own memory get their address at the end: until then only their order and length are known. */
static bool is_own(const struct iovec *part)
{
    return !part->iov_base;
}

static int append(struct h2_output *out, const void *data, size_t bytes)
{
    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? 2 * out->capacity : FIRST_CAPACITY;
        struct iovec *parts = realloc(out->parts, capacity * sizeof(*parts));
        if (!parts)
            return -ENOMEM;
        out->parts = parts;
        out->capacity = capacity;
    }
    out->parts[out->count++] = (struct iovec){(void *)(uintptr_t)data, bytes};
    out->bytes += bytes;
    return 0;
}

int h2_output_copy(struct h2_output *out, const void *data, size_t bytes)
{
    int err = bytes ? buf_append(&out->own, data, bytes) : 0;
    if (err || !bytes)
        return err;
    if (!out->count || !is_own(&out->parts[out->count - 1]))
        return append(out, NULL, bytes);
    out->parts[out->count - 1].iov_len += bytes;
    out->bytes += bytes;
    return 0;
}

int h2_output_borrow(struct h2_output *out, const void *data, size_t bytes)
{
    return bytes < BORROW_MIN_BYTES ? h2_output_copy(out, data, bytes) : append(out, data, bytes);
}

void h2_output_finish(struct h2_output *out)
{
    uint8_t *at = out->own.data;
    for (size_t i = 0; i < out->count; i++) {
        if (!is_own(&out->parts[i]))
            continue;
        out->parts[i].iov_base = at;
        at += out->parts[i].iov_len;
    }
}

int h2_output_gather(const struct h2_output *out, size_t skip, struct buf *to)
{
    int err = buf_reserve(to, out->bytes - skip);
    for (size_t i = 0; i < out->count && !err; i++) {
        const struct iovec *part = &out->parts[i];
        if (skip < part->iov_len)
            err = buf_append(to, (const uint8_t *)part->iov_base + skip, part->iov_len - skip);
        skip -= skip < part->iov_len ? skip : part->iov_len;
    }
    return err;
}

void h2_output_clear(struct h2_output *out)
{
    out->own.len = out->count = out->bytes = 0;
}

void h2_output_done(struct h2_output *out)
{
    buf_done(&out->own);
    free(out->parts);
    *out = (struct h2_output){0};
}
