/* SPDX-License-Identifier: MIT
 *
 * A trace's tree as lines for a terminal. Widths are columns of the locale's wcwidth (LC_CTYPE must be UTF-8); control
 * characters in the data are escaped.
 */
#ifndef RENDER_H
#define RENDER_H

#include "base/buf.h"
#include "tree.h"

enum { RENDER_MIN_WIDTH = 60, RENDER_MAX_WIDTH = 400 };

struct render_settings {
    size_t width;
    bool colour;
    bool everything; /* ids, events, links, resource, and attributes without cutting */
};

/* Appends the trace and an empty line. -> 0 or -ENOMEM. */
int render_trace(struct buf *out, const struct tree *tree, const struct render_settings *settings);

#endif
