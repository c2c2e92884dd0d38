/* SPDX-License-Identifier: MIT
 *
 * Files read and written whole, again after signals.
 */
#ifndef PLAIN_FILE_H
#define PLAIN_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* Reads a small file. The path may name anything at all, and never holds up the caller.
 * -> 0 and *bytes, below room; or -errno: -EINVAL not a plain file, -EFBIG room bytes or more. */
int plain_file_read(const char *path, uint8_t *to, size_t room, size_t *bytes);

/* Why a file that a setting names cannot be used (an error of plain_file_read, or -ENODATA: empty), and what to do.
 * Valid until the thread's next call. */
const char *plain_file_problem(int err);

/* Appends all that fd still has to out. -> 0; -EFBIG: more than max bytes; -ENOMEM; -errno: -EAGAIN when nothing is there
 * now and fd does not block. What was read before is in out in any case. */
int plain_file_read_all(int fd, size_t max, struct buf *out);

/* -> 0 or -errno: then some of it may have been written */
int plain_file_write_all(int fd, const void *data, size_t bytes);

#endif
