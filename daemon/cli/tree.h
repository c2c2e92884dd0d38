/* SPDX-License-Identifier: MIT
 *
 * One trace, from a line of OTLP/JSON to a tree of spans. Nothing in the line is trusted.
 */
#ifndef TREE_H
#define TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TREE_NONE = -1 };

/* Texts are borrowed from the tree; never NULL, may hold any character. */
struct tree_text {
    const char *data;
    size_t bytes;
};

struct tree_span {
    const json_t *json;     /* the span */
    const json_t *resource; /* object or NULL */
    struct tree_text id, parent_id, service, name;
    uint64_t start_ns, end_ns;                   /* end_ns >= start_ns */
    int kind, status;                            /* OTLP numbers */
    bool orphan;                                 /* its parent is not in the trace, or its own descendant */
    ptrdiff_t parent, first_child, next_sibling; /* indexes into spans, or TREE_NONE; siblings by start */
    size_t depth;
};

struct tree {
    json_t *line;
    struct tree_span *spans; /* by start */
    size_t count;
    ptrdiff_t first_root; /* further roots are its siblings */
    struct tree_text trace_id;
    uint64_t start_ns, end_ns;
    size_t services, errors;
};

/* -> 0; -EBADMSG: no JSON object with resourceSpans, or no span in it; -ENOMEM. */
int tree_parse(const char *line, size_t bytes, struct tree *out);
void tree_done(struct tree *tree);

/* Before the first, pass TREE_NONE; a parent comes before its children. -> TREE_NONE at the end. */
ptrdiff_t tree_next(const struct tree *tree, ptrdiff_t after);

struct tree_text tree_get_text(const json_t *object, const char *key);
/* A number, or a string of digits as OTLP/JSON has 64-bit numbers. -> 0 when there is none. */
uint64_t tree_get_number(const json_t *object, const char *key);

#endif
