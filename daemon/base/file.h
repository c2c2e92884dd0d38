/* SPDX-License-Identifier: MIT
 *
 * Files that a person names or may change: read and written whole, watched, and what errors mean for that person.
 */
#ifndef FILE_H
#define FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "buf.h"

/* ---- read and written whole, again after signals ---- */

/* Reads a small file. The path may name anything, a pipe too: the call never waits.
 * -> 0 and *bytes, fewer than room; -EINVAL: not a plain file; -EFBIG: room bytes or more; -errno */
int file_read(const char *path, uint8_t *to, size_t room, size_t *bytes);

/* Appends all that fd still has to out. -> 0; -EFBIG: more than max bytes; -ENOMEM; -errno: -EAGAIN when nothing is
 * there now and fd does not block. What was read before is in out in any case. */
int file_read_all(int fd, size_t max, struct buf *out);

/* -> 0 or -errno: then some of it may have been written */
int file_write_all(int fd, const void *data, size_t bytes);

/* ---- watched: when a file is to be read again ---- */

/* Looked at every FILE_WATCH_MS, by name and through symbolic links: the file may be written in place, renamed over, or
 * reached by a link that changes, as Kubernetes does it. */

enum { FILE_WATCH_MS = 500 }; /* between two looks */

struct file_watch {
    struct stat taken; /* as the file was when it was read; all zero: there was none */
    struct stat seen;  /* at the last look */
};

/* The file is about to be read, or has just been. */
void file_watch_taken(struct file_watch *watch, const char *path);

/* -> true, once, when the file is another than the one that was read, and the same as at the look before: its writer
 * has finished. A file that does not exist is not read. */
bool file_watch_due(struct file_watch *watch, const char *path);

/* ---- what errors mean ---- */

/* Why a file that a setting names cannot be used (an error of file_read, or -ENODATA: empty), and what to do. Valid
 * until the thread's next call. */
const char *file_problem(int err);

/* Why a directory that a setting names cannot be used, and what to do; err is -errno, -EWOULDBLOCK a lock that another
 * daemon holds. Static. NULL: nothing more than strerror says. */
const char *file_explain_directory(int err);

#endif
