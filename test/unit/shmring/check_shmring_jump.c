/* SPDX-License-Identifier: MIT
 *
 * A write that is left at any of its instructions, because a signal handler jumps out of it: the thread goes on, or
 * another takes the slot over; and a handler that writes itself and returns. No slot is damaged, and all counts are
 * exact.
 */
#include <errno.h>
#include <stdio.h>

#include "support/ring_fixture.h"
#include "support/single_step.h"
#include "support/test.h"
#include "writer.h"

enum { RING_BYTES = 4096, PAYLOAD_BYTES = 16, INSTRUCTIONS_MOST = 5000 };

TIMEOUT(120);

static struct ring {
    struct shmring *ring;
    struct shmring_writer *writer;
    struct shmring_reader *reader;
    bool ended; /* the stepped call came to its end */
} r;

static void start_with(uint32_t slots)
{
    r.ring = ring_fixture_create(slots, RING_BYTES, 0);
    ck_assert_int_eq(shmring_attach(r.ring, &r.writer), 0);
    r.reader = ring_fixture_open(shmring_name(r.ring));
}

static void start(void)
{
    ring_fixture_init();
    r = (struct ring){0};
    start_with(1);
}

static void done(void)
{
    shmring_reader_close(r.reader);
    shmring_close(r.ring);
    ring_fixture_done();
}

FIXTURE(start, done);

/* ---- what is checked ---- */

/* Reads all there is of a slot. A record's flags are the seed of its pattern. -> how many */
static uint64_t drain(uint32_t slot)
{
    uint64_t records = 0;
    struct shmring_view view;
    int more = 0;

    shmring_reader_slots(r.reader);
    while (shmring_reader_fill(r.reader, slot, rings.window) > 0)
        while ((more = shmring_reader_next(rings.window, &view)) > 0) {
            ck_assert(ring_pattern_intact(view.payload, view.payload_bytes, view.flags));
            records++;
        }
    shmring_reader_audit(r.reader);
    const struct shmring_slot_status *status = shmring_reader_slot(r.reader, slot);
    ck_assert_msg(status->health == SHMRING_SLOT_SOUND, "slot %u quarantined: %s", slot, status->problem);
    ck_assert_int_eq(more, 0);
    ring_release(r.reader, slot);
    return records;
}

static struct shmring_producer_status status_of(uint32_t slot)
{
    struct shmring_producer_status status;

    shmring_reader_slots(r.reader);
    shmring_reader_producer(r.reader, slot, &status);
    return status;
}

/* Records begun in the slot, but neither there nor dropped. */
static uint64_t in_progress(uint32_t slot)
{
    struct shmring_producer_status status = status_of(slot);

    return status.begun - shmring_reader_slot(r.reader, slot)->read_records - status.dropped[SHMRING_DROP_RING_FULL] -
           status.dropped[SHMRING_DROP_OVERSIZE];
}

static uint64_t nested(uint32_t slot)
{
    return status_of(slot).dropped[SHMRING_DROP_NESTED];
}

/* ---- a write at a chosen place ---- */

static void write_bytes(uint32_t bytes)
{
    ck_assert(ring_write(r.writer, 1, bytes - (uint32_t)sizeof(struct shmring_record)));
    drain(0);
}

/* Goes on until the lap has this many bytes left. */
static void go_to(uint32_t lap_rest)
{
    for (;;) {
        uint32_t rest = RING_BYTES - (uint32_t)(shmring_reader_slot(r.reader, 0)->read % RING_BYTES);
        if (rest == lap_rest)
            return;
        uint32_t way = rest > lap_rest ? rest - lap_rest : rest;
        write_bytes(way > 512 + 32 ? 512 : way >= 32 ? way : 32);
    }
}

struct place {
    uint32_t lap_rest;
    uint32_t payload_bytes;
    bool full; /* the ring is full before */
    bool discards;
};

static const struct place places[] = {
    {.lap_rest = 1024, .payload_bytes = PAYLOAD_BYTES},
    {.lap_rest = 48, .payload_bytes = PAYLOAD_BYTES},
    {.lap_rest = 32, .payload_bytes = PAYLOAD_BYTES}, /* longest padding */
    {.lap_rest = 16, .payload_bytes = PAYLOAD_BYTES}, /* shortest */
    {.lap_rest = 16, .payload_bytes = 0},
    {.lap_rest = 1024, .payload_bytes = PAYLOAD_BYTES, .full = true},
    {.lap_rest = 1024, .payload_bytes = RING_BYTES},
    {.lap_rest = 32, .payload_bytes = PAYLOAD_BYTES, .discards = true},
};
enum { PLACES = COUNT(places) };

static void operate(void *argument)
{
    const struct place *place = argument;

    r.ended = false;
    if (place->discards) {
        if (shmring_reserve(r.writer, place->payload_bytes, 7, 2))
            shmring_discard(r.writer);
    } else {
        ring_write(r.writer, 2, place->payload_bytes);
    }
    r.ended = true;
}

static void fill_if(bool full)
{
    while (full && ring_write(r.writer, 1, 100))
        ;
    while (full && ring_write(r.writer, 1, 0))
        ;
}

static void go_before(const struct place *place)
{
    go_to(place->lap_rest);
    fill_if(place->full);
}

/* Of the stepped calls below, those of one function have one frame. */
static struct place usual = {.lap_rest = 32, .payload_bytes = PAYLOAD_BYTES};

/* ---- jumps ---- */

LOOP_TEST(a_thread_that_left_a_write_goes_on, PLACES)
{
    void *place = (void *)(uintptr_t)&places[_i];
    unsigned at = 1, within = 0;

    NEEDS_SINGLE_STEP();
    for (;; at += SINGLE_STEP_STRIDE) {
        go_before(place);
        if (!single_step(at, operate, single_step_jump, place))
            break;
        drain(0);
        within += r.writer->frame != 0;
        ck_assert_uint_le(in_progress(0), 1);
        single_step(0, operate, NULL, place); /* in the same frame */
        ck_assert(ring_write(r.writer, 3, PAYLOAD_BYTES));
        ck_assert_uint_ge(drain(0), 1);
        ck_assert_uint_eq(in_progress(0), 0);
        ck_assert_uint_lt(at, INSTRUCTIONS_MOST);
    }
    ck_assert_uint_eq(nested(0), 0);
    ck_assert_uint_gt(within * SINGLE_STEP_STRIDE, 10);
    printf("%u instructions, %u within the write\n", at - 1, within);
}

LOOP_TEST(a_slot_whose_thread_left_a_write_is_taken_over, PLACES)
{
    NEEDS_SINGLE_STEP();
    for (unsigned at = 1;; at += SINGLE_STEP_STRIDE) {
        go_before(&places[_i]);
        if (!single_step(at, operate, single_step_jump, (void *)(uintptr_t)&places[_i]))
            break;
        shmring_detach(r.ring, r.writer);
        drain(0);
        ck_assert_uint_eq(in_progress(0), 0);
        ck_assert_int_eq(shmring_attach(r.ring, &r.writer), 0);
        ck_assert_uint_eq(r.writer->slot, 0);
        ck_assert(ring_write(r.writer, 3, PAYLOAD_BYTES));
        ck_assert_uint_eq(drain(0), 1);
        ck_assert_uint_eq(in_progress(0), 0);
        ck_assert_uint_lt(at, INSTRUCTIONS_MOST);
    }
    ck_assert_uint_eq(nested(0), 0);
}

/* What ends a left write may be left itself. */
TEST(a_settling_that_is_left_is_done_again)
{
    enum { SETTLING_MOST = 70 };
    unsigned lefts = 0;

    NEEDS_SINGLE_STEP();
    for (unsigned at = 1;; at += 5 * SINGLE_STEP_STRIDE) {
        go_before(&usual);
        if (!single_step(at, operate, single_step_jump, &usual))
            break;
        if (r.writer->frame == 0)
            continue;
        for (unsigned again = 1; again < SETTLING_MOST; again++)
            lefts += single_step(again, operate, single_step_jump, &usual);
        drain(0);
        single_step(0, operate, NULL, &usual);
        ck_assert(r.ended);
        ck_assert_uint_eq(drain(0), 1);
        ck_assert_uint_eq(in_progress(0), 0);
    }
    ck_assert_uint_gt(lefts * SINGLE_STEP_STRIDE, 100);
    ck_assert_uint_eq(nested(0), 0);
}

/* ---- a handler that returns ---- */

static uint64_t handler_wrote;

static void write_in_handler(void *unused)
{
    (void)unused;
    handler_wrote = ring_write(r.writer, 4, PAYLOAD_BYTES);
}

LOOP_TEST(a_handler_within_a_write_is_refused_and_the_write_goes_on, PLACES)
{
    unsigned at = 1, refused = 0, wrote = 0;

    NEEDS_SINGLE_STEP();
    for (bool came = true; came; at += SINGLE_STEP_STRIDE) {
        go_before(&places[_i]);
        uint64_t before = nested(0);
        handler_wrote = 0;
        came = single_step(at, operate, write_in_handler, (void *)(uintptr_t)&places[_i]);
        ck_assert(r.ended);
        refused += nested(0) > before;
        wrote += handler_wrote > 0;
        ck_assert_uint_le(nested(0) - before + handler_wrote, 1);
        ck_assert_uint_ge(drain(0), handler_wrote);
        ck_assert_uint_eq(in_progress(0), 0);
        ck_assert_uint_lt(at, INSTRUCTIONS_MOST);
    }
    ck_assert_uint_gt(refused * SINGLE_STEP_STRIDE, 10);
    ck_assert(wrote > 0 || places[_i].full || SINGLE_STEP_STRIDE > 1);
}

/* ---- a thread that goes on elsewhere ---- */

static __attribute__((noinline)) bool write_deeper(void)
{
    volatile char below[512] = "";
    bool wrote = ring_write(r.writer, 5, PAYLOAD_BYTES);

    return wrote && below[0] == 0; /* not a tail call */
}

static void start_again_with(uint32_t slots)
{
    shmring_reader_close(r.reader);
    shmring_close(r.ring);
    start_with(slots);
}

/* A write that comes to its end, or is left after it has reserved its record: both in the same frame. */
static __attribute__((noinline)) void write_in_one_frame(bool leave)
{
    unsigned at = leave ? 60 : 0;

    do
        ck_assert_int_eq(single_step(at, operate, single_step_jump, &usual), leave);
    while (at++ && (r.writer->frame == 0 || r.writer->begin == r.writer->wpos));
}

/* Nobody can tell here whether the write goes on. */
static void write_until_stuck(uint32_t slot)
{
    uint64_t before = nested(slot);

    for (int i = 0; i < SHMRING_STUCK_AFTER; i++) {
        ck_assert(!shmring__writer_is_stuck(r.writer));
        ck_assert(!write_deeper());
    }
    ck_assert(shmring__writer_is_stuck(r.writer));
    ck_assert_uint_eq(nested(slot), before + SHMRING_STUCK_AFTER);
}

TEST(a_thread_that_goes_on_elsewhere_takes_another_slot)
{
    struct shmring_writer *left = r.writer, *again[2];

    NEEDS_SINGLE_STEP();
    start_again_with(2);
    left = r.writer;
    write_in_one_frame(true);
    drain(0);
    write_until_stuck(0);
    ck_assert_int_eq(shmring_attach_beside(r.ring, &r.writer), 0);
    ck_assert_ptr_ne(r.writer, left);
    ck_assert(write_deeper());
    ck_assert_uint_eq(drain(1), 1);
    ck_assert_uint_eq(in_progress(1), 0);
    ck_assert_uint_eq(in_progress(0), 1);
    ck_assert_int_eq(shmring_attach(r.ring, &again[0]), -ENFILE); /* both are the thread's */

    shmring_detach(r.ring, r.writer);
    ck_assert_uint_eq(in_progress(0), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(shmring_attach(r.ring, &again[i]), 0);
        ck_assert(ring_write(again[i], 6, PAYLOAD_BYTES));
    }
    ck_assert_uint_eq(drain(0), 1);
    ck_assert_uint_eq(drain(1), 1);
}

TEST(a_thread_that_leaves_writes_again_and_again_needs_no_third_slot)
{
    NEEDS_SINGLE_STEP();
    start_again_with(2);
    for (int i = 0; i < 20; i++) {
        uint32_t slot = r.writer->slot;
        write_in_one_frame(true);
        drain(slot);
        write_until_stuck(slot);
        ck_assert_int_eq(shmring_attach_beside(r.ring, &r.writer), 0);
        ck_assert_uint_ne(r.writer->slot, slot);
        ck_assert(write_deeper());
        ck_assert_uint_eq(drain(r.writer->slot), 1);
        ck_assert_uint_eq(in_progress(r.writer->slot), 0);
    }
}

TEST(a_thread_without_another_slot_stays_and_asks_more_and_more_seldom)
{
    struct shmring_writer *left = r.writer;
    unsigned stuck = 0;

    NEEDS_SINGLE_STEP();
    write_in_one_frame(true);
    write_until_stuck(0);
    ck_assert_int_eq(shmring_attach_beside(r.ring, &r.writer), -ENFILE);
    ck_assert_ptr_eq(r.writer, left);
    for (int i = SHMRING_STUCK_AFTER; i < 1024; i++) {
        ck_assert(!write_deeper());
        stuck += shmring__writer_is_stuck(r.writer);
    }
    ck_assert_uint_eq(stuck, 6); /* 32, 64, ... 1024 */
    ck_assert_uint_eq(nested(0), 1024);
    write_in_one_frame(false); /* the one that was left is over now */
    ck_assert(!shmring__writer_is_stuck(r.writer) && r.writer->frame == 0);
    ck_assert(write_deeper());
    ck_assert_uint_eq(drain(0), 2);
}

static void write_much_in_handler(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2 * SHMRING_STUCK_AFTER; i++) {
        if (!ring_write(r.writer, 7, 0) && shmring__writer_is_stuck(r.writer))
            ck_assert_int_eq(shmring_attach_beside(r.ring, &r.writer), 0);
    }
}

/* The write that seemed to be left goes on, in its own slot; which the thread comes back to. */
TEST(a_handler_that_takes_another_slot_leaves_the_write_alone)
{
    struct shmring_writer *interrupted = r.writer;
    unsigned moved = 0;

    NEEDS_SINGLE_STEP();
    start_again_with(2);
    for (unsigned at = 1;; at += SINGLE_STEP_STRIDE) {
        interrupted = r.writer;
        uint32_t slot = interrupted->slot;
        bool came = single_step(at, operate, write_much_in_handler, &usual);
        ck_assert(r.ended && interrupted->frame == 0);
        moved += r.writer != interrupted;
        for (uint32_t i = 0; i < shmring_reader_slots(r.reader); i++) {
            ck_assert_uint_ge(drain(i), i == slot);
            ck_assert_uint_eq(in_progress(i), 0);
        }
        if (!came)
            break;
    }
    ck_assert_uint_gt(moved * SINGLE_STEP_STRIDE, 10);
}

static int third_slot;

static void be_stuck_in_handler(void *unused)
{
    (void)unused;
    if (r.writer->frame == 0 || r.writer->begin == r.writer->wpos)
        return;
    write_until_stuck(0);
    ck_assert_int_eq(shmring_attach_beside(r.ring, &r.writer), 0);
    ck_assert_ptr_nonnull(shmring_reserve(r.writer, PAYLOAD_BYTES, 7, 8));
    write_until_stuck(1);
    third_slot = shmring_attach_beside(r.ring, &r.writer);
    shmring_discard(r.writer);
}

TEST(a_write_that_goes_on_keeps_its_slot)
{
    struct shmring_writer *first;

    NEEDS_SINGLE_STEP();
    NEEDS(!TEST_ADDRESS_SANITIZER, "no AddressSanitizer, whose checks stand between the steps of a write");
    start_again_with(2);
    first = r.writer;
    for (unsigned at = 1; third_slot == 0; at++)
        ck_assert(single_step(at, operate, be_stuck_in_handler, &usual));
    ck_assert_int_eq(third_slot, -ENFILE);
    ck_assert_ptr_ne(r.writer, first);
    ck_assert_uint_ge(drain(0), 1);
    ck_assert_uint_eq(in_progress(0), 0);
    ck_assert_uint_eq(in_progress(1), 0);
}

/* ---- a position that is not the producer's ---- */

TEST(a_slot_in_which_it_cannot_be_told_has_no_owner_again)
{
    struct shmring_writer *left = r.writer, *another;

    NEEDS_SINGLE_STEP();
    start_again_with(2);
    left = r.writer;
    write_in_one_frame(true);
    struct shmring_producer *shared =
        (struct shmring_producer *)(ring_fixture_map(shmring_name(r.ring)) + shmring_producer_offset(0));
    atomic_store(&shared->wpos, left->wpos + SHMRING_ALIGN);
    write_in_one_frame(false); /* nested: nothing is written after it */
    shmring_detach(r.ring, left);
    ck_assert_uint_eq(shared->state, SHMRING_SLOT_RETIRED);
    ck_assert_uint_eq(nested(0), 1);
    ck_assert_int_eq(shmring_attach(r.ring, &r.writer), 0);
    ck_assert_uint_eq(r.writer->slot, 1);
    ck_assert_int_eq(shmring_attach(r.ring, &another), -ENFILE);
}
