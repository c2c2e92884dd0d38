/* SPDX-License-Identifier: MIT */

#include "source/poll_pace.h"
#include "support/test.h"

#define MS UINT64_C(1000000)

TEST(idle_sleeps_double_up_to_the_longest)
{
    static const uint64_t expected[] = {2, 4, 8, 16, 32, 64, 100, 100};
    const struct poll_look nothing = {.elapsed_ns = MS, .flush_ms = 1000};
    uint64_t ms = POLL_PACE_MIN_MS;
    for (size_t i = 0; i < COUNT(expected); i++) {
        ms = poll_pace_next(ms, &nothing);
        ck_assert_uint_eq(ms, expected[i]);
    }
    ck_assert_uint_eq(poll_pace_next(0, &nothing), POLL_PACE_MIN_MS);
}

TEST(a_ring_fills_by_a_sixteenth_between_two_looks)
{
    static const struct {
        struct poll_look look;
        uint64_t ms;
    } rows[] = {
        {{.bytes = 1, .filled = POLL_PACE_RING / 16, .elapsed_ns = 10 * MS, .flush_ms = 1000}, 10},
        {{.bytes = 1, .filled = POLL_PACE_RING / 2, .elapsed_ns = 70 * MS, .flush_ms = 1000}, 8},
        {{.bytes = 1, .filled = POLL_PACE_RING, .elapsed_ns = 1 * MS, .flush_ms = 1000}, 1},
        {{.bytes = 1, .filled = POLL_PACE_RING / 2, .elapsed_ns = 0, .flush_ms = 1000}, 1},
        {{.bytes = 1, .filled = POLL_PACE_RING / 160, .elapsed_ns = MS / 10, .flush_ms = 1000}, 1},
        {{.bytes = 1, .filled = 3 * POLL_PACE_RING, .elapsed_ns = 40 * MS, .flush_ms = 1000}, 2},
        {{.bytes = 1, .filled = POLL_PACE_RING / 64, .elapsed_ns = 2 * MS, .flush_ms = 1000}, 8},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        ck_assert_uint_eq(poll_pace_next(100, &rows[i].look), rows[i].ms);
}

TEST(a_trickle_is_looked_at_often_enough_for_a_burst_and_for_the_flush)
{
    struct poll_look trickle = {.bytes = 300, .filled = 0, .elapsed_ns = 100 * MS, .flush_ms = 1000};
    ck_assert_uint_eq(poll_pace_next(100, &trickle), POLL_PACE_BUSY_MAX_MS);
    trickle.flush_ms = 5;
    ck_assert_uint_eq(poll_pace_next(100, &trickle), 2);
    trickle.flush_ms = 1;
    ck_assert_uint_eq(poll_pace_next(100, &trickle), POLL_PACE_MIN_MS);
    trickle = (struct poll_look){.bytes = 1, .filled = 1, .elapsed_ns = UINT64_MAX, .flush_ms = UINT64_MAX};
    ck_assert_uint_eq(poll_pace_next(100, &trickle), POLL_PACE_BUSY_MAX_MS);
}

/* 350 bytes are a span with a handful of attributes; a quarter of the ring is what may wait for its acknowledgement. */
TEST(a_burst_after_a_trickle_finds_room_until_it_is_seen)
{
    enum { SPANS_PER_MS = 200, SPAN_BYTES = 350, RING_BYTES = 1 << 20 };
    const struct poll_look trickle = {.bytes = SPAN_BYTES, .elapsed_ns = 10 * MS, .flush_ms = 1000};
    uint64_t unseen_ms = poll_pace_next(POLL_PACE_IDLE_MAX_MS, &trickle);
    ck_assert_uint_le(unseen_ms * SPANS_PER_MS * SPAN_BYTES, RING_BYTES - RING_BYTES / 4);
}
