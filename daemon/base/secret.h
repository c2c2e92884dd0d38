/* SPDX-License-Identifier: MIT
 *
 * Memory for secrets: pages of their own, left out of core dumps, wiped when freed.
 *
 * They are the second line, for a dump that root takes by hand. Libraries copy what is sent, so requests with a token
 * also pass through buffers that are nobody's own; what is promised for those is harden.h's: no core dump at all, and
 * nobody else of the same user looks into this process.
 */
#ifndef SECRET_H
#define SECRET_H

#include <stddef.h>

/* Zeroed. -> secret_free, or NULL */
void *secret_new(size_t bytes);
void secret_free(void *secret); /* NULL is allowed */

#endif
