/* SPDX-License-Identifier: MIT
 *
 * Where the spool is, and how large it may be: aistraced.spool.dir; else `spool` in the first directory of
 * $STATE_DIRECTORY (systemd); else `spool` in the ring directory. That is memory, which is charged to this daemon and
 * stays when it ends: a large spool there would have the daemon killed for lack of memory again and again.
 */
#ifndef SPOOL_PLACE_H
#define SPOOL_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

enum {
    SPOOL_MEMORY_MAX_BYTES = 64 << 20, /* in the ring directory */
    SPOOL_PLACE_SHARE = 4,             /* of what is free, a quarter */
};

struct spool_place {
    char *path;         /* owned */
    bool named;         /* by the configuration: must be usable */
    bool in_memory;     /* of the ring directory */
    uint64_t max_bytes; /* 0: off */
};

/* max_bytes is aistraced.spool.max_bytes, in the ring directory at most SPOOL_MEMORY_MAX_BYTES, a quarter of what is
 * free in its file system and a quarter of what the cgroup's memory limit leaves; elsewhere, unless given, at most a
 * quarter of what is free. state_directory: the environment's, or NULL. -> 0 or -ENOMEM */
int spool_place_find(const struct config *config, const char *state_directory, struct spool_place *out);

#endif
