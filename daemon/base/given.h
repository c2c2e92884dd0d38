/* SPDX-License-Identifier: MIT
 *
 * Whether a text was given at all: an empty one, as of a variable that is set to nothing, counts as none.
 */
#ifndef GIVEN_H
#define GIVEN_H

#include <stdbool.h>
#include <stdlib.h>

static inline bool given(const char *text)
{
    return text && *text;
}

/* The value of an environment variable, or NULL: it is not set, or empty. */
static inline const char *given_env(const char *name)
{
    const char *value = getenv(name);
    return given(value) ? value : NULL;
}

#endif
