/* SPDX-License-Identifier: MIT
 *
 * Directories of tests. When the program has ended test/tidy removes them, whatever became of the test.
 */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include <stdbool.h>

enum { TEST_DIRECTORY_BYTES = 80 };

/* Makes an empty directory, "NAME.xxxxxx", on /dev/shm, and puts its path into TEST_DIRECTORY_BYTES. Aborts if it cannot. */
void test_directory(char *path, const char *name);

/* With all that is in it. Aborts if it cannot. */
void test_directory_remove(const char *path);

/* From here on what this process mounts is seen by itself alone, and is gone when the process is, however that comes.
 * -> false: it may not, not being root */
bool test_mounts_privately(void);

#endif
