/* SPDX-License-Identifier: MIT
 *
 * The tracestate header of W3C Trace Context, level 2.
 */
#ifndef AISTRACE_TRACESTATE_H
#define AISTRACE_TRACESTATE_H

#include <stdbool.h>
#include <stddef.h>

#include "aistrace.h"

/* Blank or tab: what HTTP allows around a header's value and around the members of a list. */
static inline bool aistrace__is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Writes the members of the list to out, without white space around them and without empty members. Of members with the
 * same key the first stays: it is the most recent. What is over AISTRACE_TRACE_STATE_BYTES is cut as the standard asks:
 * first the members over 128 bytes, then from the end. out is text itself, or apart from it. -> the length.
 * 0: there is no member, or one breaks the grammar, or there are more than 32. Such a list is dropped whole: W3C's test
 * suite asks for that, since nobody can tell where a broken member ends. */
size_t aistrace__tracestate_parse(char out[AISTRACE_TRACE_STATE_BYTES], const char *text, size_t bytes);

#endif
