/* SPDX-License-Identifier: MIT
 *
 * Input and output on one file of the spool. The calls block: for a worker thread, or the start.
 * Each -> 0 (or a descriptor) or -errno.
 */
#ifndef SPOOL_IO_H
#define SPOOL_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* A new file, mode 0600, with all its bytes allocated: a full disk is -ENOSPC here, and not at a later write. On
 * failure no file is left. */
int spool_io_create(int dir_fd, const char *name, uint64_t bytes);

/* A regular file of this user or root: in a directory where others may write, another user could have spans sent in
 * this daemon's name. Symbolic links are not followed. -EINVAL: not a regular file; -EPERM: of another user */
int spool_io_open(int dir_fd, const char *name, uint64_t *bytes);

/* Removes the file, and closes *fd unless it is negative; *fd is then -1. Takes its time: the file's blocks are freed
 * here. */
int spool_io_remove(int dir_fd, const char *name, int *fd);

/* False: somebody has removed the file, and what is written to it is lost when the daemon ends. */
bool spool_io_has_name(int fd);

/* Makes the file one of this sequence and id, without records. */
int spool_io_begin(int fd, uint64_t sequence, uint64_t id);

int spool_io_read(int fd, uint64_t offset, void *to, size_t bytes); /* -EIO: the file is shorter */
int spool_io_write(int fd, uint64_t offset, const void *data, size_t bytes);
int spool_io_write_parts(int fd, uint64_t offset, const struct iovec *parts, size_t count);

#endif
