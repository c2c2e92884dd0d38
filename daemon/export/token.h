/* SPDX-License-Identifier: MIT
 *
 * The file that holds the token sent with each request.
 */
#ifndef TOKEN_H
#define TOKEN_H

#include <stdbool.h>

enum { TOKEN_MAX_BYTES = 8 << 10 };

/* Reads the token, white space around it removed. -> 0 and *out (secret_free), or -errno: -EINVAL not a plain file;
 * -ENODATA empty; -EILSEQ bytes that a header cannot carry; -EFBIG. */
int token_read(const char *path, char **out);

/* What such an error means, and what to do about it. */
const char *token_problem(int err);

/* Whether users other than the file's owner may read it. */
bool token_exposed(const char *path);

#endif
