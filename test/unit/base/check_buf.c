/* SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

START_TEST(grows_and_keeps_what_it_has)
{
    struct buf buf = {0};
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t byte = (uint8_t)(i * 7);
        ck_assert_int_eq(buf_append(&buf, &byte, 1), 0);
    }
    ck_assert_uint_eq(buf.len, 10000);
    for (unsigned i = 0; i < 10000; i++)
        ck_assert_uint_eq(buf.data[i], (uint8_t)(i * 7));
    buf_done(&buf);
    ck_assert_ptr_null(buf.data);
    ck_assert_uint_eq(buf.len + buf.cap, 0);
}
END_TEST

START_TEST(reserve_makes_room_without_length)
{
    struct buf buf = {0};
    ck_assert_int_eq(buf_reserve(&buf, 0), 0);
    ck_assert_ptr_null(buf.data);
    ck_assert_int_eq(buf_reserve(&buf, 1000), 0);
    ck_assert_uint_eq(buf.len, 0);
    ck_assert_uint_ge(buf.cap, 1000);
    size_t cap = buf.cap;
    uint8_t *data = buf.data;
    buf.len = cap - 10;
    ck_assert_int_eq(buf_reserve(&buf, 10), 0);
    ck_assert_ptr_eq(buf.data, data);
    ck_assert_int_eq(buf_reserve(&buf, 11), 0);
    ck_assert_uint_ge(buf.cap, 2 * cap);
    buf_done(&buf);
}
END_TEST

START_TEST(impossible_sizes_leave_it_unchanged)
{
    struct buf buf = {0};
    ck_assert_int_eq(buf_append(&buf, "abc", 3), 0);
    struct buf before = buf;
    ck_assert_int_eq(buf_reserve(&buf, SIZE_MAX), -ENOMEM);
    ck_assert_int_eq(buf_reserve(&buf, SIZE_MAX / 2), -ENOMEM);
    ck_assert_int_eq(buf_reserve(&buf, SIZE_MAX / 2 - 3), -ENOMEM);
    ck_assert_mem_eq(&buf, &before, sizeof buf);
    ck_assert_mem_eq(buf.data, "abc", 3);
    buf_done(&buf);
}
END_TEST

START_TEST(prints_behind_what_is_there)
{
    struct buf buf = {0};
    ck_assert_int_eq(buf_printf(&buf, "%s=%d", "a", 1), 0);
    ck_assert_int_eq(buf_printf(&buf, "%s", ""), 0);
    ck_assert_int_eq(buf_printf(&buf, "%0*d", 1000, 7), 0);
    ck_assert_uint_eq(buf.len, 1003);
    ck_assert_mem_eq(buf.data, "a=1000", 6);
    ck_assert_uint_eq(buf.data[1002], '7');
    buf_done(&buf);
    buf_done(&buf);
    buf_done(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buf");
    TCase *tests = tcase_create("buf");
    tcase_add_test(tests, grows_and_keeps_what_it_has);
    tcase_add_test(tests, reserve_makes_room_without_length);
    tcase_add_test(tests, impossible_sizes_leave_it_unchanged);
    tcase_add_test(tests, prints_behind_what_is_there);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
