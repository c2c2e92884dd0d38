/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "support/directory.h"
#include "support/test.h"

enum { LONG_BYTES = 100000 };

static uint8_t long_text[LONG_BYTES];
static char directory[TEST_DIRECTORY_BYTES], path[sizeof(directory) + 8];
static int fd;

static void open_file(void)
{
    test_directory(directory, "file");
    snprintf(path, sizeof(path), "%s/file", directory);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    for (size_t i = 0; i < LONG_BYTES; i++)
        long_text[i] = (uint8_t)(i * 7 + i / 251);
}

static void close_file(void)
{
    close(fd);
    unlink(path);
}

FIXTURE(open_file, close_file);

TEST(what_is_written_is_read_behind_what_was_there)
{
    struct buf out = {0};
    ck_assert_int_eq(file_write_all(fd, long_text, LONG_BYTES), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(buf_append(&out, "abc", 3), 0);
    ck_assert_int_eq(file_read_all(fd, LONG_BYTES, &out), 0);
    ck_assert_uint_eq(out.len, 3 + LONG_BYTES);
    ck_assert_mem_eq(out.data, "abc", 3);
    ck_assert_mem_eq(out.data + 3, long_text, LONG_BYTES);
    ck_assert_int_eq(file_read_all(fd, 0, &out), 0);
    buf_done(&out);
}

TEST(too_much_is_not_read_to_its_end)
{
    struct buf out = {0};
    ck_assert_int_eq(file_write_all(fd, long_text, LONG_BYTES), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(file_read_all(fd, LONG_BYTES - 1, &out), -EFBIG);
    buf_done(&out);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(file_read_all(fd, 0, &out), -EFBIG);
    buf_done(&out);
}

TEST(a_pipe_that_has_nothing_now_keeps_what_it_gave)
{
    int ends[2];
    struct buf out = {0};
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    ck_assert_int_eq(file_write_all(ends[1], "abc", 3), 0);
    ck_assert_int_eq(file_read_all(ends[0], 100, &out), -EAGAIN);
    ck_assert_uint_eq(out.len, 3);
    ck_assert_int_eq(file_write_all(ends[1], "de", 2), 0);
    close(ends[1]);
    ck_assert_int_eq(file_read_all(ends[0], 100, &out), 0);
    ck_assert_uint_eq(out.len, 5);
    ck_assert_mem_eq(out.data, "abcde", 5);
    close(ends[0]);
    buf_done(&out);
}

TEST(a_small_file_fits_with_a_byte_to_spare)
{
    uint8_t text[4];
    size_t bytes = 9;
    ck_assert_int_eq(file_write_all(fd, "abc", 3), 0);
    ck_assert_int_eq(file_read(path, text, 4, &bytes), 0);
    ck_assert_uint_eq(bytes, 3);
    ck_assert_mem_eq(text, "abc", 3);
    ck_assert_int_eq(file_read(path, text, 3, &bytes), -EFBIG);
    ck_assert_int_eq(file_read("/dev/zero", text, 4, &bytes), -EINVAL);
    ck_assert_int_eq(file_read("/nonexistent", text, 4, &bytes), -ENOENT);
}

TEST(what_cannot_be_written_is_an_error)
{
    int other = open(path, O_RDONLY);
    ck_assert_int_eq(file_write_all(other, "a", 1), -EBADF);
    ck_assert_int_eq(file_write_all(other, NULL, 0), 0);
    close(other);
}
