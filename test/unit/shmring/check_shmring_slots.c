/* SPDX-License-Identifier: MIT
 *
 * Which slot a thread gets, and how: chosen, populated, published.
 */
#include <errno.h>
#include <sys/stat.h>

#include "support/advice.h"
#include "support/ring_fixture.h"
#include "support/test.h"
#include "writer.h"

enum { RING_BYTES = 16 << 10, RECORD_BYTES = 1 << 10 };

FIXTURE(ring_fixture_init, ring_fixture_done);

/* ---- choice ---- */

/* A new slot with that many bytes in it. */
static struct shmring_writer *filled(struct shmring *ring, uint32_t bytes)
{
    struct shmring_writer *writer;

    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    for (uint64_t seed = 0; seed < bytes / RECORD_BYTES; seed++)
        ck_assert(ring_write(writer, seed, RECORD_BYTES - (uint32_t)sizeof(struct shmring_record)));
    return writer;
}

static uint32_t attached(struct shmring *ring)
{
    struct shmring_writer *writer;

    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    return writer->slot;
}

TEST(a_full_ring_is_not_handed_out_while_slots_are_new)
{
    struct shmring *ring = ring_fixture_create(3, RING_BYTES, 0);

    shmring_detach(ring, filled(ring, RING_BYTES));
    ck_assert_uint_eq(attached(ring), 1);
    ck_assert_uint_eq(attached(ring), 2);
    ck_assert_uint_eq(attached(ring), 0); /* the last that there is */
    struct shmring_writer *none;
    ck_assert_int_eq(shmring_attach(ring, &none), -ENFILE);
    shmring_close(ring);
}

/* Memory is taken for a new slot only if no retired ring is half free. */
LOOP_TEST(a_ring_half_free_is_handed_out, 2)
{
    struct shmring *ring = ring_fixture_create(3, RING_BYTES, 0);

    shmring_detach(ring, filled(ring, RING_BYTES / 2 + (_i == 0 ? 0 : RECORD_BYTES)));
    ck_assert_uint_eq(attached(ring), _i == 0 ? 0 : 1);
    shmring_close(ring);
}

/* Whether there are new slots or not. */
LOOP_TEST(of_retired_rings_that_with_most_room_is_handed_out, 2)
{
    enum { COUNT_RETIRED = 5 };
    static const uint32_t held[2][COUNT_RETIRED] = {{3, 5, 1, 2, 1}, {12, 15, 9, 16, 10}}; /* KiB */
    static const uint32_t order[2][COUNT_RETIRED] = {{2, 4, 3, 0, 1}, {2, 4, 0, 1, 3}};
    struct shmring *ring = ring_fixture_create(COUNT_RETIRED + (_i == 0 ? 1 : 0), RING_BYTES, 0);
    struct shmring_writer *writers[COUNT_RETIRED];

    for (int i = 0; i < COUNT_RETIRED; i++)
        writers[i] = filled(ring, held[_i][i] << 10);
    for (int i = 0; i < COUNT_RETIRED; i++)
        shmring_detach(ring, writers[i]);
    for (int i = 0; i < COUNT_RETIRED; i++)
        ck_assert_uint_eq(attached(ring), order[_i][i]);
    shmring_close(ring);
}

/* What the consumer has released is room again; a position that is none is no room. */
TEST(released_bytes_are_room)
{
    struct shmring *ring = ring_fixture_create(2, RING_BYTES, 0);
    struct shmring_writer *writers[] = {filled(ring, RING_BYTES), filled(ring, 8 << 10)};
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));

    ck_assert_int_eq(ring_drain(reader, 0, 0), RING_BYTES / RECORD_BYTES);
    ring_release(reader, 0);
    shmring_detach(ring, writers[0]);
    shmring_detach(ring, writers[1]);
    ck_assert_uint_eq(attached(ring), 0);
    shmring_detach(ring, writers[0]);
    struct shmring_consumer *consumer =
        (struct shmring_consumer *)(ring_fixture_map(shmring_name(ring)) + shmring_consumer_offset(0));
    atomic_store(&consumer->cpos_pub, RING_BYTES + 16);
    ck_assert_uint_eq(attached(ring), 1);
    shmring_reader_close(reader);
    shmring_close(ring);
}

/* ---- one step after the other ---- */

static struct shmring_writer *taken(struct shmring *ring)
{
    struct shmring_writer *writer = NULL;

    ck_assert_int_eq(shmring_slot_take(ring, &writer), 0);
    return writer;
}

/* Another thread may still be populating: nobody waits for it, and the reader finds memory in its slot, too. */
TEST(a_slot_is_published_while_one_before_it_is_populated)
{
    struct shmring *ring = ring_fixture_create(20, 4096, 1 << 20);
    struct shmring_writer *slow = taken(ring), *fast = taken(ring);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    struct stat st;

    ck_assert_uint_eq(shmring_reader_slots(reader), 0);
    ck_assert_int_eq(shmring_slot_publish(ring, fast, shmring_slot_populate(ring, fast), &fast), 0);
    ck_assert_uint_eq(fast->slot, 1);
    ck_assert(ring_write(fast, 0, 100));
    ck_assert_uint_eq(shmring_reader_slots(reader), 2);
    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(ring), &st, 0), 0);
    ck_assert_int_eq(st.st_blocks * 512, SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES + 2 * 4096);
    ck_assert_int_eq(ring_drain(reader, 1, 0), 1);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 0);
    ck_assert_int_eq(shmring_slot_publish(ring, slow, shmring_slot_populate(ring, slow), &slow), 0);
    ck_assert(ring_write(slow, 0, 100));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
    shmring_reader_close(reader);
    shmring_close(ring);
}

/* The slot that failed is the next that is tried. */
TEST(a_slot_that_failed_costs_the_others_nothing)
{
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    struct shmring *ring = ring_fixture_create(3, 4096, 0);
    struct shmring_writer *failing = taken(ring), *other = taken(ring), *writer = NULL;

    ck_assert_int_eq(shmring_slot_publish(ring, failing, -ENOSPC, &writer), -ENOSPC);
    ck_assert_ptr_null(writer);
    ck_assert_int_eq(shmring_slot_publish(ring, other, shmring_slot_populate(ring, other), &other), 0);
    ck_assert(ring_write(other, 0, 100));
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_ptr_eq(writer, failing);
    ck_assert(ring_write(writer, 0, 100));
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
    ck_assert_int_eq(ring_drain(reader, 1, 0), 1);
    shmring_reader_close(reader);
    /* and where a retired ring is there, the thread has that one */
    failing = taken(ring);
    ck_assert_uint_eq(failing->slot, 2);
    shmring_detach(ring, other);
    ck_assert_int_eq(shmring_slot_publish(ring, failing, -ENOSPC, &writer), 0);
    ck_assert_ptr_eq(writer, other);
    ck_assert(ring_write(writer, 1, 100));
    shmring_close(ring);
}

/* An older consumer quarantines a ring with a hole, unless the header says that there may be some. */
static void expect_whole_or_told(struct shmring *ring, uint32_t slots)
{
    uint64_t features = ((const struct shmring_header *)ring_fixture_map(shmring_name(ring)))->incompat_features;
    struct stat st;

    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(ring), &st, 0), 0);
    int64_t whole = SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES + (int64_t)slots * RING_BYTES;
    ck_assert(st.st_blocks * 512 == whole || features == SHMRING_INCOMPAT_HOLES);
    ck_assert_int_lt(st.st_blocks * 512, whole); /* it was given back */
}

/* One thread populates another's slot besides, and publishes both; the other has no room for its own. */
LOOP_TEST(a_ring_that_another_thread_publishes_has_no_hole_unannounced, 2)
{
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    struct shmring *ring = ring_fixture_create(3, RING_BYTES, 0);
    struct shmring_writer *slow = taken(ring), *fast = taken(ring), *none;

    ck_assert_int_eq(shmring_slot_populate(ring, fast), 0);
    if (_i == 0)
        ck_assert_int_eq(shmring_slot_publish(ring, slow, -EDQUOT, &none), -EDQUOT);
    ck_assert_int_eq(shmring_slot_publish(ring, fast, 0, &fast), 0);
    if (_i == 1)
        ck_assert_int_eq(shmring_slot_publish(ring, slow, -EDQUOT, &none), -EDQUOT);
    expect_whole_or_told(ring, 2);
    ck_assert(ring_write(fast, 0, 100));
    ck_assert_int_eq(shmring_attach(ring, &none), 0);
    ck_assert_ptr_eq(none, slow);
    ck_assert(ring_write(slow, 0, 100));
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
    ck_assert_int_eq(ring_drain(reader, 1, 0), 1);
    shmring_reader_close(reader);
    shmring_close(ring);
}

/* A thread populates the slots before its own, too; then nobody has room. */
TEST(what_was_populated_for_others_is_given_back)
{
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    struct shmring *ring = ring_fixture_create(3, RING_BYTES, 0);
    struct shmring_writer *slow = taken(ring), *fast = taken(ring), *none;
    struct stat st;

    ck_assert_int_eq(shmring_slot_publish(ring, slow, -EDQUOT, &none), -EDQUOT);
    ck_assert_int_eq(shmring_slot_populate(ring, fast), 0);
    ck_assert_int_eq(shmring_slot_publish(ring, fast, -EDQUOT, &none), -EDQUOT);
    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(ring), &st, 0), 0);
    ck_assert_int_eq(st.st_blocks * 512, SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES);
    shmring_close(ring);
}

/* ---- refusals ---- */

static const struct {
    int err;
    enum shmring_drop drop;
    const char *word; /* of the text */
} refusals[] = {
    {-ENFILE, SHMRING_DROP_NO_SLOT, "slots"},        {-ENOSPC, SHMRING_DROP_NO_MEMORY, "file system"},
    {-ENOMEM, SHMRING_DROP_NO_MEMORY, "process"},    {-EMFILE, SHMRING_DROP_NO_FILE, "descriptor"},
    {-EACCES, SHMRING_DROP_NO_FILE, "may not open"}, {-ENOENT, SHMRING_DROP_NO_FILE, "not found"},
    {-ELOOP, SHMRING_DROP_NO_FILE, "symlink"},       {-ESTALE, SHMRING_DROP_NO_FILE, "another file"},
    {-EINVAL, SHMRING_DROP_NO_FILE, "set up"},
};

TEST(every_cause_is_told_and_counted_as_what_it_is)
{
    for (size_t i = 0; i < COUNT(refusals); i++) {
        struct shmring_refusal refusal = shmring_refusal(refusals[i].err);
        ck_assert_int_eq(refusal.drop, refusals[i].drop);
        ck_assert_msg(strstr(refusal.text, refusals[i].word) != NULL, "%d: %s", refusals[i].err, refusal.text);
    }
}
