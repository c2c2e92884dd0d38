/* SPDX-License-Identifier: MIT
 *
 * Reads a small file whole. It may be anything at all, and never holds up who reads it.
 */
#ifndef PLAIN_FILE_H
#define PLAIN_FILE_H

#include <stddef.h>
#include <stdint.h>

/* -> 0 and *bytes, below room; or -errno: -EINVAL not a plain file, -EFBIG room bytes or more. */
int plain_file_read(const char *path, uint8_t *to, size_t room, size_t *bytes);

#endif
