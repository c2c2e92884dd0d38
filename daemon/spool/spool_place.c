/* SPDX-License-Identifier: MIT */
#include "spool_place.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* ---- memory limits ---- */

struct cgroup_version {
    const char *controller; /* in the lines of /proc/self/cgroup */
    const char *folder;     /* below the mount */
    const char *limit;
    const char *usage;
};

static const struct cgroup_version versions[] = {
    {"", "", "memory.max", "memory.current"},
    {"memory", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"},
};
enum { VERSIONS = sizeof(versions) / sizeof(versions[0]) };

/* -> false: no such file, or no number ("max") */
static bool read_number(const char *mount, const char *folder, const char *group, const char *name, uint64_t *out)
{
    char path[PATH_MAX], text[32];
    if (snprintf(path, sizeof(path), "%s%s%s/%s", mount, folder, group, name) >= (int)sizeof(path))
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool read = fgets(text, sizeof(text), file);
    fclose(file);
    char *end = text;
    errno = 0;
    uint64_t value = read ? strtoull(text, &end, 10) : 0;
    if (!read || errno || end == text)
        return false;
    *out = value;
    return true;
}

/* Each level up to the root has its limit; group is shortened on the way. In a cgroup namespace the group's path does
 * not exist, and the root is the group. */
static uint64_t left_of(const char *mount, const struct cgroup_version *version, char *group)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t limit, usage;
        if (read_number(mount, version->folder, group, version->limit, &limit) &&
            read_number(mount, version->folder, group, version->usage, &usage)) {
            uint64_t left = limit > usage ? limit - usage : 0;
            least = left < least ? left : least;
        }
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* Is `name` in the list a,b,c? An empty list has the empty name. */
static bool has_controller(const char *list, const char *name)
{
    size_t bytes = strlen(name);
    for (;;) {
        size_t here = strcspn(list, ",");
        if (here == bytes && strncmp(list, name, bytes) == 0)
            return true;
        if (!list[here])
            return false;
        list += here + 1;
    }
}

/* What the memory limits of this process's cgroup and those above it leave, version 1 or 2; UINT64_MAX: no limit known.
 * self: /proc/self/cgroup; mount: /sys/fs/cgroup. */
static uint64_t memory_left(const char *self, const char *mount)
{
    char line[PATH_MAX + 256];
    uint64_t least = UINT64_MAX;
    FILE *file = fopen(self, "re");
    if (!file)
        return least;
    while (fgets(line, sizeof(line), file)) { /* number:controllers:path */
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        controllers++;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        for (size_t i = 0; i < VERSIONS; i++) {
            if (!has_controller(controllers, versions[i].controller))
                continue;
            uint64_t left = left_of(mount, &versions[i], group);
            least = left < least ? left : least;
        }
    }
    fclose(file);
    return least;
}

/* ---- the place ---- */

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
        uint64_t left = memory_left("/proc/self/cgroup", "/sys/fs/cgroup");
        place.max_bytes = least_of(least_of(place.max_bytes, SPOOL_MEMORY_MAX_BYTES), left / SPOOL_PLACE_SHARE);
    }
    *out = place;
    return 0;
}
