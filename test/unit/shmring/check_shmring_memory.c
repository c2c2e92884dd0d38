/* SPDX-License-Identifier: MIT
 *
 * What is left below the memory limits of control groups, from files that stand for a machine's.
 */
#include "memory_left.c"

#include <stdio.h>
#include <stdlib.h>

#include "support/directory.h"
#include "support/test.h"

static char root[TEST_DIRECTORY_BYTES];

static void set_up(void)
{
    test_directory(root, "groups");
}

static void tear_down(void)
{
    test_directory_remove(root);
}

FIXTURE(set_up, tear_down);

/* Makes the folders above as needed. */
static void put(const char *name, const char *text)
{
    char command[512];
    snprintf(command, sizeof(command), "mkdir -p \"$(dirname %s/%s)\" && printf '%s' > %s/%s", root, name, text, root,
             name);
    ck_assert_int_eq(system(command), 0);
}

static uint64_t left_if(uint64_t enough)
{
    static struct question question;
    char self[128];
    snprintf(self, sizeof(self), "%s/self", root);
    question.mount = root;
    question.enough = enough;
    return ask(&question, self);
}

static uint64_t left(void)
{
    return left_if(UINT64_MAX);
}

TEST(without_a_limit_all_memory_is_left)
{
    ck_assert_uint_eq(left(), UINT64_MAX);
    put("self", "0::/a/b\\n");
    ck_assert_uint_eq(left(), UINT64_MAX);
    put("a/b/memory.max", "max\\n");
    put("a/b/memory.current", "100\\n");
    ck_assert_uint_eq(left(), UINT64_MAX);
}

TEST(the_tightest_limit_of_the_groups_above_counts)
{
    put("self", "0::/a/b\\n");
    put("a/b/memory.max", "1000\\n");
    put("a/b/memory.current", "100\\n");
    ck_assert_uint_eq(left(), 900);
    put("a/memory.max", "700\\n");
    put("a/memory.current", "300\\n");
    ck_assert_uint_eq(left(), 400);
    put("memory.max", "50\\n"); /* as in a namespace of its own */
    put("memory.current", "60\\n");
    ck_assert_uint_eq(left(), 0);
}

TEST(version_1_has_files_of_other_names)
{
    put("self", "9:name=systemd:/x\\n4:cpu,memory:/g\\n0::/\\n");
    put("memory/g/memory.limit_in_bytes", "5000\\n");
    put("memory/g/memory.usage_in_bytes", "1000\\n");
    ck_assert_uint_eq(left(), 4000);
}

TEST(nonsense_is_no_limit)
{
    put("self", "no colons\\n1:memory\\n:\\n2:memory:/g\\n");
    put("memory/g/memory.limit_in_bytes", "many\\n");
    put("memory/g/memory.usage_in_bytes", "x\\n");
    ck_assert_uint_eq(left(), UINT64_MAX);
}

/* A program that reads files fills its group with their copies, up to the limit. */
LOOP_TEST(copies_of_files_are_no_use_of_memory, 2)
{
    if (_i == 0) {
        put("self", "0::/a\\n");
        put("a/memory.max", "1000\\n");
        put("a/memory.current", "990\\n");
        put("a/memory.stat", "anon 100\\nshmem 7\\ninactive_file 500\\nactive_file 300\\ntotal_active_file 9\\n");
    } else {
        put("self", "4:memory:/a\\n");
        put("memory/a/memory.limit_in_bytes", "1000\\n");
        put("memory/a/memory.usage_in_bytes", "990\\n");
        put("memory/a/memory.stat", "active_file 9\\ntotal_inactive_file 500\\ntotal_active_file 300\\nx\\n");
    }
    ck_assert_uint_eq(left(), 810);
    ck_assert_uint_eq(left_if(11), 810);
    ck_assert_uint_eq(left_if(10), 10);
}

TEST(more_copies_than_use_leave_the_whole_limit)
{
    put("self", "0::/a\\n");
    put("a/memory.max", "1000\\n");
    put("a/memory.current", "300\\n");
    put("a/memory.stat", "inactive_file 500\\n");
    ck_assert_uint_eq(left(), 1000);
}

/* Above it the kernel makes the group's programs wait. */
TEST(the_high_mark_of_version_2_is_a_limit)
{
    put("self", "0::/a/b\\n");
    put("a/b/memory.current", "100\\n");
    put("a/b/memory.max", "1000\\n");
    put("a/b/memory.high", "600\\n");
    ck_assert_uint_eq(left(), 500);
    put("a/b/memory.high", "max\\n");
    ck_assert_uint_eq(left(), 900);
    put("a/memory.current", "100\\n");
    put("a/memory.high", "300\\n");
    ck_assert_uint_eq(left(), 200);
}

TEST(this_machine_is_asked_as_well)
{
    ck_assert_uint_gt(shmring_memory_left(1), 0);
}
