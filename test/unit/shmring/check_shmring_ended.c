/* SPDX-License-Identifier: MIT
 *
 * What a closed segment came to: exactly the records that a consumer finds in its file.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/ring_fixture.h"
#include "support/test.h"

FIXTURE(ring_fixture_init, ring_fixture_done);

enum { RING_BYTES = 4096, PAYLOAD_BYTES = 100, RING_HOLDS = RING_BYTES / 144 };

static struct shmring *ring;
static struct shmring_writer *writer;

/* -> the reader, which has released what it has read of slot 0 */
static struct shmring_reader *write_with_reader(uint64_t first_position, uint64_t records, bool release)
{
    ring = ring_fixture_create(3, RING_BYTES, first_position);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    for (uint64_t i = 0; i < records; i++) {
        ck_assert(ring_write(writer, i, PAYLOAD_BYTES));
        if (release && i % 7 == 3) {
            ck_assert_int_ge(ring_drain(reader, 0, 0), 0);
            ring_release(reader, 0);
        }
    }
    return reader;
}

static struct shmring_totals close_and_count(void)
{
    struct shmring_totals totals;
    shmring_close(ring);
    shmring_totals(ring, &totals);
    return totals;
}

static const struct {
    uint64_t first_position, records;
    bool release;
} cases[] = {
    {0, 0, false},  {0, 1, false},    {0, RING_HOLDS - 1, false},    {4000, 20, false},
    {0, 500, true}, {4064, 77, true}, {(1ull << 32) - 48, 40, true}, {(1ull << 63) - 4096, 100, true},
};

/* With and without a write in the middle of which the segment is closed. */
LOOP_TEST(a_record_counts_when_it_was_published, 2 * COUNT(cases))
{
    uint64_t records = cases[_i / 2].records;
    struct shmring_reader *reader = write_with_reader(cases[_i / 2].first_position, records, cases[_i / 2].release);
    if (_i % 2)
        ck_assert_ptr_nonnull(shmring_reserve(writer, PAYLOAD_BYTES, 7, 0));
    ck_assert_uint_eq(close_and_count().begun, records);
    ck_assert_int_ge(ring_drain(reader, 0, 0), 0);
    ck_assert_uint_eq(shmring_reader_slot(reader, 0)->read_records, records);
    shmring_reader_close(reader);
}

TEST(drops_count_of_all_slots_and_of_none)
{
    struct shmring_writer *other;
    struct shmring_reader *reader = write_with_reader(0, 3, false);
    ck_assert_int_eq(shmring_attach(ring, &other), 0);
    ck_assert(ring_write(other, 0, PAYLOAD_BYTES));
    ck_assert_ptr_null(shmring_reserve(other, RING_BYTES, 7, 0));
    for (uint64_t i = 3; ring_write(writer, i, PAYLOAD_BYTES); i++)
        ;
    shmring_writer_count_drop(other, SHMRING_DROP_DISABLED);
    shmring_count_drops(ring, SHMRING_DROP_NO_SLOT, 5);

    struct shmring_totals totals = close_and_count();
    ck_assert_uint_eq(totals.dropped[SHMRING_DROP_RING_FULL], 1);
    ck_assert_uint_eq(totals.dropped[SHMRING_DROP_OVERSIZE], 1);
    ck_assert_uint_eq(totals.dropped[SHMRING_DROP_DISABLED], 1);
    ck_assert_uint_eq(totals.dropped[SHMRING_DROP_NO_SLOT], 5);
    uint64_t read = (uint64_t)ring_drain(reader, 0, 0) + (uint64_t)ring_drain(reader, 1, 0);
    ck_assert_uint_eq(totals.begun, read + 2);
    shmring_reader_close(reader);
}

/* Then the producer's own count, which may be one too many, has to do. */
TEST(a_ring_that_somebody_has_written_over_does_no_harm)
{
    struct shmring_reader *reader = write_with_reader(0, 10, false);
    uint8_t *file = ring_fixture_map(shmring_name(ring));
    memset(file + shmring_data_offset(3) + 144 * 2, 0xff, 144 * 3);
    ck_assert_uint_eq(close_and_count().begun, 10);
    shmring_reader_close(reader);
}

LOOP_TEST(a_ledger_that_cannot_be_does_no_harm, 3)
{
    const uint64_t positions[] = {1ull << 40, 1, 144 * 11};
    struct shmring_reader *reader = write_with_reader(0, 10, false);
    uint8_t *file = ring_fixture_map(shmring_name(ring));
    struct shmring_consumer *consumer = (struct shmring_consumer *)(file + shmring_consumer_offset(0));
    consumer->ledger[0].cpos = consumer->ledger[1].cpos = positions[_i];
    ck_assert_uint_eq(close_and_count().begun, 10);
    shmring_reader_close(reader);
}

TEST(a_file_that_was_truncated_counts_nothing)
{
    struct shmring_reader *reader = write_with_reader(0, 10, false);
    char path[sizeof(rings.dir) + SHMRING_NAME_BYTES + 1];
    snprintf(path, sizeof(path), "%s/%s", rings.dir, shmring_name(ring));
    ck_assert_int_eq(truncate(path, 0), 0);
    ck_assert_uint_eq(close_and_count().begun, 0);
    shmring_reader_close(reader);
}
