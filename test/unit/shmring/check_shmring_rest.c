/* SPDX-License-Identifier: MIT
 *
 * Slots that no thread has had for a while give their memory back, and get it again. Includes the source it tests, whose
 * clock is the test's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static time_t clock_s;

static int clock_of_test(struct timespec *out)
{
    *out = (struct timespec){.tv_sec = clock_s};
    return 0;
}
#define clock_gettime(id, out) clock_of_test(out)

#include "slots.c"

#include "support/ring_fixture.h"
#include "support/test.h"

enum { SLOTS = 7, RING_BYTES = 64 << 10 };

static struct shmring *ring;
static struct shmring_writer *writers[SLOTS];
static struct shmring_reader *reader;

static void set_up(void)
{
    ring_fixture_init();
    clock_s = 1000;
    ring = ring_fixture_create(SLOTS + 1, RING_BYTES, 0);
    for (int i = 0; i < SLOTS; i++) {
        ck_assert_int_eq(shmring_attach(ring, &writers[i]), 0);
        ck_assert(ring_write(writers[i], 0, 1000));
    }
    reader = ring_fixture_open(shmring_name(ring));
}

static void tear_down(void)
{
    shmring_reader_close(reader);
    shmring_close(ring);
    ring_fixture_done();
}

FIXTURE(set_up, tear_down);

static void release(uint32_t slot)
{
    ck_assert_int_ge(ring_drain(reader, slot, 0), 0);
    ring_release(reader, slot);
}

/* How many rings have their memory. */
static uint64_t whole_rings(void)
{
    struct stat st;
    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(ring), &st, 0), 0);
    uint64_t bytes = (uint64_t)st.st_blocks * 512 - SHMRING_SLOTS_OFFSET - SHMRING_GROUP_BYTES;
    ck_assert_uint_eq(bytes % RING_BYTES, 0);
    ck_assert_uint_eq(ring->room.held, bytes + SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES);
    return bytes / RING_BYTES;
}

TEST(a_slot_without_a_thread_rests_after_ten_seconds)
{
    release(0);
    release(1);
    shmring_detach(ring, writers[0]);
    clock_s += 9;
    shmring_detach(ring, writers[1]);
    ck_assert_uint_eq(whole_rings(), SLOTS);
    clock_s += 1;
    shmring_detach(ring, writers[2]); /* unread */
    ck_assert_uint_eq(whole_rings(), SLOTS - 1);
    clock_s += 20;
    shmring_detach(ring, writers[3]);
    ck_assert_uint_eq(whole_rings(), SLOTS - 2);
    ck_assert_int_eq(ring_drain(reader, 2, 0), 1);
    ck_assert_int_eq(ring_drain(reader, 3, 0), 1);
}

TEST(a_slot_that_rested_gets_its_memory_again)
{
    release(0);
    shmring_detach(ring, writers[0]);
    clock_s += 10;
    shmring_detach(ring, writers[1]);
    ck_assert_uint_eq(whole_rings(), SLOTS - 1);
    for (int i = 0; i < 2; i++) { /* slot 1 is empty enough; then slot 0, before a new one */
        struct shmring_writer *writer;
        ck_assert_int_eq(shmring_attach(ring, &writer), 0);
        ck_assert_ptr_eq(writer, writers[1 - i]);
    }
    ck_assert_uint_eq(whole_rings(), SLOTS);
    for (uint64_t seed = 1; seed < 1000; seed++) {
        ck_assert(ring_write(writers[0], seed, 1000));
        release(0);
    }
    struct shmring_reader *other = ring_fixture_open(shmring_name(ring));
    ck_assert_int_eq(shmring_reader_slot(other, 0)->health, SHMRING_SLOT_SOUND);
    ck_assert_uint_eq(shmring_reader_slot(other, 0)->read_records, 1000);
    shmring_reader_close(other);
}

/* A reader that comes meanwhile finds the slot sound, and goes on with the slot's next owner. */
TEST(a_slot_at_rest_can_be_read)
{
    const struct shmring_header *header = (const struct shmring_header *)ring_fixture_map(shmring_name(ring));
    struct shmring_writer *writer;
    release(0);
    release(1);
    shmring_detach(ring, writers[0]);
    clock_s += 10;
    ck_assert_uint_eq(header->incompat_features, 0);
    shmring_detach(ring, writers[1]);
    ck_assert_uint_eq(header->incompat_features, SHMRING_INCOMPAT_HOLES);
    shmring_reader_close(reader);
    reader = ring_fixture_open(shmring_name(ring));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_ptr_eq(writer, writers[0]);
    ck_assert(ring_write(writer, 1, 1000));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
}

/* The mutex is held meanwhile. */
TEST(only_a_few_slots_are_put_to_rest_at_a_time)
{
    struct shmring_writer *writer;
    for (uint32_t slot = 0; slot < SLOTS - 1; slot++) {
        release(slot);
        shmring_detach(ring, writers[slot]);
    }
    clock_s += 10;
    shmring_detach(ring, writers[SLOTS - 1]);
    ck_assert_uint_eq(whole_rings(), SLOTS - REST_AT_ONCE);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0); /* takes one that has its memory */
    ck_assert_uint_eq(whole_rings(), SLOTS - REST_AT_ONCE - 1);
}

TEST(a_slot_that_would_be_asked_for_by_name_keeps_its_memory)
{
    ring->by_name = true;
    release(0);
    shmring_detach(ring, writers[0]);
    clock_s += 10;
    shmring_detach(ring, writers[1]);
    ck_assert_uint_eq(whole_rings(), SLOTS);
}

/* What a thread cannot have is not counted as held. */
TEST(memory_that_is_refused_is_not_held)
{
    struct shmring_writer *writer;
    uint64_t most = ring->room.most;
    char *dir = ring->room.dir;
    uint64_t held = ring->room.held;
    ring->room.dir = strdup("/nowhere");
    ring->room.most = held + RING_BYTES - 1;
    ck_assert_int_eq(shmring_attach(ring, &writer), -EDQUOT);
    ck_assert_uint_eq(ring->room.held, held);
    ck_assert_uint_eq(whole_rings(), SLOTS);
    ring->room.most++;
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_uint_eq(whole_rings(), SLOTS + 1);
    free(ring->room.dir);
    ring->room.dir = dir;
    ring->room.most = most;
}
