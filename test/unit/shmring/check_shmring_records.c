/* SPDX-License-Identifier: MIT
 *
 * What one thread writes is what the consumer reads, wherever the ring's end falls, and what does not fit is counted.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "support/ring_fixture.h"
#include "support/test.h"

static struct shmring *ring;
static struct shmring_writer *writer;
static struct shmring_reader *reader;

enum { RING_BYTES = 4096, RECORD_MAX = RING_BYTES / 4, HEADER_BYTES = sizeof(struct shmring_record) };

static void setup_at(uint64_t first_position)
{
    ring_fixture_init();
    ring = ring_fixture_create(4, RING_BYTES, first_position);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    reader = ring_fixture_open(shmring_name(ring));
}

static void setup(void)
{
    setup_at(0);
}

static void teardown(void)
{
    shmring_reader_close(reader);
    shmring_detach(ring, writer);
    shmring_close(ring);
    ring_fixture_done();
}

FIXTURE(setup, teardown);

static uint64_t dropped(enum shmring_drop reason)
{
    struct shmring_producer_status status;

    shmring_reader_producer(reader, 0, &status);
    return status.dropped[reason];
}

static uint64_t begun(void)
{
    struct shmring_producer_status status;

    shmring_reader_producer(reader, 0, &status);
    return status.begun;
}

static int64_t drain(void)
{
    return ring_drain(reader, 0, 0);
}

TEST(one_record_arrives_whole)
{
    struct shmring_view view;
    void *payload = shmring_reserve(writer, 5, 3, 9);

    ck_assert_uint_eq((uintptr_t)payload % SHMRING_ALIGN, 0);
    memcpy(payload, "hello", 5);
    ck_assert_int_eq(shmring_reader_fill(reader, 0, rings.window), 0);
    shmring_commit(writer);
    ck_assert_int_eq(shmring_reader_fill(reader, 0, rings.window), 48);
    ck_assert_int_eq(shmring_reader_next(rings.window, &view), 1);
    ck_assert_uint_eq(view.payload_bytes, 5);
    ck_assert_mem_eq(view.payload, "hello", 5);
    ck_assert_uint_eq(view.type, 3);
    ck_assert_uint_eq(view.flags, 9);
    ck_assert_uint_eq(view.begin, 0);
    ck_assert_uint_eq(view.end, 48);
    ck_assert_uint_eq(view.thread, (uint32_t)gettid());
    ck_assert_int_eq(shmring_reader_next(rings.window, &view), 0);
}

/* All sizes from every offset: padding takes each of its possible lengths, and none. */
static void write_all_sizes(uint64_t first_position)
{
    uint64_t seed = 0;

    teardown();
    setup_at(first_position);
    for (uint32_t step = 0; step < RING_BYTES / SHMRING_ALIGN; step++)
        for (uint32_t bytes = 0; bytes <= RECORD_MAX - HEADER_BYTES; bytes += 61) {
            ck_assert(ring_write(writer, seed++, bytes));
            ck_assert_int_eq(drain(), 1);
            ring_release(reader, 0);
        }
    ck_assert_uint_eq(shmring_reader_slot(reader, 0)->read_records, seed);
    ck_assert_uint_gt(shmring_reader_slot(reader, 0)->read, first_position);
}

static const uint64_t first_positions[] = {
    0, (1ull << 32) - 64, (1ull << 32) - 16, RING_BYTES - 16, RING_BYTES - 32, (1ull << 63) - 48,
};

LOOP_TEST(every_padding_is_skipped, COUNT(first_positions))
{
    write_all_sizes(first_positions[_i]);
}

TEST(views_cover_the_ring_without_gaps)
{
    uint64_t end = 0;

    for (uint64_t seed = 0; seed < 500; seed++) {
        struct shmring_view view;
        ck_assert(ring_write(writer, seed, (uint32_t)(seed * 37 % 900)));
        ck_assert_int_gt(shmring_reader_fill(reader, 0, rings.window), 0);
        ck_assert_int_eq(shmring_reader_next(rings.window, &view), 1);
        ck_assert_uint_eq(view.begin, end);
        end = view.end;
        ring_release(reader, 0);
    }
}

TEST(full_ring_drops_newest_and_recovers)
{
    uint64_t written = 0;

    while (ring_write(writer, written, 96))
        written++;
    ck_assert_uint_eq(written, RING_BYTES / 128);
    ck_assert(!ring_write(writer, 0, 96));
    ck_assert_uint_eq(dropped(SHMRING_DROP_RING_FULL), 2);
    ck_assert_uint_eq(begun(), written + 2);
    ck_assert_int_eq(drain(), (int64_t)written);
    ck_assert(!ring_write(writer, 0, 96)); /* read is not released */
    ring_release(reader, 0);
    ck_assert(ring_write(writer, written, 96));
    ck_assert_int_eq(drain(), 1);
    ck_assert_uint_eq(begun(), written + 1 + dropped(SHMRING_DROP_RING_FULL));
}

/* Wherever in the ring they begin. */
LOOP_TEST(records_of_together_a_whole_ring_are_all_taken, 4)
{
    uint64_t written = 0;

    for (; written < 5 + (uint64_t)_i; written++)
        ck_assert(ring_write(writer, written, 96));
    ck_assert_int_eq(drain(), (int64_t)written);
    ring_release(reader, 0);
    for (uint64_t i = 0; i < RING_BYTES / 128; i++)
        ck_assert(ring_write(writer, written++, 96));
    ck_assert(!ring_write(writer, written, 0));
    ck_assert_uint_eq(dropped(SHMRING_DROP_RING_FULL), 1);
    ck_assert_int_eq(drain(), RING_BYTES / 128);
}

TEST(released_record_makes_room_for_just_one_like_it)
{
    uint64_t written = 0;

    while (written < RING_BYTES / 128)
        ck_assert(ring_write(writer, written++, 96));
    for (int round = 0; round < 100; round++) {
        struct shmring_view view;
        ck_assert(!ring_write(writer, written, 0));
        ck_assert_int_gt(shmring_reader_fill(reader, 0, rings.window), 0);
        ck_assert_int_eq(shmring_reader_next(rings.window, &view), 1);
        ring_release(reader, 0);
        ck_assert(ring_write(writer, written++, 96));
    }
    ck_assert_int_eq(drain(), RING_BYTES / 128);
}

/* Of what lay there before, nothing is left in the header of the padding. */
TEST(padding_has_no_type_and_no_flags)
{
    const uint8_t *data = ring_fixture_map(shmring_name(ring)) + shmring_data_offset(4);
    const struct shmring_record *padding = (const struct shmring_record *)(data + RING_BYTES - 256);

    for (int i = 0; i < 32 + 30; i++) { /* a lap, and all but 256 bytes of the next */
        struct shmring_view view;
        ck_assert_ptr_nonnull(shmring_reserve(writer, 96, 0xffff, 0xffff));
        shmring_commit(writer);
        ck_assert_int_eq(shmring_reader_fill(reader, 0, rings.window), 128);
        ck_assert_int_eq(shmring_reader_next(rings.window, &view), 1);
        ck_assert_uint_eq(view.type, 0xffff);
        ring_release(reader, 0);
    }
    ck_assert_uint_eq(padding->type, 0xffff);
    ck_assert(ring_write(writer, 0, 480));
    ck_assert_uint_eq(padding->length, SHMRING_PAD | 256);
    ck_assert_uint_eq(padding->type, 0);
    ck_assert_uint_eq(padding->flags, 0);
}

TEST(smaller_record_fits_where_larger_did_not)
{
    for (uint64_t seed = 0; seed < 31; seed++)
        ck_assert(ring_write(writer, seed, 96));
    ck_assert(!ring_write(writer, 0, 97)); /* 16 bytes too long */
    ck_assert(ring_write(writer, 31, 96));
    ck_assert_int_eq(drain(), 32);
}

TEST(longest_record_fits_and_one_byte_more_is_oversize)
{
    ck_assert(ring_write(writer, 0, RECORD_MAX - HEADER_BYTES));
    ck_assert(!ring_write(writer, 0, RECORD_MAX - HEADER_BYTES + 1));
    ck_assert(!ring_write(writer, 0, UINT32_MAX));
    ck_assert_uint_eq(dropped(SHMRING_DROP_OVERSIZE), 2);
    ck_assert_uint_eq(begun(), 3);
    ck_assert_int_eq(drain(), 1);
}

TEST(discarded_record_never_was)
{
    ck_assert(ring_write(writer, 0, 10));
    ck_assert_ptr_nonnull(shmring_reserve(writer, 10, 7, 0));
    ck_assert_uint_eq(begun(), 2);
    shmring_discard(writer);
    ck_assert_uint_eq(begun(), 1);
    ck_assert(ring_write(writer, 1, 20));
    ck_assert_int_eq(drain(), 2);
}

/* The discarded one had gone to the next lap; the one that takes its place fits before, or it does not. */
TEST(discarded_record_never_was_at_the_rings_end_either)
{
    for (uint64_t seed = 0; seed < 3 * RING_BYTES / SHMRING_ALIGN; seed++) {
        void *payload = shmring_reserve(writer, RECORD_MAX - HEADER_BYTES, 7, 0);
        ck_assert_ptr_nonnull(payload);
        memset(payload, 0xff, RECORD_MAX - HEADER_BYTES);
        shmring_discard(writer);
        ck_assert(ring_write(writer, seed, (uint32_t)(seed % 100)));
        ck_assert_int_eq(drain(), 1);
        ring_release(reader, 0);
    }
    ck_assert_uint_gt(shmring_reader_slot(reader, 0)->read, RING_BYTES);
}

static void write_in_handler(int signal)
{
    (void)signal;
    if (ring_write(writer, 99, 16))
        _exit(1);
}

TEST(signal_handler_within_a_write_is_nested)
{
    ck_assert_ptr_ne(signal(SIGUSR1, write_in_handler), SIG_ERR);
    void *payload = shmring_reserve(writer, 8, 7, 0);
    raise(SIGUSR1);
    raise(SIGUSR1);
    ring_fill_pattern(payload, 8, 0);
    shmring_commit(writer);
    ck_assert_uint_eq(dropped(SHMRING_DROP_NESTED), 2);
    ck_assert_uint_eq(begun(), 1);
    ck_assert_int_eq(drain(), 1);
    ck_assert(ring_write(writer, 1, 16));
    ck_assert_int_eq(drain(), 1);
}

TEST(window_smaller_than_a_record_grows)
{
    struct shmring_window *small;
    struct shmring_view view;
    struct shmring *big = ring_fixture_create(1, 1 << 20, 0);
    struct shmring_writer *big_writer;
    uint64_t read = 0;

    ck_assert_int_eq(shmring_window_new(1, &small), 0);
    ck_assert_int_eq(shmring_attach(big, &big_writer), 0);
    struct shmring_reader *big_reader = ring_fixture_open(shmring_name(big));
    for (uint64_t seed = 0; seed < 40; seed++) {
        ck_assert(ring_write(big_writer, seed, (uint32_t)(seed * 6700)));
        while (shmring_reader_fill(big_reader, 0, small) > 0)
            while (shmring_reader_next(small, &view) > 0) {
                ck_assert(ring_pattern_intact(view.payload, view.payload_bytes, view.ordinal));
                read++;
            }
        ring_release(big_reader, 0);
    }
    ck_assert_uint_eq(read, 40);
    shmring_window_free(small);
    shmring_reader_close(big_reader);
    shmring_close(big);
}

static const struct {
    uint32_t before, after; /* payload bytes of the records around the padding */
    uint64_t padding;
} paddings[] = {
    {9984, 10000, 5440},  /* longer than the window */
    {10208, 10000, 4096}, /* just the window */
};

/* A window of one page over a ring whose padding is no shorter. */
LOOP_TEST(window_that_ends_inside_padding_hands_out_nothing_before_the_record_behind, COUNT(paddings))
{
    enum { BEFORE = 6, PAGE = 4096 };
    struct shmring *big = ring_fixture_create(1, 64 << 10, 0);
    struct shmring_view view = {.end = 1};
    struct shmring_writer *big_writer;
    struct shmring_window *small;
    uint64_t seed = 0;

    ck_assert_int_eq(shmring_window_new(PAGE, &small), 0);
    ck_assert_int_eq(shmring_attach(big, &big_writer), 0);
    struct shmring_reader *big_reader = ring_fixture_open(shmring_name(big));
    while (seed < BEFORE)
        ck_assert(ring_write(big_writer, seed++, paddings[_i].before));
    ck_assert_int_eq(ring_drain(big_reader, 0, 0), BEFORE);
    ring_release(big_reader, 0);
    uint64_t begin = shmring_reader_slot(big_reader, 0)->read, lap = begin + paddings[_i].padding;
    ck_assert_uint_eq(lap, 64 << 10);
    ck_assert(ring_write(big_writer, seed, paddings[_i].after));

    ck_assert_int_eq(shmring_reader_fill(big_reader, 0, small), PAGE);
    ck_assert_int_eq(shmring_reader_next(small, &view), 0);
    ck_assert_uint_eq(view.end, 1); /* untouched */
    ck_assert_uint_eq(shmring_reader_slot(big_reader, 0)->read, lap);
    ck_assert_uint_eq(shmring_reader_slot(big_reader, 0)->read_records, BEFORE);
    ck_assert_int_eq(shmring_reader_next(small, &view), 0);

    ck_assert_int_eq(shmring_reader_fill(big_reader, 0, small), PAGE); /* behind it; the record is longer */
    ck_assert_int_eq(shmring_reader_next(small, &view), 0);
    ck_assert_int_gt(shmring_reader_fill(big_reader, 0, small), PAGE);
    ck_assert_int_eq(shmring_reader_next(small, &view), 1);
    ck_assert_uint_eq(view.begin, begin);
    ck_assert_uint_eq(view.ordinal, BEFORE);
    ck_assert(ring_pattern_intact(view.payload, view.payload_bytes, seed));
    ck_assert_uint_eq(view.payload_bytes, paddings[_i].after);
    shmring_window_free(small);
    shmring_reader_close(big_reader);
    shmring_close(big);
}

/* 85 records of 48 bytes, and 16 bytes of the 86th. */
TEST(window_that_ends_inside_a_header_goes_on_with_that_record)
{
    enum { IN_ALL = 200, IN_A_WINDOW = 85, PAGE = 4096 };
    struct shmring *big = ring_fixture_create(1, 64 << 10, 0);
    struct shmring_writer *big_writer;
    struct shmring_window *small;
    struct shmring_view view;
    uint64_t read = 0;

    ck_assert_int_eq(shmring_window_new(PAGE, &small), 0);
    ck_assert_int_eq(shmring_attach(big, &big_writer), 0);
    for (uint64_t seed = 0; seed < IN_ALL; seed++)
        ck_assert(ring_write(big_writer, seed, 16));
    struct shmring_reader *big_reader = ring_fixture_open(shmring_name(big));
    while (read < IN_ALL) {
        uint64_t left = IN_ALL - read, here = left < IN_A_WINDOW ? left : IN_A_WINDOW;
        ck_assert_int_eq(shmring_reader_fill(big_reader, 0, small), left < IN_A_WINDOW ? (int)left * 48 : PAGE);
        for (uint64_t i = 0; i < here; i++, read++) {
            ck_assert_int_eq(shmring_reader_next(small, &view), 1);
            ck_assert_uint_eq(view.ordinal, read);
            ck_assert(ring_pattern_intact(view.payload, 16, read));
        }
        ck_assert_int_eq(shmring_reader_next(small, &view), 0);
    }
    shmring_window_free(small);
    shmring_reader_close(big_reader);
    shmring_close(big);
}

TEST(slot_that_is_not_there_has_nothing)
{
    struct shmring_producer_status status = {.begun = 1};
    struct shmring_ledger ledger = {0};

    ck_assert_int_eq(shmring_reader_look(reader, 1), 0);
    ck_assert_int_eq(shmring_reader_fill(reader, 1, rings.window), 0);
    ck_assert_int_eq(shmring_reader_skip(reader, 1, 0, 32, 1), -EINVAL);
    shmring_reader_commit(reader, 1, &ledger);
    shmring_reader_prefetch(reader, 1, true);
    shmring_reader_producer(reader, 1, &status);
    ck_assert_uint_eq(status.begun, 0);
    ck_assert_uint_eq(shmring_reader_slots(reader), 1);
}

/* A hint: what is read is the same, wherever in the ring it is given. */
TEST(prefetch_changes_nothing)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        shmring_reader_prefetch(reader, 0, seed % 3 == 0);
        ck_assert(ring_write(writer, seed, (uint32_t)(seed * 37 % 900)));
        struct shmring_slot_status before = *shmring_reader_slot(reader, 0);
        shmring_reader_prefetch(reader, 0, true);
        ck_assert_mem_eq(&before, shmring_reader_slot(reader, 0), sizeof(before));
        ck_assert_int_eq(drain(), 1);
        ring_release(reader, 0);
    }
}

TEST(producer_refuses_a_released_position_ahead_of_its_own)
{
    struct shmring_consumer *consumer =
        (struct shmring_consumer *)(ring_fixture_map(shmring_name(ring)) + shmring_consumer_offset(0));

    for (uint64_t seed = 0; seed < 32; seed++)
        ck_assert(ring_write(writer, seed, 96));
    atomic_store(&consumer->cpos_pub, RING_BYTES + 16);
    ck_assert(!ring_write(writer, 0, 96));
    ck_assert_uint_eq(dropped(SHMRING_DROP_RING_FULL), 1);
    ck_assert_int_eq(drain(), 32);
}

TEST(commit_outside_what_was_read_does_nothing)
{
    struct shmring_ledger ledger = {.cpos = 128};
    struct shmring_reader *second;

    ck_assert(ring_write(writer, 0, 32));
    ck_assert_int_eq(drain(), 1);
    shmring_reader_commit(reader, 0, &ledger);
    ck_assert_uint_eq(shmring_reader_slot(reader, 0)->ledger.cpos, 0);
    ring_release(reader, 0);
    ledger.cpos = 0;
    shmring_reader_commit(reader, 0, &ledger);
    ck_assert_uint_eq(shmring_reader_slot(reader, 0)->ledger.cpos, 64);
    ck_assert(ring_write(writer, 1, 32));
    ck_assert_int_eq(drain(), 1);
    ledger.cpos = 72; /* within what was read, and no place for a record */
    shmring_reader_commit(reader, 0, &ledger);
    ck_assert_uint_eq(shmring_reader_slot(reader, 0)->ledger.cpos, 64);
    second = ring_fixture_open(shmring_name(ring));
    ck_assert_uint_eq(shmring_reader_slot(second, 0)->ledger.cpos, 64);
    shmring_reader_close(second);
}

/* Records of 96 bytes; the ring ends within the padding before the one that begins at 4096. */
TEST(skipped_interval_is_not_read_and_what_follows_is)
{
    struct shmring_view view;
    uint64_t begin = 0, end = 0;

    for (uint64_t i = 0; i < 30; i++)
        ck_assert(ring_write(writer, i, 64));
    ck_assert_int_gt(shmring_reader_fill(reader, 0, rings.window), 0);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(shmring_reader_skip(reader, 0, 10 * 96, 20 * 96, 10), -EAGAIN);
        ck_assert_int_eq(shmring_reader_next(rings.window, &view), 1);
    }
    begin = view.end;
    end = begin + 10 * 96ull;
    ck_assert_int_eq(shmring_reader_skip(reader, 0, begin, end + 8, 10), -EINVAL);
    ck_assert_int_eq(shmring_reader_skip(reader, 0, begin, begin + 21 * 96, 10), -EINVAL);
    ck_assert_int_eq(shmring_reader_skip(reader, 0, begin, end, 31), -EINVAL);
    ck_assert_int_eq(shmring_reader_skip(reader, 0, begin, end, 10), 0);
    ck_assert_uint_eq(shmring_reader_slot(reader, 0)->read_records, 20);
    ck_assert_int_eq(drain(), 10);
    ring_release(reader, 0);
    for (uint64_t i = 30; i < 60; i++) /* over the ring's end */
        ck_assert(ring_write(writer, i, 64));
    ck_assert_int_gt(shmring_reader_fill(reader, 0, rings.window), 0);
    uint64_t last = 0;
    while (shmring_reader_next(rings.window, &view) == 1 && view.ordinal < 41)
        last = view.end;
    shmring_reader_unread(reader, 0, &view);
    ck_assert_uint_eq(view.begin, last);
    ck_assert_int_eq(shmring_reader_skip(reader, 0, view.begin, view.end, 1), 0);
    ck_assert_int_eq(drain(), 18);
}

TEST(published_control_reaches_the_producer)
{
    const struct shmring_control *control = shmring_control(ring);

    ck_assert_uint_eq(control->flags, 0);
    shmring_reader_publish(reader, SHMRING_CONTROL_PUBLISHED, 1ull << 62);
    ck_assert_uint_eq(control->flags, SHMRING_CONTROL_PUBLISHED);
    ck_assert_uint_eq(control->sampling_threshold, 1ull << 62);
}
