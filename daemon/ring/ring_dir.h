/* SPDX-License-Identifier: MIT
 *
 * The ring directory: opened, locked against a second daemon, and followed when somebody removes it or its lock file.
 * On the loop's thread.
 */
#ifndef RING_DIR_H
#define RING_DIR_H

#include <stdbool.h>

#include "base/log.h"

struct ring_dir {
    char *path; /* as configured, for the log */
    int fd;
    int lock_fd;
    struct log *log;
};

/* Opens the directory, which is made when missing, and locks it. Copies the path, borrows the log. -> 0; -EWOULDBLOCK:
 * another daemon has the lock; -ENOMEM; or as shmring_dir_open: then there is nothing to close. */
int ring_dir_open(struct ring_dir *dir, const char *path, struct log *log);
void ring_dir_close(struct ring_dir *dir);

/* To be called every second or so. Opens the directory again when it was removed, and locks it again when its lock
 * file was. What cannot be done is told in the log and tried again by the next call. -> true: `fd` is another directory
 * now. */
bool ring_dir_follow(struct ring_dir *dir);

#endif
