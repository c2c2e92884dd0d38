/* SPDX-License-Identifier: MIT
 *
 * A terminal line being written: counts columns, escapes what could hurt the terminal, wraps.
 */
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum line_style { LINE_PLAIN, LINE_BOLD, LINE_DIM, LINE_SERVICE, LINE_BAR, LINE_ERROR, LINE_WARNING };

struct line {
    struct buf *out;
    bool colour;
    size_t column;
    int err; /* first failure; everything after it does nothing */
};

/* The columns that text takes once escaped. */
size_t line_columns(const char *text, size_t bytes);

/* Appends text; of what takes more than max columns the end becomes "…". */
void line_put(struct line *line, enum line_style style, const char *text, size_t bytes, size_t max);
void line_puts(struct line *line, enum line_style style, const char *text);

/* Spaces up to a column; none when the line is already wider. */
void line_pad(struct line *line, size_t column);
void line_end(struct line *line);

#endif
