/* SPDX-License-Identifier: MIT
 *
 * Growable bytes. Zero-initialised is empty. Growth doubles; nothing shrinks, so that recycled buffers stop allocating.
 */
#ifndef BUF_H
#define BUF_H

#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

int buf_reserve(struct buf *buf, size_t more); /* room for len + more; -> 0 or -ENOMEM, then unchanged */
int buf_append(struct buf *buf, const void *data, size_t bytes);
int buf_append_text(struct buf *buf, const char *text); /* without its NUL */
int buf_printf(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* no NUL counted in len */
void buf_done(struct buf *buf);            /* frees; empty again */

#endif
