/* SPDX-License-Identifier: MIT
 *
 * Ways in which a server can misbehave, as scripts (hostile_peer.h), made from a table.
 */
#ifndef HOSTILE_CASES_H
#define HOSTILE_CASES_H

#include <stdbool.h>
#include <stddef.h>

struct hostile_case {
    char name[128];
    char *script;
    bool whole; /* the script begins with the connection; else after a first request has had its answer */
};

/* What comes before the script of a case that is not whole. */
extern const char HOSTILE_PRELUDE[];

/* Aborts without memory. -> how many */
size_t hostile_cases_new(struct hostile_case **out);
void hostile_cases_free(struct hostile_case *cases, size_t count);

#endif
