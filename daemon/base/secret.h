/* SPDX-License-Identifier: MIT
 *
 * Memory for secrets: pages of their own, left out of core dumps, wiped when freed.
 *
 * They are the second line, for a dump that root takes by hand. Libraries copy what is sent, so requests with a token
 * also pass through the libraries' buffers. For those harden.h answers: no core dump at all, and no other process of
 * the same user can read this one's memory.
 */
#ifndef SECRET_H
#define SECRET_H

#include <stddef.h>

/* Zeroed. -> secret_free, or NULL */
void *secret_new(size_t bytes);
void secret_free(void *secret); /* NULL is allowed */

#endif
