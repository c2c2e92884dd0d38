/* SPDX-License-Identifier: MIT
 *
 * Memory for secrets: pages of their own, left out of core dumps, wiped when freed.
 *
 * Libraries copy what is sent: requests with a token pass through buffers that are nobody's own. So whoever holds a
 * secret also calls secret_forbid_dumps, and that is what is promised: no core dump at all, and no other process of the
 * same user reads this one's memory. The pages are the second line, for dumps that root takes by hand.
 */
#ifndef SECRET_H
#define SECRET_H

#include <stddef.h>

/* Zeroed. -> secret_free, or NULL */
void *secret_new(size_t bytes);
void secret_free(void *secret); /* NULL is allowed */

/* PR_SET_DUMPABLE 0, for the whole process from now on. */
void secret_forbid_dumps(void);

#endif
