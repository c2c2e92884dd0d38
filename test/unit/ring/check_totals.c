/* SPDX-License-Identifier: MIT
 *
 * Includes the sources it tests, so that their allocations and system calls can be made to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/failing.h"

#define unlinkat(...) (fails("unlinkat") ? -1 : unlinkat(__VA_ARGS__))
#define write(...)    (fails("write") ? -1 : write(__VA_ARGS__))
#define close(fd)     (close(fd), fails("close") ? -1 : 0)

#include "base/buf.c"
#include "base/file.c"
#include "ring/totals.c"

#undef close

#include "shmring_format.h"
#include "support/directory.h"
#include "support/test.h"

static char dir[TEST_DIRECTORY_BYTES];
static int dir_fd;
static const char instance_a[] = "00112233445566778899aabbccddeeff";
static const char instance_b[] = "ffeeddccbbaa99887766554433221100";
static const char instance_c[] = "0123456789abcdef0123456789abcdef";

static void set_up(void)
{
    test_directory(dir, "totals");
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(dir_fd, 0);
}

static void tear_down(void)
{
    test_directory_remove(dir);
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

TEST(others_stay_noted_when_one_segment_is_unlinked)
{
    struct totals totals = {0};
    const char *const all[] = {instance_a, instance_b, instance_c};
    for (size_t i = 0; i < COUNT(all); i++) {
        touch_segment(all[i]);
        ck_assert_int_eq(totals_note(&totals, dir_fd, all[i]), 0);
    }
    totals_unlinked(&totals, instance_a);
    totals_unlinked(&totals, instance_a);                          /* known no more: changes nothing */
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_b), 0); /* the file is written anew, b is in it once */
    for (int loaded = 0; loaded < 2; loaded++) {
        ck_assert_uint_eq(totals.noted_count, 2);
        ck_assert(!totals_noted(&totals, instance_a));
        ck_assert(totals_noted(&totals, instance_b));
        ck_assert(totals_noted(&totals, instance_c));
        totals_done(&totals);
        ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    }
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
    "aistraced totals 1\nexported 18446744073709551616\nend\n",
    "aistraced totals 1\nexported 1x\nend\n",
    "aistraced totals 1\nexported \nend\n",
    "aistraced totals 1\nexported 7\nend\nexported 7\n",
    "aistraced totals 1\nretired xyz\nend\n",
    "aistraced totals 1\nretired 12x\nend\n",
    "aistraced totals 1\nretired \nend\n",
    "aistraced totals 1\nretired 10000000000000000\nend\n",
};

LOOP_TEST(damaged_file_is_refused_whole, COUNT(damaged))
{
    struct totals totals = {.outcome = {.exported = 1}};
    write_state(damaged[_i]);
    ck_assert_int_eq(totals_load(dir_fd, &totals), -EBADMSG);
    ck_assert_uint_eq(totals.outcome.exported, 0);
}

TEST(the_largest_numbers_are_numbers)
{
    struct totals totals;
    write_state("aistraced totals 1\nexported 18446744073709551615\nretired ffffffffffffffff\nend\n");
    ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    ck_assert_uint_eq(totals.outcome.exported, UINT64_MAX);
    ck_assert(totals_retired(&totals, UINT64_MAX));
    totals_done(&totals);
}

TEST(lines_of_a_later_version_are_passed_over)
{
    struct totals totals;
    write_state("aistraced totals 1\nexported 7\nnever_heard_of this\nnoted short\nend\n");
    ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    ck_assert_uint_eq(totals.outcome.exported, 7);
    ck_assert_uint_eq(totals.noted_count, 0);
    totals_done(&totals);
}

TEST(text_ends_where_its_length_says)
{
    struct totals totals;
    struct buf text = {0};
    ck_assert_int_eq(buf_append_text(&text, TOTALS_MAGIC "\nend"), 0);
    ck_assert_int_eq(buf_append(&text, "less", 5), 0);
    text.len -= 5;
    ck_assert_int_eq(totals_parse(&text, &totals), 0);
    totals_done(&totals);
    buf_done(&text);
}

/* Sound but for its size. */
static int load_of_size(size_t bytes)
{
    static const char line[] = "zzzzzzzzzzzzz 0\n"; /* 16 bytes */
    static const char last[] = "z 0\nend\n";
    struct totals totals;
    struct buf text = {0};
    ck_assert_int_eq(buf_append_text(&text, TOTALS_MAGIC "\n"), 0);
    while (text.len + 2 * sizeof(line) + sizeof(last) < bytes)
        ck_assert_int_eq(buf_append_text(&text, line), 0);
    while (text.len < bytes - strlen(last))
        ck_assert_int_eq(buf_append_text(&text, "z"), 0);
    ck_assert_int_eq(buf_append_text(&text, last), 0);
    ck_assert_uint_eq(text.len, bytes);
    int fd = openat(dir_fd, TOTALS_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_eq(file_write_all(fd, text.data, text.len), 0);
    close(fd);
    buf_done(&text);
    int err = totals_load(dir_fd, &totals);
    ck_assert_int_eq(failing.held, 0);
    return err;
}

TEST(file_of_more_than_a_mebibyte_is_damaged)
{
    ck_assert_int_eq(load_of_size(1 << 20), 0);
    ck_assert_int_eq(load_of_size((1 << 20) + 1), -EBADMSG);
    ck_assert_int_eq(load_of_size(3 << 20), -EBADMSG);
}

/* ---- what fails ---- */

struct failure {
    const char *call;
    unsigned after; /* calls of it that succeed */
    int err;
    int told; /* by totals_... */
};

/* realloc: of the list; of the text */
static const struct failure saves[] = {
    {"realloc", 0, ENOMEM, -ENOMEM}, {"realloc", 1, ENOMEM, -ENOMEM}, {"unlinkat", 0, EIO, -EIO},
    {"openat", 0, EMFILE, -EMFILE},  {"write", 0, ENOSPC, -ENOSPC},   {"close", 0, EDQUOT, -EDQUOT},
    {"renameat", 0, EROFS, -EROFS},
};

static void check_kept(void)
{
    struct totals kept;
    ck_assert_int_ne(faccessat(dir_fd, TOTALS_TEMPORARY, F_OK, 0), 0);
    ck_assert_int_eq(totals_load(dir_fd, &kept), 0);
    ck_assert_uint_eq(kept.outcome.exported, 7);
    ck_assert(totals_noted(&kept, instance_a));
    ck_assert(!totals_noted(&kept, instance_b));
    ck_assert_uint_eq(kept.retired_count, 0);
    totals_done(&kept);
}

LOOP_TEST(what_cannot_be_saved_leaves_file_and_totals_as_they_were, COUNT(saves))
{
    const struct shmring_counts outcome = {.exported = 5};
    struct totals totals = {.outcome = {.exported = 7}};
    touch_segment(instance_a);
    touch_segment(instance_b);
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_a), 0);
    totals.outcome.exported = 8;

    fail_call(saves[_i].call, saves[_i].after, saves[_i].err);
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_b), saves[_i].told);
    ck_assert(failed());
    ck_assert(!totals_noted(&totals, instance_b));
    check_kept();

    fail_call(saves[_i].call, saves[_i].after, saves[_i].err);
    ck_assert_int_eq(totals_retire(&totals, dir_fd, 9, &outcome), saves[_i].told);
    ck_assert(failed());
    ck_assert(!totals_retired(&totals, 9));
    ck_assert_uint_eq(totals.spool.exported, 0);
    check_kept();

    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_b), 0);
    ck_assert_int_eq(totals_retire(&totals, dir_fd, 9, &outcome), 0);
    totals_done(&totals);
    ck_assert_int_eq(failing.held, 0);
    ck_assert_int_eq(totals_load(dir_fd, &totals), 0);
    ck_assert_uint_eq(totals.outcome.exported, 8);
    ck_assert_uint_eq(totals.spool.exported, 5);
    ck_assert(totals_noted(&totals, instance_b));
    ck_assert(totals_retired(&totals, 9));
    totals_done(&totals);
}

TEST(segment_noted_before_stays_noted_when_the_file_cannot_be_written)
{
    struct totals totals = {0};
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_a), 0);
    fail_call("write", 0, ENOSPC);
    ck_assert_int_eq(totals_note(&totals, dir_fd, instance_a), -ENOSPC);
    ck_assert(totals_noted(&totals, instance_a));
    totals_done(&totals);
}

/* realloc: room to read; the list of what is noted; the list of what is retired */
static const struct failure loads[] = {
    {"openat", 0, EACCES, -EACCES},  {"fstat", 0, EIO, -EBADMSG},     {"read", 0, EIO, -EIO},
    {"realloc", 0, ENOMEM, -ENOMEM}, {"realloc", 1, ENOMEM, -ENOMEM}, {"realloc", 2, ENOMEM, -ENOMEM},
    {"read", 0, EINTR, 0},
};

LOOP_TEST(what_cannot_be_loaded_is_all_zero, COUNT(loads))
{
    static const struct totals zero;
    struct totals totals;
    touch_segment(instance_a);
    write_state("aistraced totals 1\nexported 7\nnoted 00112233445566778899aabbccddeeff\nretired 7\nend\n");
    fail_call(loads[_i].call, loads[_i].after, loads[_i].err);
    ck_assert_int_eq(totals_load(dir_fd, &totals), loads[_i].told);
    ck_assert(failed());
    if (loads[_i].told)
        ck_assert_mem_eq(&totals, &zero, sizeof(zero));
    else
        ck_assert_uint_eq(totals.outcome.exported, 7);
    totals_done(&totals);
    ck_assert_int_eq(failing.held, 0);
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
