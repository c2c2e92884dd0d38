/* SPDX-License-Identifier: MIT
 *
 * Bytes for the peer where they lie: frame headers in memory of their own, messages borrowed from whoever made them.
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

/* Append; short ones are copied all the same. -> 0 or -ENOMEM; the output is then only good to be cleared. */
int h2_output_copy(struct h2_output *out, const void *data, size_t bytes);
int h2_output_borrow(struct h2_output *out, const void *data, size_t bytes);

/* To be called once everything has been appended, before the parts are looked at: until then own memory may move. */
void h2_output_finish(struct h2_output *out);

/* Appends everything after the first skip bytes of a finished output to the buffer. -> 0 or -ENOMEM */
int h2_output_gather(const struct h2_output *out, size_t skip, struct buf *to);

void h2_output_clear(struct h2_output *out); /* empty again; keeps its memory */
void h2_output_done(struct h2_output *out);

#endif
