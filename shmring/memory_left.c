/* SPDX-License-Identifier: MIT
 *
 * What the memory limits of the process's control groups leave, versions 1 and 2.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shmring.h"

struct limit {
    const char *controller; /* in the lines of /proc/self/cgroup */
    const char *folder;     /* below the mount */
    const char *limit;
    const char *usage;
    const char *cached[2]; /* lines of memory.stat: copies of files, which the kernel drops when memory is wanted */
};

static const struct limit limits[] = {
    {"", "", "memory.max", "memory.current", {"inactive_file", "active_file"}},
    {"", "", "memory.high", "memory.current", {"inactive_file", "active_file"}},
    {"memory",
     "/memory",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"total_inactive_file", "total_active_file"}},
};
enum { LIMITS = sizeof(limits) / sizeof(limits[0]), LINE_BYTES = PATH_MAX + 256 };

/* Not on the stack: a thread that asks may have a small one. */
struct question {
    const char *mount;
    uint64_t enough;
    const char *group; /* of which the first bytes are the level that is asked */
    int group_bytes;
    char line[LINE_BYTES];
    char path[PATH_MAX];
    char text[LINE_BYTES];
};

static FILE *open_in(struct question *question, const struct limit *limit, const char *name)
{
    int bytes = snprintf(question->path, sizeof(question->path), "%s%s%.*s/%s", question->mount, limit->folder,
                         question->group_bytes, question->group, name);
    return bytes < (int)sizeof(question->path) ? fopen(question->path, "re") : NULL;
}

static bool parse_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno || end == text)
        return false;
    *out = value;
    return true;
}

/* -> false: no such file, or no number ("max") */
static bool read_number(struct question *question, const struct limit *limit, const char *name, uint64_t *out)
{
    FILE *file = open_in(question, limit, name);
    if (!file)
        return false;
    bool found = fgets(question->text, sizeof(question->text), file) && parse_number(question->text, out);
    fclose(file);
    return found;
}

static uint64_t cached_bytes(struct question *question, const struct limit *limit)
{
    uint64_t sum = 0;
    FILE *file = open_in(question, limit, "memory.stat");
    while (file && fgets(question->text, sizeof(question->text), file)) {
        char *value = strchr(question->text, ' ');
        uint64_t bytes;
        if (!value)
            continue;
        *value++ = '\0';
        for (size_t i = 0; i < 2; i++)
            if (strcmp(question->text, limit->cached[i]) == 0 && parse_number(value, &bytes))
                sum += bytes;
    }
    if (file)
        fclose(file);
    return sum;
}

static uint64_t left_in(struct question *question, const struct limit *limit)
{
    uint64_t most, usage;
    if (!read_number(question, limit, limit->limit, &most) || !read_number(question, limit, limit->usage, &usage))
        return UINT64_MAX;
    if (most > usage && most - usage >= question->enough)
        return most - usage;
    uint64_t cached = cached_bytes(question, limit);
    usage -= cached < usage ? cached : usage;
    return most > usage ? most - usage : 0;
}

/* Each level up to the root has its limit. In a cgroup namespace the group's path does not exist, and the root is the
 * group. */
static uint64_t left_up_from(struct question *question, const struct limit *limit, const char *group)
{
    uint64_t least = UINT64_MAX;
    question->group = group;
    question->group_bytes = (int)strlen(group);
    for (;;) {
        uint64_t left = left_in(question, limit);
        least = left < least ? left : least;
        if (question->group_bytes == 0)
            return least;
        do
            question->group_bytes--;
        while (question->group_bytes > 0 && group[question->group_bytes] != '/');
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

/* self: /proc/self/cgroup; question->mount: /sys/fs/cgroup. */
static uint64_t ask(struct question *question, const char *self)
{
    uint64_t least = UINT64_MAX;
    FILE *file = fopen(self, "re");
    while (file && fgets(question->line, sizeof(question->line), file)) { /* number:controllers:path */
        char *controllers = strchr(question->line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        controllers++;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        for (size_t i = 0; i < LIMITS; i++) {
            if (!has_controller(controllers, limits[i].controller))
                continue;
            uint64_t left = left_up_from(question, &limits[i], group);
            least = left < least ? left : least;
        }
    }
    if (file)
        fclose(file);
    return least;
}

uint64_t shmring_memory_left(uint64_t enough)
{
    struct question *question = malloc(sizeof(*question));
    if (!question)
        return UINT64_MAX;
    question->mount = "/sys/fs/cgroup";
    question->enough = enough;
    uint64_t left = ask(question, "/proc/self/cgroup");
    free(question);
    return left;
}
