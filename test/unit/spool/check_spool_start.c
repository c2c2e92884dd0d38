/* SPDX-License-Identifier: MIT
 *
 * What a start finds in the spool's directory. Includes the sources that open, so that their allocations and calls can
 * be made to fail.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/test.h"

static size_t fail_after = SIZE_MAX; /* so many allocations still succeed */
static int list_error, opened_list_error;

static bool allocation_fails(void)
{
    return fail_after != SIZE_MAX && (fail_after == 0 || fail_after-- == 0);
}

static void *failing_calloc(size_t count, size_t bytes)
{
    return allocation_fails() ? NULL : calloc(count, bytes);
}

static void *failing_realloc(void *data, size_t bytes)
{
    return allocation_fails() ? NULL : realloc(data, bytes);
}

static char *failing_strdup(const char *text)
{
    return allocation_fails() ? NULL : strdup(text);
}

static int failing_openat(int dir_fd, const char *name, int flags)
{
    errno = list_error;
    return list_error ? -1 : openat(dir_fd, name, flags);
}

static DIR *failing_fdopendir(int fd)
{
    errno = opened_list_error;
    return opened_list_error ? NULL : fdopendir(fd);
}

#undef strdup
#define calloc    failing_calloc
#define realloc   failing_realloc
#define strdup    failing_strdup
#define openat    failing_openat
#define fdopendir failing_fdopendir
#include "base/buf.c"
#include "spool/spool.c"
#include "spool/spool_open.c"
#undef calloc
#undef realloc
#undef strdup
#undef openat
#undef fdopendir

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

/* A file of that many bytes: zeros, but one of them. */
static void put(const char *name, off_t bytes, off_t at, char byte)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, bytes), 0);
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static int open_result(void)
{
    struct spool *none = NULL;
    int err = spool_open(&f->loop, &f->options, &spool_fixture_callbacks, f, f->log, &none);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    return err;
}

static uint64_t file_id(void)
{
    struct spool_file_head head;
    int fd = spool_fixture_file(".spool", O_RDONLY);
    ck_assert_int_eq(pread(fd, &head, sizeof(head), 0), sizeof(head));
    close(fd);
    return head.id;
}

/* ---- sizes and names ---- */

TEST(files_are_an_eighth_within_bounds)
{
    static const struct {
        uint64_t max, given, request, file;
    } cases[] = {
        {1 << 20, 0, 0, 1 << 20},
        {100ull << 20, 0, 0, (100ull << 20) / 8},
        {512ull << 20, 0, 0, 64 << 20},
        {1ull << 30, 0, 0, 64 << 20},
        {16ull << 30, 0, 0, 64 << 20},
        {32ull << 30, 0, 0, 128 << 20},
        {1ull << 40, 0, 0, 1 << 30},
        {100000, 0, 0, 98304},                     /* of whole pages, within the bound */
        {0, 0, 0, SPOOL_FIRST},                    /* no room for a record */
        {8 << 20, 0, 4 << 20, (4 << 20) + 135168}, /* room for the largest request */
        {3 << 20, 0, 4 << 20, 3 << 20},            /* as far as the bound allows */
        {8 << 20, 65536, 0, 65536},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct spool_options options = {
            .max_bytes = cases[i].max, .file_bytes = cases[i].given, .request_max_bytes = cases[i].request};
        ck_assert_msg(file_bytes_of(&options) == cases[i].file, "case %zu: %llu", i,
                      (unsigned long long)file_bytes_of(&options));
    }
}

/* Without a terminator a name has 31 bytes. */
TEST(files_of_other_names_are_left_alone)
{
    static const struct {
        const char *name;
        bool ours;
    } cases[] = {
        {"a.spool", true},
        {"1234567890123456789012345.spool", true},
        {"12345678901234567890123456.spool", false},
        {".spool", false},
        {".hidden.spool", false},
        {"a.spool.old", false},
        {"spool", false},
    };
    char from[128], to[128];
    spool_fixture_open();
    write_and_await('a', 100);
    spool_fixture_close();
    snprintf(from, sizeof(from), "%s/%016llx.spool", f->dir, (unsigned long long)file_id());
    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(to, sizeof(to), "%s/%s", f->dir, cases[i].name);
        ck_assert_int_eq(rename(from, to), 0);
        snprintf(from, sizeof(from), "%s", to);
        spool_fixture_open();
        ck_assert_msg(spool_fixture_figures().spans == (cases[i].ours ? 1 : 0), "%s", cases[i].name);
        ck_assert_uint_eq(spool_fixture_figures().file_bytes, cases[i].ours ? SPOOL_FIXTURE_FILE_BYTES : 0);
        ck_assert_uint_eq(spool_fixture_figures().damaged, 0);
        spool_fixture_close();
        ck_assert_int_eq(access(to, F_OK), 0);
    }
}

TEST(files_are_read_in_the_order_they_were_written_in)
{
    for (char letter = 'a'; letter <= 'f'; letter++) {
        spool_fixture_open();
        write_and_await(letter, 60000);
        spool_fixture_close();
    }
    ck_assert_uint_eq(spool_fixture_files(".spool"), 6);
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'f'; letter++)
        spool_fixture_export(letter);
    ck_assert_ptr_null(spool_fixture_take());
}

TEST(a_spool_that_is_just_full_goes_on_in_its_last_file)
{
    size_t files = f->options.max_bytes / f->options.file_bytes;
    spool_fixture_open();
    for (size_t i = 0; i < files; i++)
        write_and_await('a', 60000);
    ck_assert_int_eq(spool_fixture_write('b', 60000, 1), -ENOSPC);
    spool_fixture_close();
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, f->options.max_bytes);
    write_and_await('b', 100);
    ck_assert_uint_eq(spool_fixture_files(".spool"), files);
    spool_fixture_close();
    f->options.max_bytes -= 1;
    spool_fixture_open();
    ck_assert_int_eq(spool_fixture_write('c', 100, 1), -ENOSPC);
}

/* ---- files that are none ---- */

TEST(a_file_made_and_not_begun_is_used)
{
    put("new.spool", SPOOL_FIXTURE_FILE_BYTES, 0, '\0');
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().damaged, 0);
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, SPOOL_FIXTURE_FILE_BYTES);
    ck_assert_uint_eq(spool_fixture_files(SPOOL_SET_ASIDE), 0);
    write_and_await('a', 100);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
    ck_assert_uint_eq(spool_fixture_files("new.spool"), 1);
    spool_fixture_export('a');
}

TEST(one_byte_in_the_first_page_is_no_new_file)
{
    put("new.spool", SPOOL_FIXTURE_FILE_BYTES, SPOOL_FIRST - 1, 'x');
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().damaged, 1);
    ck_assert_uint_eq(spool_fixture_files(SPOOL_SET_ASIDE), 1);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 0);
}

TEST(the_last_file_set_aside_replaces_the_one_before)
{
    put("first.spool", 1000, 0, 'x');
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, 1000);
    spool_fixture_close();
    put("second.spool", 3000, 0, 'x');
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, 3000);
    ck_assert_uint_eq(spool_fixture_figures().damaged, 1);
    ck_assert_uint_eq(spool_fixture_files(SPOOL_SET_ASIDE), 1);
    ck_assert(spool_fixture_logged("renamed to"));
    ck_assert(!spool_fixture_logged("cannot rename"));
}

LOOP_TEST(a_file_set_aside_counts_towards_the_bound, 2)
{
    off_t bytes = (off_t)(f->options.max_bytes - f->options.file_bytes) + _i;
    put(SPOOL_SET_ASIDE, bytes, 0, 'x');
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, (uint64_t)bytes);
    ck_assert_uint_eq(spool_fixture_figures().damaged, 0);
    ck_assert_int_eq(spool_fixture_write('a', 100, 1), _i ? -ENOSPC : 0);
    if (!_i)
        spool_fixture_await_written(1);
}

TEST(a_file_that_cannot_be_set_aside_is_told)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", f->dir, SPOOL_SET_ASIDE);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    put("strange.spool", 1000, 0, 'x');
    spool_fixture_open();
    ck_assert(spool_fixture_logged("cannot rename"));
    ck_assert_uint_eq(spool_fixture_files("strange.spool"), 1);
    ck_assert_uint_eq(spool_fixture_figures().damaged, 1);
}

TEST(a_file_of_another_version_is_left_alone)
{
    static uint8_t before[SPOOL_FIXTURE_FILE_BYTES], after[SPOOL_FIXTURE_FILE_BYTES];
    static const uint32_t version = SPOOL_VERSION + 1;
    spool_fixture_open();
    write_and_await('a', 100);
    spool_fixture_close();
    int fd = spool_fixture_file(".spool", O_RDWR);
    for (off_t at = 0; at < SPOOL_FIRST; at += SPOOL_HEAD_STRIDE)
        ck_assert_int_eq(pwrite(fd, &version, 4, at + (off_t)offsetof(struct spool_file_head, version)), 4);
    ck_assert_int_eq(pread(fd, before, sizeof(before), 0), sizeof(before));
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().spans, 0);
    ck_assert_uint_eq(spool_fixture_figures().damaged, 1);
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, SPOOL_FIXTURE_FILE_BYTES);
    ck_assert(spool_fixture_logged("of another version"));
    write_and_await('b', 100);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 2);
    spool_fixture_export('b');
    spool_fixture_close();
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
    ck_assert_uint_eq(spool_fixture_files(SPOOL_SET_ASIDE), 0);
    ck_assert_int_eq(pread(fd, after, sizeof(after), 0), sizeof(after));
    ck_assert_mem_eq(before, after, sizeof(before));
    close(fd);
}

/* The daemon was killed between the totals and the file. */
LOOP_TEST(a_retired_file_that_is_still_there_is_empty, 2)
{
    spool_fixture_open();
    write_and_await('a', 100);
    spool_fixture_close();
    f->retired_ids[f->retired_count++] = file_id();
    if (_i)
        f->options.file_bytes /= 2; /* not of the size of new ones: it goes */
    spool_fixture_open();
    ck_assert_uint_eq(f->claims_seen, 0);
    ck_assert_uint_eq(spool_fixture_figures().spans, 0);
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, SPOOL_FIXTURE_FILE_BYTES);
    ck_assert_uint_eq(f->forgotten_count, 0); /* its head still says so */
    spool_fixture_await_idle();
    ck_assert_uint_eq(spool_fixture_files(".spool"), _i ? 0 : 1);
    write_and_await('b', 100);
    ck_assert_uint_eq(f->forgotten_count, 1);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
    ck_assert_uint_eq(spool_fixture_figures().file_bytes, f->options.file_bytes);
    spool_fixture_export('b');
    ck_assert_ptr_null(spool_fixture_take());
}

/* ---- no start ---- */

TEST(a_directory_that_cannot_be_made_or_listed_is_no_start)
{
    list_error = EMFILE;
    ck_assert_int_eq(open_result(), -EMFILE);
    list_error = 0;
    opened_list_error = ENOMEM;
    ck_assert_int_eq(open_result(), -ENOMEM);
    opened_list_error = 0;
    f->options.path = "/proc/nowhere/spool";
    ck_assert_int_eq(open_result(), -ENOENT);
    f->options.create = false;
    spool_fixture_open();
}

/* The directory, its lock and its list are open when the first file is. */
TEST(without_a_descriptor_for_each_file_there_is_no_start)
{
    struct rlimit usual, low;
    spool_fixture_open();
    write_and_await('a', 100);
    spool_fixture_close();
    int next = dup(STDERR_FILENO);
    close(next);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
    low = usual;
    low.rlim_cur = (rlim_t)next + 3;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    int err = open_result();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
    ck_assert_int_eq(err, -EMFILE);
    ck_assert_uint_eq(spool_fixture_files(".spool"), 1);
    spool_fixture_open();
    ck_assert_uint_eq(spool_fixture_figures().spans, 1);
    ck_assert_uint_eq(spool_fixture_figures().damaged, 0);
}

TEST(without_memory_a_start_fails_and_changes_nothing)
{
    size_t n = 0;
    spool_fixture_open();
    for (char letter = 'a'; letter <= 'c'; letter++)
        write_and_await(letter, 30000);
    spool_fixture_close();
    for (;; n++) {
        fail_after = n;
        int err = spool_open(&f->loop, &f->options, &spool_fixture_callbacks, f, f->log, &f->spool);
        fail_after = SIZE_MAX;
        if (!err)
            break;
        ck_assert_int_eq(err, -ENOMEM);
        uv_run(&f->loop, UV_RUN_DEFAULT);
        ck_assert_uint_lt(n, 100);
    }
    ck_assert_uint_gt(n, 4); /* itself, its path, and the records */
    ck_assert_uint_eq(spool_fixture_figures().spans, 3);
    ck_assert_uint_eq(spool_fixture_figures().damaged, 0);
    for (char letter = 'a'; letter <= 'c'; letter++)
        spool_fixture_export(letter);
}

TEST(without_memory_a_batch_is_not_taken)
{
    struct buf request = {0};
    struct batch *batch;
    spool_fixture_open();
    ck_assert_int_eq(buf_append(&request, "x", 1), 0);
    ck_assert_int_eq(batch_load(f->pool, &request, 1, &batch), 0);
    buf_done(&request);
    ck_assert_ptr_nonnull(batch_claim(batch, &f->queue, 0));
    for (size_t n = 0; n < 3; n++) { /* what is queued, its record, its claims */
        fail_after = n;
        int err = spool_write(f->spool, batch);
        fail_after = SIZE_MAX;
        ck_assert_int_eq(err, -ENOMEM);
        ck_assert(!spool_unwrite(f->spool, batch));
    }
    ck_assert_int_eq(spool_write(f->spool, batch), 0);
    spool_fixture_await_written(1);
    spool_fixture_export('x');
}
