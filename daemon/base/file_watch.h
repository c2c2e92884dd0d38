/* SPDX-License-Identifier: MIT
 *
 * When a file is to be read again. Looked at from time to time, by name and through symbolic links:
 * the file may be written in place, renamed over, or reached by a link that changes, as Kubernetes does it.
 */
#ifndef FILE_WATCH_H
#define FILE_WATCH_H

#include <stdbool.h>
#include <sys/stat.h>

enum { FILE_WATCH_MS = 500 }; /* between two looks */

struct file_watch {
    struct stat taken; /* as the file was when it was read; all zero: it was not there */
    struct stat seen;  /* at the last look */
};

/* The file is about to be read, or has just been. */
void file_watch_taken(struct file_watch *watch, const char *path);

/* -> true, once, when the file is not the one that was read, and the same as at the look before: whoever writes it has
 * finished. A file that is not there is not to be read. */
bool file_watch_due(struct file_watch *watch, const char *path);

#endif
