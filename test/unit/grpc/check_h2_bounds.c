/* SPDX-License-Identifier: MIT
 *
 * What a server may cost the client's HTTP/2, byte by byte.
 */
#include <errno.h>
#include <string.h>

#include "support/h2_pair.h"
#include "support/test.h"

TEST(output_is_bounded_by_what_was_asked_for)
{
    static uint8_t bytes[1 << 20];
    struct iovec part = {bytes, sizeof(bytes)};
    struct pair *pair = pair_new(&(struct script_limits){.initial_window_bytes = 1 << 30}, NULL, 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    ck_assert_int_eq(pair_submit(pair, 0, &part, 1), 0);
    struct buf out = {0};
    ck_assert_int_eq(h2_send(pair->h2, &out, 10000), 0);
    ck_assert_uint_gt(out.len, 0);
    ck_assert_uint_lt(out.len, 10000 + 17000);
    buf_done(&out);
    pair_free(pair);
}

/* Also those that nghttp2 does not tell of: of a type it does not know, and DATA on a stream that is over. */
TEST(every_frame_is_counted_and_a_large_one_as_several)
{
    static const uint8_t pings[] = "\0\0\x08\6\0\0\0\0\0........\0\0\x08\6\0\0\0\0\0........";
    static const uint8_t unknown[] = "\0\0\1\x63\0\0\0\0\0.";
    static const uint8_t late_data[9 + 2 * H2_FRAME_UNIT_BYTES] = "\0\x20\0\0\0\0\0\0\1";
    struct script_step step = {0};
    struct pair *pair = pair_one_call(&step);
    ck_assert_ptr_null(h2_problem(pair->h2));
    uint64_t before = h2_frames_received(pair->h2);
    pair_receive(pair, pings, sizeof(pings) - 1);
    ck_assert_uint_eq(h2_frames_received(pair->h2), before + 2);
    for (size_t i = 0; i < sizeof(unknown) - 1; i++)
        pair_receive(pair, unknown + i, 1);
    ck_assert_uint_eq(h2_frames_received(pair->h2), before + 3);
    pair_receive(pair, late_data, sizeof(late_data));
    ck_assert_uint_eq(h2_frames_received(pair->h2), before + 6);
    pair_free(pair);
}

/* HEADERS of no fields, then CONTINUATIONs of none. */
TEST(continuations_are_bounded)
{
    static const uint8_t headers[] = "\0\0\0\1\0\0\0\0\1";
    static const uint8_t continuation[] = "\0\0\0\x09\0\0\0\0\1";
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = pair_one_call(&step);
    pair_receive(pair, headers, 9);
    int err = 0;
    unsigned count = 0;
    while (!err && count < 1000) {
        err = h2_receive(pair->h2, continuation, 9);
        count += !err;
    }
    ck_assert_int_eq(err, -EPROTO);
    ck_assert_uint_le(count, H2_CONTINUATIONS_MAX);
    ck_assert_ptr_nonnull(strstr(h2_problem(pair->h2), "floods"));
    pair_free(pair);
}

LOOP_TEST(acknowledgements_to_a_peer_that_does_not_read_are_bounded, 2)
{
    static const uint8_t frames[][17] = {"\0\0\x08\6\0\0\0\0\0.......", "\0\0\0\4\0\0\0\0"};
    static const size_t bytes[] = {17, 9};
    struct pair *pair = pair_new(&(struct script_limits){0}, NULL, 0);
    ck_assert_int_eq(pair_talk(pair), 0);
    int err = 0;
    unsigned count = 0;
    for (; !err && count < 10000; count++)
        err = h2_receive(pair->h2, frames[_i], bytes[_i]);
    ck_assert_int_eq(err, -EPROTO);
    ck_assert_uint_le(count, H2_ACKS_MAX + 2);
    ck_assert_ptr_nonnull(strstr(h2_problem(pair->h2), "floods"));
    pair_free(pair);
}

TEST(what_informational_headers_say_besides_is_no_answer)
{
    /* :status 103, grpc-status 0; then :status 200; then an end of the stream without trailers */
    static const uint8_t early[] = "\0\0\x14\1\4\0\0\0\1\x08\3"
                                   "103\0\x0b"
                                   "grpc-status\1"
                                   "0";
    static const uint8_t final[] = "\0\0\1\1\4\0\0\0\1\x88\0\0\0\0\1\0\0\0\1";
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = pair_one_call(&step);
    pair_receive(pair, early, sizeof(early) - 1);
    pair_receive(pair, final, sizeof(final) - 1);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_UNKNOWN);
    ck_assert_str_eq(pair->calls[0].message, "HTTP status 200 without grpc-status");
    pair_free(pair);
}

/* 30 times :status 103 and a field; then headers of five fields, as many as the bound allows, or one more in trailers.
 */
TEST(headers_are_summed_over_all_there_are)
{
    static const uint8_t early[] = "\0\0\x09\1\4\0\0\0\1\x08\3"
                                   "103\0\1"
                                   "x\0";
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = pair_one_call(&step);
    for (int i = 0; i < H2_HEADERS_MAX_COUNT / 2; i++) {
        ck_assert_uint_eq(pair->calls[0].results, 0);
        pair_receive(pair, early, sizeof(early) - 1);
    }
    static const uint8_t final[] = "\0\0\1\1\4\0\0\0\1\x88";
    pair_receive(pair, final, sizeof(final) - 1);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_RESOURCE_EXHAUSTED);
    ck_assert_str_eq(pair->calls[0].message, "the response has too many headers");
    pair_free(pair);
}

TEST(a_response_may_come_in_frames_of_any_size)
{
    static const uint8_t frames[] = "\0\0\1\1\4\0\0\0\1\x88"       /* :status 200 */
                                    "\0\0\2\0\0\0\0\0\1\0\0"       /* two bytes of the message's prefix */
                                    "\0\0\0\0\0\0\0\0\1"           /* none */
                                    "\0\0\4\0\0\0\0\0\1\0\0\2\x0a" /* the others, and its first byte */
                                    "\0\0\1\0\0\0\0\0\1\0"         /* and its last */
                                    "\0\0\x0f\1\5\0\0\0\1\0\x0b"
                                    "grpc-status\1"
                                    "0";
    struct script_step step = {.kind = SCRIPT_HOLD};
    struct pair *pair = pair_one_call(&step);
    pair_receive(pair, frames, sizeof(frames) - 1);
    ck_assert_uint_eq(pair->calls[0].results, 1);
    ck_assert_int_eq(pair->calls[0].code, GRPC_OK);
    ck_assert_uint_eq(pair->calls[0].body.len, 2);
    ck_assert_mem_eq(pair->calls[0].body.data, "\x0a\0", 2);
    pair_free(pair);
}

LOOP_TEST(long_words_of_the_server_are_cut_or_left_out, 2)
{
    static char message[H2_MESSAGE_MAX_BYTES + 2], details[H2_DETAILS_MAX_BYTES + 5];
    memset(message, 'm', sizeof(message) - 1);
    memset(details, 'A', H2_DETAILS_MAX_BYTES + (_i ? 4 : 0));
    struct script_step step = {.status = 8, .message = message, .details = details};
    struct pair *pair = pair_one_call(&step);
    ck_assert_int_eq(pair->calls[0].code, GRPC_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(pair->calls[0].message_bytes, H2_MESSAGE_MAX_BYTES);
    ck_assert_uint_eq(pair->calls[0].details.len, _i ? 0 : H2_DETAILS_MAX_BYTES / 4 * 3);
    pair_free(pair);
}
