/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "support/test.h"

TEST(grows_and_keeps_what_it_has)
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

TEST(reserve_makes_room_without_length)
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

TEST(impossible_sizes_leave_it_unchanged)
{
    struct buf buf = {0};
    ck_assert_int_eq(buf_append(&buf, "abc", 3), 0);
    struct buf before = buf;
    ck_assert_int_eq(buf_reserve(&buf, SIZE_MAX), -ENOMEM);
    ck_assert_int_eq(buf_reserve(&buf, SIZE_MAX / 2), -ENOMEM);
    ck_assert_int_eq(buf_reserve(&buf, SIZE_MAX / 2 - 3), -ENOMEM);
    ck_assert_mem_eq(&buf, &before, sizeof(buf));
    ck_assert_mem_eq(buf.data, "abc", 3);
    buf_done(&buf);
}

TEST(prints_behind_what_is_there)
{
    struct buf buf = {0};
    ck_assert_int_eq(buf_printf(&buf, "%s=%d", "a", 1), 0);
    ck_assert_int_eq(buf_printf(&buf, "%s", ""), 0);
    ck_assert_int_eq(buf_printf(&buf, "%0*d", 1000, 7), 0);
    ck_assert_int_eq(buf_append_text(&buf, ""), 0);
    ck_assert_int_eq(buf_append_text(&buf, "end"), 0);
    ck_assert_uint_eq(buf.len, 1006);
    ck_assert_mem_eq(buf.data, "a=1000", 6);
    ck_assert_mem_eq(buf.data + 1002, "7end", 4);
    buf_done(&buf);
    buf_done(&buf);
    buf_done(NULL);
}
