/* SPDX-License-Identifier: MIT */
#include "buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY_BYTES = 256 };

int buf_reserve(struct buf *buf, size_t more)
{
    if (more <= buf->cap - buf->len)
        return 0;
    if (more > SIZE_MAX / 2 - buf->len)
        return -ENOMEM;
    size_t need = buf->len + more;
    size_t cap = buf->cap < FIRST_CAPACITY_BYTES ? FIRST_CAPACITY_BYTES : buf->cap;
    while (cap < need)
        cap *= 2;
    uint8_t *data = realloc(buf->data, cap);
    if (!data)
        return -ENOMEM;
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int buf_append(struct buf *buf, const void *data, size_t bytes)
{
    int err = buf_reserve(buf, bytes);
    if (err)
        return err;
    if (bytes)
        memcpy(buf->data + buf->len, data, bytes);
    buf->len += bytes;
    return 0;
}

int buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (bytes < 0)
        return -EINVAL;
    /* vsnprintf writes a NUL too; it lies beyond len. */
    int err = buf_reserve(buf, (size_t)bytes + 1);
    if (err)
        return err;
    va_start(args, format);
    vsnprintf((char *)buf->data + buf->len, (size_t)bytes + 1, format, args);
    va_end(args);
    buf->len += (size_t)bytes;
    return 0;
}

void buf_done(struct buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct buf){0};
}
