/* SPDX-License-Identifier: MIT
 *
 * A consumer that comes after another resumes from the ledger: nothing is lost, and what is read twice is bounded by
 * what was read and not committed.
 */
#include <string.h>

#include "support/ring_fixture.h"
#include "support/test.h"

enum { RING_BYTES = 4096 };

static struct shmring *ring;
static struct shmring_writer *writer;
static struct shmring_reader *reader;
static uint8_t *segment;

static void setup(void)
{
    ring_fixture_init();
    ring = ring_fixture_create(2, RING_BYTES, 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    reader = ring_fixture_open(shmring_name(ring));
    segment = ring_fixture_map(shmring_name(ring));
}

static void teardown(void)
{
    shmring_reader_close(reader);
    shmring_close(ring);
    ring_fixture_done();
}

FIXTURE(setup, teardown);

static void restart(void)
{
    shmring_reader_close(reader);
    reader = ring_fixture_open(shmring_name(ring));
}

static struct shmring_consumer *consumer(void)
{
    return (struct shmring_consumer *)(segment + shmring_consumer_offset(0));
}

static struct shmring_producer *producer(void)
{
    return (struct shmring_producer *)(segment + shmring_producer_offset(0));
}

static const struct shmring_slot_status *status(void)
{
    return shmring_reader_slot(reader, 0);
}

static void write_records(uint64_t *seed, int count)
{
    for (int i = 0; i < count; i++)
        ck_assert(ring_write(writer, (*seed)++, 64));
}

TEST(reading_resumes_at_the_ledger)
{
    uint64_t seed = 0;

    write_records(&seed, 10);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 10);
    ring_release(reader, 0);
    write_records(&seed, 6);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 6);
    uint64_t repeated = status()->read - status()->ledger.cpos;
    restart();
    ck_assert_uint_eq(status()->read, 10 * 96);
    ck_assert_uint_eq(status()->read_records, 10);
    ck_assert_uint_eq(status()->ledger.counts.exported, 10);
    ck_assert_uint_eq(repeated, 6 * 96);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 6);
}

TEST(every_kind_of_outcome_counts_towards_the_ordinal)
{
    struct shmring_ledger ledger = {.cpos = 9 * 96,
                                    .counts = {.exported = 1, .sampled_out = 2, .rejected = 1, .spooled = 2}};
    uint64_t seed = 0;

    ledger.counts.dropped[0] = 1;
    ledger.counts.dropped[SHMRING_LEDGER_REASONS - 1] = 2;
    write_records(&seed, 12);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 12);
    shmring_reader_commit(reader, 0, &ledger);
    restart();
    ck_assert_mem_eq(&status()->ledger, &ledger, sizeof(ledger));
    ck_assert_uint_eq(status()->read_records, 9);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 3);
}

TEST(restart_after_each_record_loses_and_repeats_nothing)
{
    uint64_t seed = 0;

    for (int i = 0; i < 500; i++) {
        write_records(&seed, 3);
        ck_assert_int_eq(ring_drain(reader, 0, 0), 3);
        ring_release(reader, 0);
        restart();
        ck_assert_int_eq(status()->health, SHMRING_SLOT_SOUND);
        ck_assert_uint_eq(status()->read_records, seed);
    }
}

TEST(position_a_dead_consumer_left_behind_is_published_again)
{
    uint64_t seed = 0;

    write_records(&seed, 42);
    ck_assert(!ring_write(writer, 0, 64));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 42);
    ring_release(reader, 0);
    atomic_store(&consumer()->cpos_pub, 0); /* died before the last store */
    ck_assert(!ring_write(writer, 0, 64));
    restart();
    ck_assert_uint_eq(consumer()->cpos_pub, 42 * 96);
    ck_assert(ring_write(writer, seed, 64));
}

TEST(restart_within_padding_and_at_the_edges_of_a_lap)
{
    uint64_t seed = 0;

    for (int i = 0; i < 4000; i++) {
        ck_assert(ring_write(writer, seed++, (uint32_t)(i * 7 % 700)));
        ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
        restart(); /* reads it again, padding and all */
        ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
        ring_release(reader, 0);
    }
}

static void expect_refused(const char *problem)
{
    restart();
    ck_assert_int_eq(status()->health, SHMRING_SLOT_QUARANTINED);
    ck_assert_str_eq(status()->problem, problem);
    ck_assert_int_lt(shmring_reader_fill(reader, 0, rings.window), 0);
}

TEST(ledger_that_cannot_be_is_refused)
{
    struct shmring_ledger sound;
    struct shmring_ledger *ledger;
    uint64_t seed = 0;

    for (int lap = 0; lap < 5; lap++) {
        write_records(&seed, 20);
        ck_assert_int_eq(ring_drain(reader, 0, 0), 20);
        ring_release(reader, 0);
    }
    write_records(&seed, 1);
    ledger = &consumer()->ledger[consumer()->selector];
    sound = *ledger;

    ledger->cpos += 8;
    expect_refused("position is not aligned");
    *ledger = sound;
    ledger->cpos = producer()->wpos + 16;
    expect_refused("ledger and write position are more than a ring apart");
    *ledger = sound;
    ledger->cpos = producer()->wpos - RING_BYTES - 16;
    expect_refused("ledger and write position are more than a ring apart");
    *ledger = sound;
    ledger->counts.dropped[3] = ledger->cpos / 32 - ledger->counts.exported + 1;
    expect_refused("ledger counts more records than there was room for");
    ledger->counts.dropped[3] = UINT64_MAX;
    expect_refused("ledger counts more records than there was room for");
    uint64_t *counts[] = {&ledger->counts.sampled_out, &ledger->counts.rejected, &ledger->counts.spooled};
    for (size_t i = 0; i < COUNT(counts); i++) {
        *ledger = sound;
        *counts[i] = UINT64_MAX - sound.counts.exported + 1; /* the sum wraps to 0 at this term */
        expect_refused("ledger counts more records than there was room for");
    }
    *ledger = sound;
    static const uint32_t strange[] = {2, 3, 1u << 31, UINT32_MAX};
    uint32_t selector = consumer()->selector;
    for (size_t i = 0; i < COUNT(strange); i++) { /* no place that it leads to is looked at */
        consumer()->selector = strange[i];
        expect_refused("ledger selector is neither 0 nor 1");
    }
    consumer()->selector = selector;
    restart();
    ck_assert_int_eq(status()->health, SHMRING_SLOT_SOUND);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
}

TEST(ledger_before_the_first_position_is_refused)
{
    shmring_reader_close(reader);
    shmring_close(ring);
    ring = ring_fixture_create(2, RING_BYTES, 1 << 20);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    reader = ring_fixture_open(shmring_name(ring));
    segment = ring_fixture_map(shmring_name(ring));
    consumer()->ledger[0].cpos -= 16;
    expect_refused("ledger is before the first position");
}
