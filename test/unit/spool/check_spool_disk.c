/* SPDX-License-Identifier: MIT
 *
 * The spool when calls of the system fail, and when time passes. Includes the sources that make these calls; the loop's
 * clock is the test's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/test.h"

/* What a call answers instead of doing its work; 0: it does it. */
static int unlink_error, allocate_error, write_error, sync_error, directory_error, random_error;
static size_t unlinks, writes, interruptions, zero_ids;
static size_t write_max = SIZE_MAX; /* bytes that one call writes, or reads */
static bool writes_nothing, no_memory;

static bool interrupted(void)
{
    if (interruptions == 0)
        return false;
    interruptions--;
    errno = EINTR;
    return true;
}

static int test_unlinkat(int dir_fd, const char *name, int flags)
{
    unlinks++;
    errno = unlink_error;
    return unlink_error ? -1 : unlinkat(dir_fd, name, flags);
}

static int test_fallocate(int fd, off_t from, off_t bytes)
{
    if (interrupted())
        return EINTR;
    return allocate_error ? allocate_error : posix_fallocate(fd, from, bytes);
}

static ssize_t test_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    writes++;
    if (interrupted())
        return -1;
    errno = write_error;
    if (write_error || writes_nothing)
        return write_error ? -1 : 0;
    struct iovec some[64];
    size_t left = write_max;
    for (int i = 0; i < count; i++) {
        some[i] = parts[i];
        some[i].iov_len = parts[i].iov_len < left ? parts[i].iov_len : left;
        left -= some[i].iov_len;
    }
    return pwritev(fd, some, count, offset);
}

static ssize_t test_pread(int fd, void *to, size_t bytes, off_t offset)
{
    return interrupted() ? -1 : pread(fd, to, bytes < write_max ? bytes : write_max, offset);
}

static ssize_t test_getrandom(void *to, size_t bytes, unsigned flags)
{
    errno = random_error;
    if (random_error)
        return -1;
    if (zero_ids == 0)
        return getrandom(to, bytes, flags);
    zero_ids--;
    memset(to, 0, bytes);
    return (ssize_t)bytes;
}

static void *test_calloc(size_t count, size_t bytes)
{
    return no_memory ? NULL : calloc(count, bytes);
}

#define unlinkat        test_unlinkat
#define posix_fallocate test_fallocate
#define pwritev         test_pwritev
#define pread           test_pread
#define getrandom       test_getrandom
#define calloc          test_calloc
#include "spool/spool_files.c"
#include "spool/spool_io.c"
#undef unlinkat
#undef posix_fallocate
#undef pwritev
#undef pread
#undef getrandom
#undef calloc

int fdatasync(int fd)
{
    (void)fd;
    errno = sync_error;
    return sync_error ? -1 : 0;
}

int fsync(int fd)
{
    (void)fd;
    errno = directory_error;
    return directory_error ? -1 : 0;
}

static uint64_t now_ms = 1000000;

uint64_t uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return now_ms;
}

#include "support/spool_fixture.h"

static struct spool_fixture *const f = &spool_fixture;

static void set_up(void)
{
    spool_fixture_init();
    spool_fixture_listen();
}

FIXTURE(set_up, spool_fixture_done);

static void write_and_await(char letter, size_t bytes)
{
    ck_assert_int_eq(spool_fixture_write(letter, bytes, 1), 0);
    spool_fixture_await_written(f->written_count + 1);
}

static void fail_to_write(char letter, size_t bytes, int err)
{
    ck_assert_int_eq(spool_fixture_write(letter, bytes, 1), 0);
    spool_fixture_await_failed(f->failed_count + 1);
    ck_assert_int_eq(f->err, err);
}

static void tidy(void)
{
    spool_tidy(f->spool);
    spool_fixture_await_idle();
}

/* ---- time ---- */

TEST(the_file_in_use_is_retired_when_it_had_no_record_for_a_second)
{
    spool_fixture_open();
    write_and_await('a', 100);
    now_ms += 500;
    write_and_await('b', 100);
    spool_fixture_export('a');
    spool_fixture_export('b');
    spool_fixture_await_idle();
    now_ms += 999;
    tidy();
    ck_assert_uint_eq(f->retired_count, 0);
    now_ms += 1;
    tidy();
    ck_assert_uint_eq(f->retired_count, 1);
    ck_assert_uint_eq(f->retired.exported, 2);
}

TEST(totals_that_refuse_are_asked_again_after_a_second)
{
    spool_fixture_open();
    write_and_await('a', 60000);
    write_and_await('b', 60000);
    spool_fixture_export('a');
    spool_fixture_await_idle();
    f->retire_error = -ENOSPC;
    tidy();
    f->retire_error = 0;
    now_ms += 999;
    tidy();
    ck_assert_uint_eq(f->retired_count, 0);
    now_ms += 1;
    tidy();
    ck_assert_uint_eq(f->retired_count, 1);
}

TEST(a_file_that_cannot_be_removed_is_tried_again_after_a_second)
{
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'c'; letter++)
        write_and_await(letter, 60000);
    spool_fixture_export('a');
    spool_fixture_export('b');
    spool_fixture_await_idle();
    unlink_error = EACCES;
    tidy(); /* one is kept to spare */
    for (size_t tries = 1; tries <= 2; tries++) {
        ck_assert_uint_eq(unlinks, tries);
        ck_assert_uint_eq(f->forgotten_count, 0); /* else it would count twice if it is found */
        ck_assert_uint_eq(spool_fixture_figures().file_bytes, 3 * SPOOL_FIXTURE_FILE_BYTES);
        ck_assert_uint_eq(spool_fixture_files(".spool"), 3);
        now_ms += 999;
        tidy();
        ck_assert_uint_eq(unlinks, tries);
        now_ms += 1;
        unlink_error = tries == 1 ? EACCES : 0;
        tidy();
    }
    ck_assert_uint_eq(unlinks, 3);
    ck_assert_uint_eq(f->forgotten_count, 1);
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, 2 * SPOOL_FIXTURE_FILE_BYTES);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 2);
}

TEST(a_file_that_somebody_else_removed_is_gone)
{
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'c'; letter++)
        write_and_await(letter, 60000);
    spool_fixture_export('a');
    spool_fixture_export('b');
    spool_fixture_await_idle();
    unlink_error = ENOENT;
    tidy();
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, 2 * SPOOL_FIXTURE_FILE_BYTES);
    ck_assert_uint_eq(f->forgotten_count, 1);
    unlink_error = 0;
}

TEST(a_file_with_a_note_to_come_is_not_retired)
{
    spool_fixture_open();
    write_and_await('a', 60000);
    write_and_await('b', 60000);
    spool_fixture_export('a');
    spool_tidy(f->spool);
    ck_assert_uint_eq(f->retired_count, 0);
    spool_fixture_await_idle();
    tidy();
    ck_assert_uint_eq(f->retired_count, 1);
}

TEST(a_file_whose_claims_are_not_committed_stays_at_the_end)
{
    f->keep_claims = true;
    spool_fixture_open();
    write_and_await('a', 100);
    spool_fixture_export('a');
    spool_fixture_close();
    ck_assert_uint_eq(f->retired_count, 0);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().settled.exported, 1);
    ck_assert_ptr_null(spool_fixture_take());
}

TEST(without_sync_nothing_is_synced)
{
    f->options.sync = false;
    sync_error = directory_error = EIO;
    spool_fixture_open();
    write_and_await('a', 100);
    spool_fixture_export('a');
}

TEST(a_file_in_the_middle_is_retired_alone)
{
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'd'; letter++)
        write_and_await(letter, 60000);
    struct spool_record *oldest = spool_take(f->spool);
    spool_fixture_export('b');
    spool_fixture_export('c');
    spool_fixture_await_idle();
    tidy();
    ck_assert_uint_eq(f->retired_count, 2);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 3); /* one to spare */
    spool_return(oldest);
    spool_fixture_export('a');
    spool_fixture_export('d');
    ck_assert_ptr_null(spool_fixture_take());
}

/* A bound that was lowered: what is over it goes when it is settled. */
TEST(no_file_is_kept_to_spare_over_the_bound)
{
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'd'; letter++)
        write_and_await(letter, 60000);
    spool_fixture_close();
    f->options.max_bytes = 2 * SPOOL_FIXTURE_FILE_BYTES;
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('e', 100, 1), -ENOSPC);
    for (char letter = 'a'; letter <= 'c'; letter++) {
        spool_fixture_export(letter);
        spool_fixture_await_idle();
        tidy();
        ck_assert_uint_eq(spool_fixture_files(".spool"), letter == 'a' ? 3 : 2);
    }
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, f->options.max_bytes);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 2); /* d, and one to spare */
}

/* ---- writing fails ---- */

TEST(after_an_error_nothing_is_taken_for_a_second)
{
    spool_fixture_open();
    write_error = EIO;
    fail_to_write('a', 100, -EIO);
    write_error = 0;
    now_ms += 999;
    ck_assert_int_eq(spool_fixture_write('b', 100, 1), -EAGAIN);
    now_ms += 1;
    write_and_await('c', 100);
    spool_fixture_export('c');
}

LOOP_TEST(a_file_that_cannot_be_made_is_told_with_a_remedy, 6)
{
    static const struct {
        int err;
        const char *remedy;
    } cases[] = {
        {ENOSPC, "free some space"}, {EDQUOT, "quota"},         {EMFILE, "LimitNOFILE"},
        {EFBIG, "LimitFSIZE"},       {EIO, "look at the disk"}, {EBUSY, "see the directory's file system"},
    };
    spool_fixture_open();
    allocate_error = cases[_i].err;
    fail_to_write('a', 100, -cases[_i].err);
    allocate_error = 0;
    ck_assert(spool_fixture_logged(cases[_i].remedy));
    ck_assert_uint_eq(spool_fixture_files(".spool"), 0);
    now_ms += 1000;
    tidy(); /* the file that was not made no longer counts */
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, 0);
    write_and_await('b', 100);
}

/* A write beyond the limit would be a signal. */
TEST(a_limit_of_file_size_is_an_error)
{
    struct rlimit usual, low;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &usual), 0);
    low = usual;
    low.rlim_cur = SPOOL_FIXTURE_FILE_BYTES - 1;
    spool_fixture_open();
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    fail_to_write('a', 100, -EFBIG);
    low.rlim_cur = SPOOL_FIXTURE_FILE_BYTES;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &low), 0);
    now_ms += 1000;
    write_and_await('b', 100);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &usual), 0);
}

TEST(a_file_whose_name_may_not_be_safe_takes_no_record)
{
    spool_fixture_open();
    directory_error = EIO;
    fail_to_write('a', 100, -EIO);
    directory_error = 0;
    now_ms += 1000;
    write_and_await('b', 100);
    tidy();
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, SPOOL_FIXTURE_FILE_BYTES);
    spool_fixture_export('b');
}

/* What may be found later, although its spans stay in their rings, is noted as retired. */
LOOP_TEST(a_record_that_cannot_be_revoked_is_not_found_later, 2)
{
    spool_fixture_open();
    write_and_await('a', 100);
    sync_error = EIO;
    if (_i)
        write_max = 0, writes_nothing = true;
    fail_to_write('b', 100, -EIO);
    sync_error = 0;
    write_max = SIZE_MAX, writes_nothing = false;
    spool_fixture_export('a');
    spool_fixture_await_idle();
    tidy();
    ck_assert_uint_eq(f->retired_count, 1);
    spool_fixture_close();
    spool_fixture_open();
    ck_assert_ptr_null(spool_fixture_take());
}

TEST(one_that_cannot_be_placed_does_not_hold_the_others_of_its_group)
{
    f->options.max_bytes = SPOOL_FIXTURE_FILE_BYTES;
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('a', 15000, 1), 0);
    ck_assert_int_eq(spool_fixture_write('b', 50000, 1), 0);
    ck_assert_int_eq(spool_fixture_write('c', 15000, 1), 0);
    spool_fixture_await_written(2);
    spool_fixture_await_failed(1);
    ck_assert_int_eq(f->err, -ENOSPC);
    spool_fixture_export('a');
    spool_fixture_export('c');
}

TEST(without_memory_or_random_numbers_there_is_no_file)
{
    spool_fixture_open();
    no_memory = true;
    fail_to_write('a', 100, -ENOSPC);
    no_memory = false;
    random_error = ENOSYS;
    fail_to_write('b', 100, -EAGAIN);
    random_error = 0;
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, 0);
    zero_ids = 2; /* 0 is no id */
    write_and_await('c', 100);
    ck_assert_uint_eq(zero_ids, 0);
    ck_assert_uint_eq(spool_fixture_files("0000000000000000.spool"), 0);
    spool_fixture_export('c');
}

TEST(without_memory_for_its_files_there_is_no_start)
{
    struct spool *none;
    spool_fixture_open();
    write_and_await('a', 100);
    spool_fixture_close();
    int before = dup(STDERR_FILENO);
    close(before);
    no_memory = true;
    ck_assert_int_eq(spool_open(&f->loop, &f->options, &spool_fixture_callbacks, f, f->log, &none), -ENOMEM);
    no_memory = false;
    spool_fixture_await_idle();
    int after = dup(STDERR_FILENO);
    close(after);
    ck_assert_int_eq(after, before); /* no descriptor stays */
    spool_fixture_open();
    spool_fixture_export('a');
}

TEST(a_directory_that_cannot_be_made_is_tried_again_after_a_second)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/above/spool", f->dir);
    f->options.path = path;
    f->options.create = false;
    spool_fixture_open();
    fail_to_write('a', 100, -ENOENT);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(spool_fixture_write('b', 100, 1), -EAGAIN);
    now_ms += 1000;
    write_and_await('c', 100);
}

TEST(a_note_that_cannot_be_written_is_told)
{
    spool_fixture_open();
    write_and_await('a', 100);
    write_and_await('b', 100);
    spool_fixture_export('a');
    write_error = EIO;
    spool_fixture_await_idle();
    write_error = 0;
    ck_assert(spool_fixture_logged("cannot note in the spool"));
    spool_fixture_close();
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().spans, 2);
    spool_fixture_export('a');
    spool_fixture_export('b');
}

/* ---- system calls that do less than they are asked for ---- */

static int scratch_file(void)
{
    int fd = memfd_create("scratch", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

TEST(short_writes_and_reads_go_on_where_they_ended)
{
    static char text[] = "one two three";
    struct iovec parts[] = {{text, 0}, {text, 4}, {text, 0}, {text + 4, 4}, {text + 8, 5}, {text, 0}};
    for (write_max = 1; write_max <= sizeof(text); write_max++) {
        char got[sizeof(text)] = "";
        int fd = scratch_file();
        ck_assert_int_eq(spool_io_write_parts(fd, 7, parts, COUNT(parts)), 0);
        ck_assert_int_eq(spool_io_read(fd, 7, got, sizeof(text) - 1), 0);
        ck_assert_str_eq(got, text);
        ck_assert_int_eq(lseek(fd, 0, SEEK_END), 7 + 13);
        close(fd);
    }
}

/* More parts than one call takes. */
TEST(many_parts_are_written_in_order)
{
    static uint8_t data[200], got[200];
    struct iovec parts[sizeof(data)];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)i;
        parts[i] = (struct iovec){&data[i], 1};
    }
    int fd = scratch_file();
    ck_assert_int_eq(spool_io_write_parts(fd, 0, parts, COUNT(parts)), 0);
    ck_assert_uint_eq(writes, 4);
    ck_assert_int_eq(spool_io_read(fd, 0, got, sizeof(got)), 0);
    ck_assert_mem_eq(got, data, sizeof(data));
    close(fd);
}

TEST(interrupted_calls_are_repeated)
{
    int fd = scratch_file();
    char got;
    interruptions = 2;
    ck_assert_int_eq(spool_io_write(fd, 0, "x", 1), 0);
    ck_assert_uint_eq(interruptions, 0);
    interruptions = 2;
    ck_assert_int_eq(spool_io_read(fd, 0, &got, 1), 0);
    ck_assert_uint_eq(interruptions, 0);
    ck_assert_int_eq(got, 'x');
    close(fd);
    spool_fixture_open();
    interruptions = 1; /* making the file */
    write_and_await('a', 100);
    ck_assert_uint_eq(interruptions, 0);
}

TEST(what_moves_no_byte_is_an_error)
{
    int fd = scratch_file();
    char got;
    ck_assert_int_eq(spool_io_read(fd, 0, &got, 1), -EIO); /* behind the end */
    writes_nothing = true;
    ck_assert_int_eq(spool_io_write(fd, 0, "x", 1), -EIO);
    close(fd);
    ck_assert_int_eq(spool_io_read(-1, 0, &got, 1), -EBADF);
}

TEST(a_reason_that_is_not_known_counts_for_nothing)
{
    struct shmring_counts counts = {0};
    spool_count_note(&counts, &(struct spool_note){.dropped = 5, .reason = DROP_REASONS, .exported = 2});
    ck_assert_uint_eq(outcome_sum(&counts), 2);
    spool_count_note(&counts, &(struct spool_note){.dropped = 5, .reason = DROP_REASONS - 1});
    ck_assert_uint_eq(counts.dropped[DROP_REASONS - 1], 5);
}
