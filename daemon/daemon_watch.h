/* SPDX-License-Identifier: MIT
 *
 * When the configuration's file is to be read again. Looked at from time to time, by name and through symbolic links:
 * the file may be written in place, renamed over, or reached by a link that changes.
 */
#ifndef DAEMON_WATCH_H
#define DAEMON_WATCH_H

#include <stdbool.h>
#include <sys/stat.h>

enum { DAEMON_WATCH_MS = 500 }; /* between two looks */

struct daemon_watch {
    struct stat taken; /* as the file was when it was read; all zero: it was not there */
    struct stat seen;  /* at the last look */
};

/* The file is about to be read, or has just been. */
void daemon_watch_taken(struct daemon_watch *watch, const char *path);

/* -> true, once, when the file is not the one that was read, and the same as at the look before: whoever writes it has
 * finished. A file that is not there is not to be read. */
bool daemon_watch_due(struct daemon_watch *watch, const char *path);

#endif
