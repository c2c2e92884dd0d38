/* SPDX-License-Identifier: MIT
 *
 * Bucket and object names, and their percent-encoded form in paths and queries.
 */
#ifndef NAMES_H
#define NAMES_H

#include <stdbool.h>
#include <stddef.h>

enum {
    NAMES_BUCKET_BYTES = 64 + 1,   /* with NUL */
    NAMES_OBJECT_BYTES = 1024 + 1, /* with NUL */
    NAMES_OBJECT_ENCODED_BYTES = 3 * 1024 + 1,
};

/* Letters, digits, `-`, `_` and `.`, not `.` first; 1 to 64 of them. */
bool names_bucket_valid(const char *name);

/* Decodes `bytes` of percent-encoded text into out, NUL-terminated, `capacity` with the NUL.
 * -> its length; -EINVAL: bad escape or an encoded NUL; -ENAMETOOLONG. On failure out is undefined. */
int names_decode(const char *text, size_t bytes, char *out, size_t capacity);

/* Encodes everything but unreserved characters and, when keep_slashes, `/`. -> its length; -ENAMETOOLONG. */
int names_encode(const char *text, bool keep_slashes, char *out, size_t capacity);

#endif
