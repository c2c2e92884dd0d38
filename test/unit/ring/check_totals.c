/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/totals.h"
#include "shmring_format.h"
#include "support/directory.h"
#include "support/test.h"

static char dir[TEST_DIRECTORY_BYTES];
static int dir_fd;
static const char instance_a[] = "00112233445566778899aabbccddeeff";
static const char instance_b[] = "ffeeddccbbaa99887766554433221100";

static void set_up(void)
{
    test_directory(dir, "totals");
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(dir_fd, 0);
}

static void tear_down(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
    close(dir_fd);
}

FIXTURE(set_up, tear_down);

static void write_state(const char *text)
{
    int fd = openat(dir_fd, TOTALS_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dprintf(fd, "%s", text), (int)strlen(text));
    close(fd);
}

static void touch_segment(const char *instance)
{
    char name[64];
    snprintf(name, sizeof(name), "%s%s", instance, SHMRING_SUFFIX);
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

TEST(missing_file_is_all_zero)
{
    struct totals totals;
    ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    ck_assert_uint_eq(outcome_sum(&totals.outcome), 0);
    ck_assert_uint_eq(totals.noted_count, 0);
}

TEST(figures_survive)
{
    struct totals totals = {.outcome = {.exported = 7, .sampled_out = 5, .rejected = 3}};
    totals.outcome.dropped[DROP_OVERSIZE] = 2;
    totals.producer_dropped[SHMRING_DROP_RING_FULL] = 11;
    totals.producer_dropped[PRODUCER_INTERRUPTED] = 1;
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_a), 0);
    totals_done(&totals);

    ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    ck_assert_uint_eq(totals.outcome.exported, 7);
    ck_assert_uint_eq(totals.outcome.sampled_out, 5);
    ck_assert_uint_eq(totals.outcome.rejected, 3);
    ck_assert_uint_eq(totals.outcome.dropped[DROP_OVERSIZE], 2);
    ck_assert_uint_eq(totals.producer_dropped[SHMRING_DROP_RING_FULL], 11);
    ck_assert_uint_eq(totals.producer_dropped[PRODUCER_INTERRUPTED], 1);
    totals_done(&totals);
}

TEST(noted_segment_is_known_while_its_file_is_there)
{
    struct totals totals = {0};
    touch_segment(instance_a);
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_a), 0);
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_b), 0);
    totals_done(&totals);

    ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    ck_assert(totals_noted(&totals, instance_a));
    ck_assert(!totals_noted(&totals, instance_b));
    totals_done(&totals);
}

TEST(unlinked_segment_is_forgotten)
{
    struct totals totals = {0};
    touch_segment(instance_a);
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_a), 0);
    totals_unlinked(&totals, instance_a);
    ck_assert(!totals_noted(&totals, instance_a));
    totals_done(&totals);
}

TEST(file_of_the_spool_is_retired_with_its_counts)
{
    struct totals totals = {.outcome = {.spooled = 9}};
    struct shmring_counts outcome = {.exported = 5, .rejected = 1};
    outcome.dropped[DROP_REFUSED] = 3;
    ck_assert_int_eq(totals_retire(&totals, dir_fd, 0xfedcba9876543210, &outcome), 0);
    ck_assert_int_eq(totals_retire(&totals, dir_fd, 7, &outcome), 0);
    totals_done(&totals);

    ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    ck_assert_uint_eq(totals.outcome.spooled, 9);
    ck_assert_uint_eq(totals.spool.exported, 10);
    ck_assert_uint_eq(totals.spool.rejected, 2);
    ck_assert_uint_eq(totals.spool.dropped[DROP_REFUSED], 6);
    ck_assert(totals_retired(&totals, 0xfedcba9876543210));
    ck_assert(totals_retired(&totals, 7));
    totals_forget_retired(&totals, 7);
    ck_assert(!totals_retired(&totals, 7));
    ck_assert_uint_eq(totals.retired_count, 1);
    totals_done(&totals);
}

TEST(retired_files_that_nobody_asks_about_are_forgotten)
{
    struct totals totals = {0};
    struct shmring_counts none = {0};
    for (uint64_t id = 1; id <= 5; id++)
        ck_assert_int_eq(totals_retire(&totals, dir_fd, id, &none), 0);
    ck_assert(totals_retired(&totals, 4));
    ck_assert(totals_retired(&totals, 2));
    ck_assert(totals_retired(&totals, 4));
    ck_assert(totals_retired(&totals, 5));
    ck_assert(!totals_retired(&totals, 6));
    totals_forget_retired(&totals, 2);
    totals_keep_retired(&totals);
    ck_assert_uint_eq(totals.retired_count, 2);
    ck_assert(totals_retired(&totals, 4));
    ck_assert(totals_retired(&totals, 5));
    totals_done(&totals);
}

TEST(file_that_cannot_be_retired_changes_nothing)
{
    struct totals totals = {.spool = {.exported = 2}};
    struct shmring_counts outcome = {.exported = 5};
    ck_assert_int_lt(totals_retire(&totals, -1, 7, &outcome), 0);
    ck_assert_uint_eq(totals.spool.exported, 2);
    ck_assert(!totals_retired(&totals, 7));
    totals_done(&totals);
}

static const char *const damaged[] = {
    "",
    "aistraced totals 1\n",
    "aistraced totals 1\nexported 7\n",
    "aistraced totals 9\nexported 7\nend\n",
    "aistraced totals 1\nexported seven\nend\n",
    "aistraced totals 1\nexported 99999999999999999999999\nend\n",
    "aistraced totals 1\nexported\nend\n",
    "aistraced totals 1\nretired xyz\nend\n",
};

LOOP_TEST(damaged_file_is_refused_whole, COUNT(damaged))
{
    struct totals totals = {.outcome = {.exported = 1}};
    write_state(damaged[_i]);
    ck_assert_int_eq(totals_load(dir_fd, &totals), -EBADMSG);
    ck_assert_uint_eq(totals.outcome.exported, 0);
}

TEST(figures_of_another_user_are_not_taken_over)
{
    struct totals totals = {.outcome = {.exported = 1}};
    char path[128];
    NEEDS(geteuid() == 0, "root");
    ck_assert_int_eq(fchmod(dir_fd, 03770), 0);
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_a), 0);
    totals_done(&totals);
    ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    totals_done(&totals);
    snprintf(path, sizeof(path), "%s/%s", dir, TOTALS_FILE);
    ck_assert_int_eq(chown(path, 4711, 4711), 0);
    ck_assert_int_eq(totals_load(dir_fd, &totals), -EBADMSG);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/dev/null", path), 0);
    ck_assert_int_eq(lchown(path, 4711, 4711), 0);
    ck_assert_int_eq(totals_load(dir_fd, &totals), -EBADMSG);
    ck_assert_uint_eq(totals.outcome.exported, 0);
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_a), 0); /* takes its place */
    totals_done(&totals);
    ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    totals_done(&totals);
}

TEST(symlink_is_not_followed)
{
    struct totals totals;
    ck_assert_int_eq(symlinkat("/etc/passwd", dir_fd, TOTALS_FILE), 0);
    ck_assert_int_eq(totals_load(dir_fd, &totals), -ELOOP);
}
