/* SPDX-License-Identifier: MIT
 *
 * The file that holds the token sent with each request.
 */
#ifndef EXPORTER_TOKEN_H
#define EXPORTER_TOKEN_H

enum { EXPORTER_TOKEN_MAX_BYTES = 8 << 10 };

/* Reads the token, white space around it removed. -> 0 and *out (exporter_token_free), or -errno: -EINVAL not a plain
 * file, empty, or with bytes that a header cannot carry; -EFBIG. */
int exporter_token_read(const char *path, char **out);

/* Wipes it too. */
void exporter_token_free(char *token);

#endif
