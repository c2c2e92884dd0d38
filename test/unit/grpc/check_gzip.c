/* SPDX-License-Identifier: MIT
 *
 * What is packed unpacks to the same bytes, by zlib's other half.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "grpc/gzip.h"
#include "support/test.h"

enum { BYTES_MAX = 5 << 20 };

static void fill(uint8_t *bytes, size_t count, bool random)
{
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = random ? (uint8_t)(state >> 24) : (uint8_t) "GET /v1/objects"[i % 15];
    }
}

static void check_unpacks(const struct buf *packed, const uint8_t *wanted, size_t bytes)
{
    uint8_t *out = malloc(bytes + 1);
    z_stream stream = {.next_in = packed->data, .avail_in = (uInt)packed->len, .next_out = out};
    stream.avail_out = (uInt)(bytes + 1);
    ck_assert_int_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    ck_assert_int_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    ck_assert_uint_eq(stream.total_out, bytes);
    ck_assert_uint_eq(stream.avail_in, 0);
    ck_assert(memcmp(out, wanted, bytes) == 0);
    inflateEnd(&stream);
    free(out);
}

LOOP_TEST(parts_of_any_size_come_back_as_one, 2)
{
    static const size_t sizes[] = {0, 1, 15, 1000, 65536, BYTES_MAX};
    uint8_t *bytes = malloc(BYTES_MAX);
    struct gzip *gzip;
    struct buf packed = {0};
    ck_assert_int_eq(gzip_new(&gzip), 0);
    fill(bytes, BYTES_MAX, _i == 1);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t third = sizes[i] / 3;
        const struct iovec parts[] = {
            {bytes, third}, {NULL, 0}, {bytes + third, third}, {bytes + 2 * third, sizes[i] - 2 * third}};
        packed.len = 0;
        ck_assert_int_eq(gzip_pack(gzip, parts, 4, &packed), 0);
        check_unpacks(&packed, bytes, sizes[i]);
        if (_i == 0 && sizes[i] > 1000)
            ck_assert_uint_lt(packed.len, sizes[i] / 20);
    }
    buf_done(&packed);
    gzip_free(gzip);
    free(bytes);
}

TEST(nothing_packed_is_a_whole_member_too)
{
    struct gzip *gzip;
    struct buf packed = {0};
    ck_assert_int_eq(gzip_new(&gzip), 0);
    ck_assert_int_eq(gzip_pack(gzip, NULL, 0, &packed), 0);
    ck_assert_uint_ge(packed.len, 18);
    check_unpacks(&packed, (const uint8_t *)"", 0);
    buf_done(&packed);
    gzip_free(gzip);
    gzip_free(NULL);
}
