/* SPDX-License-Identifier: MIT */
#include "explain.h"

#include <errno.h>
#include <stddef.h>

static const struct {
    int err;
    const char *text;
} directory_problems[] = {
    {-EWOULDBLOCK, "another aistraced uses it; stop that one, or give each one a directory of its own"},
    {-EPERM, "it belongs to another user; run as its owner, or name another directory"},
    {-EACCES, "no permission; run as its owner, or name another directory"},
    {-ENOTDIR, "it is not a directory; name another one"},
    {-ELOOP, "it is a symbolic link, which is not followed; name the directory itself"},
    {-ENOENT, "the directory above it does not exist; create that one, or name another directory"},
    {-ENOSPC, "its file system is full; free some space, or name another directory"},
    {-EROFS, "its file system is read-only; make it writable, or name another directory"},
};

const char *explain_directory(int err)
{
    for (size_t i = 0; i < sizeof(directory_problems) / sizeof(directory_problems[0]); i++) {
        if (directory_problems[i].err == err)
            return directory_problems[i].text;
    }
    return NULL;
}
