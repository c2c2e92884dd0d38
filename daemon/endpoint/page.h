/* SPDX-License-Identifier: MIT
 *
 * The page that shows traces: files of page/, embedded by page/embed when building.
 */
#ifndef PAGE_H
#define PAGE_H

#include <stddef.h>

/* Only the page's own scripts and styles run, and no markup is ever made from text. */
#define PAGE_POLICY                                                                                                    \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "              \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "                \
    "trusted-types 'none'"

struct page_file {
    const char *name;
    const unsigned char *data;
    size_t bytes;
};

extern const struct page_file page_files[];
extern const size_t page_file_count;

/* /, /search and /trace/ID are views of the one page; /page/NAME its parts. NULL: not of the page. */
const struct page_file *page_find(const char *path);

/* The media type of a file. */
const char *page_type(const struct page_file *file);

#endif
