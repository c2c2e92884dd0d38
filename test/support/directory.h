/* SPDX-License-Identifier: MIT
 *
 * Directories of tests. When the program has ended test/tidy removes them, whatever became of the test.
 */
#ifndef DIRECTORY_H
#define DIRECTORY_H

enum { TEST_DIRECTORY_BYTES = 80 };

/* Makes an empty directory, "NAME.xxxxxx", on /dev/shm, and puts its path into TEST_DIRECTORY_BYTES. Aborts if it cannot. */
void test_directory(char *path, const char *name);

#endif
