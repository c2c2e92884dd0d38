/* SPDX-License-Identifier: MIT
 *
 * Bytes for the peer, without copies: frame headers in the output's own memory, messages borrowed from their owner.
 * Pure. Zero-initialised is empty.
 */
#ifndef H2_OUTPUT_H
#define H2_OUTPUT_H

#include <stddef.h>
#include <sys/uio.h>

#include "base/buf.h"

struct h2_output {
    struct buf own;
    struct iovec *parts;
    size_t count;
    size_t capacity;
    size_t bytes; /* of all parts */
};

/* Append; short bytes are always copied. -> 0; -ENOMEM: the output can then only be cleared. */
int h2_output_copy(struct h2_output *out, const void *data, size_t bytes);
int h2_output_borrow(struct h2_output *out, const void *data, size_t bytes);

/* To be called when everything has been appended, before the parts are read: until then own memory may move. */
void h2_output_finish(struct h2_output *out);

/* Appends everything after the first skip bytes of a finished output to the buffer. -> 0 or -ENOMEM */
int h2_output_gather(const struct h2_output *out, size_t skip, struct buf *to);

void h2_output_clear(struct h2_output *out); /* empty again; keeps its memory */
void h2_output_done(struct h2_output *out);

#endif
