/* SPDX-License-Identifier: MIT */
#include "spool_place.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "shmring.h"

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of the file system that the directory, or the one above it, is on. */
static uint64_t free_bytes(const char *path)
{
    char above[PATH_MAX];
    struct statvfs fs;
    if (snprintf(above, sizeof(above), "%s", path) >= (int)sizeof(above))
        return UINT64_MAX;
    while (statvfs(above, &fs) != 0) {
        char *slash = strrchr(above, '/');
        if (!slash || slash == above)
            return UINT64_MAX;
        *slash = '\0';
    }
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static char *choose_path(const struct config *config, const char *state_directory, struct spool_place *place)
{
    char *path = NULL;
    int printed;
    if (*config->spool_dir) {
        place->named = true;
        return strdup(config->spool_dir);
    }
    if (state_directory && *state_directory) {
        printed = asprintf(&path, "%.*s/spool", (int)strcspn(state_directory, ":"), state_directory);
    } else {
        place->in_memory = true;
        printed = asprintf(&path, "%s/spool", config->ring_dir);
    }
    return printed < 0 ? NULL : path;
}

int spool_place_find(const struct config *config, const char *state_directory, struct spool_place *out)
{
    struct spool_place place = {.max_bytes = config->spool_max_bytes};
    place.path = choose_path(config, state_directory, &place);
    if (!place.path)
        return -ENOMEM;
    if (place.in_memory || !config->spool_max_bytes_given)
        place.max_bytes = least_of(place.max_bytes, free_bytes(place.path) / SPOOL_PLACE_SHARE);
    if (place.in_memory) {
        uint64_t left = shmring_memory_left(UINT64_MAX);
        place.max_bytes = least_of(least_of(place.max_bytes, SPOOL_MEMORY_MAX_BYTES), left / SPOOL_PLACE_SHARE);
    }
    *out = place;
    return 0;
}
