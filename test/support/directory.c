/* SPDX-License-Identifier: MIT */
#include "directory.h"

#include <stdio.h>
#include <stdlib.h>

void test_directory(char *path, const char *name)
{
    const char *place = getenv("AISTRACE_TEST_ROOT");
    int length = snprintf(path, TEST_DIRECTORY_BYTES, "%s/%s.XXXXXX", place ? place : "/dev/shm", name);
    if (length < TEST_DIRECTORY_BYTES && mkdtemp(path))
        return;
    perror(path);
    abort();
}
