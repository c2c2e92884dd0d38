/* SPDX-License-Identifier: MIT */
#include <stdint.h>

#include "grpc/h2_output.h"
#include "support/test.h"

static uint8_t LONG[4096];

static void fill(uint8_t *data, size_t bytes, uint8_t seed)
{
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(seed + i * 7);
}

static void fill_long(void)
{
    fill(LONG, sizeof(LONG), 1);
}

FIXTURE(fill_long, NULL);

TEST(long_ones_stay_where_they_are_and_short_ones_join)
{
    struct h2_output out = {0};
    ck_assert_int_eq(h2_output_copy(&out, "head", 4), 0);
    ck_assert_int_eq(h2_output_borrow(&out, "short", 5), 0);
    ck_assert_int_eq(h2_output_borrow(&out, LONG, sizeof(LONG)), 0);
    ck_assert_int_eq(h2_output_copy(&out, NULL, 0), 0);
    ck_assert_int_eq(h2_output_copy(&out, "tail", 4), 0);
    h2_output_finish(&out);
    ck_assert_uint_eq(out.count, 3);
    ck_assert_uint_eq(out.bytes, 9 + sizeof(LONG) + 4);
    ck_assert_mem_eq(out.parts[0].iov_base, "headshort", 9);
    ck_assert_ptr_eq(out.parts[1].iov_base, LONG);
    ck_assert_mem_eq(out.parts[2].iov_base, "tail", 4);
    h2_output_clear(&out);
    ck_assert_uint_eq(out.count, 0);
    ck_assert_uint_eq(out.bytes, 0);
    h2_output_done(&out);
}

/* Own memory and the list of parts move as they grow. */
TEST(gathers_what_was_appended_from_any_byte_on)
{
    enum { PARTS = 200, SKIPS = 40 };
    struct h2_output out = {0};
    struct buf expected = {0}, gathered = {0};
    for (unsigned i = 0; i < PARTS; i++) {
        uint8_t head[40];
        fill(head, sizeof(head), (uint8_t)i);
        ck_assert_int_eq(h2_output_copy(&out, head, 1 + i % sizeof(head)), 0);
        ck_assert_int_eq(buf_append(&expected, head, 1 + i % sizeof(head)), 0);
        size_t bytes = 400 + 17 * (i % 20); /* around the limit of what is borrowed */
        ck_assert_int_eq(h2_output_borrow(&out, LONG + i, bytes), 0);
        ck_assert_int_eq(buf_append(&expected, LONG + i, bytes), 0);
    }
    h2_output_finish(&out);
    ck_assert_uint_eq(out.bytes, expected.len);
    for (size_t i = 0; i <= SKIPS; i++) {
        size_t skip = expected.len * i / SKIPS;
        gathered.len = 0;
        ck_assert_int_eq(buf_append(&gathered, "before", 6), 0);
        ck_assert_int_eq(h2_output_gather(&out, skip, &gathered), 0);
        ck_assert_uint_eq(gathered.len, 6 + expected.len - skip);
        ck_assert_mem_eq(gathered.data + 6, expected.data + skip, expected.len - skip);
    }
    h2_output_done(&out);
    buf_done(&expected);
    buf_done(&gathered);
}
