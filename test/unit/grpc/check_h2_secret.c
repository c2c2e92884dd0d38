/* SPDX-License-Identifier: MIT
 *
 * A secret header on the wire: literal and never indexed (RFC 7541, 6.2.3), in each request anew.
 */
#include <string.h>

#include "base/buf.h"
#include "grpc/h2.h"
#include "support/test.h"

static void on_result(void *user, void *call, const struct grpc_result *result)
{
    (void)user;
    (void)call;
    (void)result;
}

static void on_goaway(void *user)
{
    (void)user;
}

static size_t count(const struct buf *in, const char *what, size_t bytes)
{
    size_t found = 0;
    for (size_t at = 0; at + bytes <= in->len; at++)
        found += memcmp(in->data + at, what, bytes) == 0;
    return found;
}

TEST(a_secret_is_a_literal_that_is_never_indexed)
{
    /* Names and values that Huffman coding would only lengthen: they are on the wire as they are. */
    static const struct h2_metadata metadata[] = {{"x~~~~", "~~~~~~", true}, {"y~~~~", "^^^^^^", false}};
    static const struct h2_settings settings = {"http", "test:1", "/test", metadata, 2};
    static const struct h2_callbacks callbacks = {on_result, on_goaway};
    static const uint8_t no_settings[9] = {0, 0, 0, 4};
    static const char never_indexed[] = "\x10\x05x~~~~\x06~~~~~~", indexed[] = "\x40\x05y~~~~\x06^^^^^^";
    struct iovec hello = {"hello", 5};
    const struct h2_request request = {.parts = &hello, .part_count = 1, .timeout_ms = 1000};
    struct buf out = {0};
    struct h2 *h2;
    ck_assert_int_eq(h2_new(&settings, &callbacks, NULL, &h2), 0);
    ck_assert_int_eq(h2_receive(h2, no_settings, sizeof(no_settings)), 0);
    for (size_t calls = 1; calls <= 3; calls++) {
        ck_assert_int_eq(h2_submit(h2, &out, &request), 0);
        ck_assert_int_eq(h2_send(h2, &out, 1 << 20), 0);
        ck_assert_uint_eq(count(&out, never_indexed, sizeof(never_indexed) - 1), calls);
        ck_assert_uint_eq(count(&out, "~~~~~~", 6), calls);
        /* What is no secret is there once, and then a number: so the bytes above mean what they seem to. */
        ck_assert_uint_eq(count(&out, indexed, sizeof(indexed) - 1), 1);
        ck_assert_uint_eq(count(&out, "^^^^^^", 6), 1);
    }
    h2_free(h2);
    buf_done(&out);
}
