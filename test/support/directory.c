/* SPDX-License-Identifier: MIT */
#include "directory.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>

void test_directory(char *path, const char *name)
{
    const char *place = getenv("AISTRACE_TEST_ROOT");
    int length = snprintf(path, TEST_DIRECTORY_BYTES, "%s/%s.XXXXXX", place ? place : "/dev/shm", name);
    if (length < TEST_DIRECTORY_BYTES && mkdtemp(path))
        return;
    perror(path);
    abort();
}

void test_directory_remove(const char *path)
{
    char command[TEST_DIRECTORY_BYTES + sizeof("rm -rf ")];
    int length = snprintf(command, sizeof(command), "rm -rf %s", path);
    if ((size_t)length < sizeof(command) && system(command) == 0)
        return;
    perror(path);
    abort();
}

bool test_mounts_privately(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}
