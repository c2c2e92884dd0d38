/* SPDX-License-Identifier: MIT
 *
 * A producer closes its segment: what nobody has to read goes back, all else stays, and threads that are writing at that
 * moment neither notice nor spoil anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/ring_fixture.h"
#include "support/test.h"

enum { RING_BYTES = 32 << 10, RECORD_BYTES = 1024, PAYLOAD_BYTES = RECORD_BYTES - sizeof(struct shmring_record) };
static const uint64_t first_slot_bytes = SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES; /* but for its ring */

static struct shmring *ring;
static struct shmring_writer *writer;
static char name[SHMRING_NAME_BYTES];

static void open_ring(uint32_t slots, uint64_t ring_bytes, uint64_t first_position)
{
    ring = ring_fixture_create(slots, ring_bytes, first_position);
    strcpy(name, shmring_name(ring));
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
}

static void set_up(void)
{
    ring_fixture_init();
    open_ring(4, RING_BYTES, 0);
}

FIXTURE(set_up, ring_fixture_done);

static bool is_there(void)
{
    return faccessat(rings.dir_fd, name, F_OK, 0) == 0;
}

static uint64_t held_bytes(void)
{
    struct stat st;
    ck_assert_int_eq(fstatat(rings.dir_fd, name, &st, 0), 0);
    return (uint64_t)st.st_blocks * 512;
}

static uint64_t features(void)
{
    return ((const struct shmring_header *)ring_fixture_map(name))->incompat_features;
}

/* ---- the file ---- */

static void nothing(void)
{
}

static void discard(void)
{
    ck_assert_ptr_nonnull(shmring_reserve(writer, 100, 7, 0));
    shmring_discard(writer);
}

static void detach(void)
{
    shmring_detach(ring, writer);
}

static void (*const traceless[])(void) = {nothing, discard, detach};

LOOP_TEST(a_segment_that_was_never_used_is_removed, COUNT(traceless) + 1)
{
    if (_i == COUNT(traceless)) { /* not even a slot */
        shmring_close(ring);
        ring = ring_fixture_create(4, RING_BYTES, 48);
        strcpy(name, shmring_name(ring));
    } else {
        traceless[_i]();
    }
    struct shmring_reader *reader = ring_fixture_open(name);
    ck_assert(is_there());
    shmring_close(ring);
    ck_assert(!is_there());
    ck_assert(!shmring_reader_owner_alive(reader)); /* a consumer that has it open finds an end like any other */
    ck_assert_int_eq(ring_drain(reader, 0, 0), 0);
    shmring_reader_close(reader);
}

static void write_one(void)
{
    ck_assert(ring_write(writer, 0, 100));
}

/* What became of it is known to the ledger alone, until a consumer has noted that elsewhere. */
static void write_and_release_one(void)
{
    struct shmring_reader *reader = ring_fixture_open(name);
    write_one();
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
    ring_release(reader, 0);
    shmring_reader_close(reader);
}

static void interrupt_one(void)
{
    ck_assert_ptr_nonnull(shmring_reserve(writer, 100, 7, 0));
}

static void drop_oversize(void)
{
    ck_assert_ptr_null(shmring_reserve(writer, RING_BYTES, 7, 0));
}

static void drop_disabled(void)
{
    shmring_writer_count_drop(writer, SHMRING_DROP_DISABLED);
}

static void drop_without_slot(void)
{
    shmring_count_drops(ring, SHMRING_DROP_NO_SLOT, 1);
}

static void drop_of_another_slot(void)
{
    struct shmring_writer *other;
    ck_assert_int_eq(shmring_attach(ring, &other), 0);
    shmring_writer_count_drop(other, SHMRING_DROP_NESTED);
    shmring_detach(ring, other);
}

static void (*const traces[])(void) = {write_one,     write_and_release_one, interrupt_one,       drop_oversize,
                                       drop_disabled, drop_without_slot,     drop_of_another_slot};

LOOP_TEST(a_segment_that_counts_anything_stays, COUNT(traces))
{
    traces[_i]();
    shmring_close(ring);
    ck_assert(is_there());
    struct shmring_reader *reader = ring_fixture_open(name);
    ck_assert(!shmring_reader_owner_alive(reader));
    for (uint32_t slot = 0; slot < shmring_reader_slots(reader); slot++)
        ck_assert_int_eq(shmring_reader_slot(reader, slot)->health, SHMRING_SLOT_SOUND);
    shmring_reader_close(reader);
}

TEST(another_file_of_the_same_name_is_not_removed)
{
    ck_assert_int_eq(renameat(rings.dir_fd, name, rings.dir_fd, "elsewhere"), 0);
    int fd = openat(rings.dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    shmring_close(ring);
    ck_assert(is_there());
}

/* ---- its pages ---- */

/* A program that wrote one span into a ring of 1 MiB. */
TEST(pages_behind_what_was_written_are_given_back)
{
    shmring_close(ring);
    open_ring(0, 1 << 20, 0);
    write_one();
    ck_assert_uint_eq(held_bytes(), first_slot_bytes + (1 << 20));
    ck_assert_uint_eq(features(), 0);
    shmring_close(ring);
    ck_assert_uint_eq(held_bytes(), first_slot_bytes + SHMRING_PAGE);
    ck_assert_uint_eq(features(), SHMRING_INCOMPAT_HOLES); /* who wants whole rings must not look */
    struct shmring_reader *reader = ring_fixture_open(name);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
    shmring_reader_close(reader);
}

static const struct {
    unsigned released, unread, pages; /* records; those that stay */
} states[] = {
    {40, 0, 0},                        /* nothing is unread */
    {0, 1, 1},  {3, 2, 2},  {4, 4, 1}, /* one page, across two, exactly one */
    {30, 4, 2}, {31, 9, 3},            /* across the ring's end */
    {5, 28, 8}, {5, 32, 8},            /* no whole page is free; no byte is */
};

LOOP_TEST(what_is_unread_keeps_its_pages, COUNT(states))
{
    static const uint64_t firsts[] = {0, (uint64_t)-16 << 10};
    shmring_close(ring);
    for (size_t i = 0; i < COUNT(firsts); i++) {
        open_ring(1, RING_BYTES, firsts[i]);
        struct shmring_reader *reader = ring_fixture_open(name);
        for (unsigned n = 0; n < states[_i].released; n++) {
            ck_assert(ring_write(writer, n, PAYLOAD_BYTES));
            ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
            ring_release(reader, 0);
        }
        for (unsigned n = 0; n < states[_i].unread; n++)
            ck_assert(ring_write(writer, states[_i].released + n, PAYLOAD_BYTES));
        struct shmring_reader *other = ring_fixture_open(name); /* one reader was there before, one comes afterwards */
        shmring_reader_close(reader);
        shmring_close(ring);
        ck_assert_uint_eq(held_bytes(), first_slot_bytes + states[_i].pages * SHMRING_PAGE);
        reader = ring_fixture_open(name);
        ck_assert_int_eq(ring_drain(other, 0, 0), states[_i].unread);
        ck_assert_int_eq(ring_drain(reader, 0, 0), states[_i].unread);
        shmring_reader_close(other);
        shmring_reader_close(reader);
    }
}

/* Whoever may write into the file can cost records, but no others than before. */
LOOP_TEST(a_released_position_that_cannot_be_gives_nothing_back, 2)
{
    for (unsigned n = 0; n < 4; n++)
        ck_assert(ring_write(writer, n, PAYLOAD_BYTES));
    struct shmring_consumer *consumer =
        (struct shmring_consumer *)(ring_fixture_map(name) + shmring_consumer_offset(0));
    atomic_store(&consumer->cpos_pub, _i == 0 ? 8ull * RECORD_BYTES : (uint64_t)-RING_BYTES);
    shmring_close(ring);
    ck_assert_uint_eq(held_bytes(), first_slot_bytes + RING_BYTES);
    ck_assert_uint_eq(features(), 0);
    struct shmring_reader *reader = ring_fixture_open(name);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 4);
    shmring_reader_close(reader);
}

TEST(pages_that_are_locked_in_memory_are_given_back)
{
    shmring_close(ring);
    NEEDS(mlockall(MCL_FUTURE) == 0, "the right to lock memory");
    open_ring(1, RING_BYTES, 0);
    ck_assert(ring_write(writer, 0, PAYLOAD_BYTES));
    shmring_close(ring);
    munlockall();
    ck_assert_uint_eq(held_bytes(), first_slot_bytes + SHMRING_PAGE);
}

TEST(a_truncated_segment_is_closed_without_a_signal)
{
    ck_assert(ring_write(writer, 0, PAYLOAD_BYTES));
    int fd = openat(rings.dir_fd, name, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    close(fd);
    shmring_close(ring);
}

/* ---- beside its threads ---- */

enum { TIMES = 200, THREADS = 3 };

static struct late {
    pthread_t id;
    struct shmring_writer *writer;
    _Atomic uint64_t written;
    uint64_t written_before; /* the close */
} late[THREADS];
static _Atomic bool over;

static void *writes_on(void *argument)
{
    struct late *self = argument;
    for (uint64_t seed = 0; !atomic_load(&over); seed++) {
        if (ring_write(self->writer, seed, (uint32_t)(seed * 7 % 300)))
            atomic_fetch_add(&self->written, 1);
        else
            seed--;
        if ((atomic_load(&shmring_control(ring)->flags) & SHMRING_CONTROL_DISABLED) || seed % 16 == 0)
            shmring_count_drops(ring, SHMRING_DROP_NO_SLOT, 1);
    }
    return NULL;
}

static void expect_sound(struct shmring_reader *reader, uint32_t slot)
{
    struct shmring_producer_status producer;
    int64_t read = ring_drain(reader, slot, 0);
    ck_assert_int_ge(read, (int64_t)late[slot].written_before);
    ck_assert_int_le(read, (int64_t)atomic_load(&late[slot].written));
    shmring_reader_producer(reader, slot, &producer);
    uint64_t ended = (uint64_t)read + producer.dropped[SHMRING_DROP_RING_FULL];
    ck_assert_uint_le(producer.begun - ended, 1); /* the record that its thread was writing */
}

/* The pages cannot be looked at a second time, so nothing is given back; what was counted before is not lost. */
TEST(without_address_space_the_counts_stay)
{
    NEEDS(!TEST_ADDRESS_SANITIZER, "a little address space, and no AddressSanitizer");
    struct shmring_totals totals;
    ck_assert(ring_write(writer, 0, PAYLOAD_BYTES));
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){1, RLIM_INFINITY}), 0);
    shmring_close(ring);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}), 0);
    shmring_totals(ring, &totals);
    ck_assert_uint_eq(totals.begun, 1);
}

/* Each time there are records from before, and writes, refusals and drops at the moment itself. */
TEST(threads_write_while_the_segment_is_closed)
{
    shmring_close(ring);
    for (int i = 0; i < TIMES; i++) {
        ring = ring_fixture_create(THREADS, i % 2 == 0 ? 1 << 20 : SHMRING_RING_MIN, 0);
        strcpy(name, shmring_name(ring));
        atomic_store(&over, false);
        for (int t = 0; t < THREADS; t++) {
            atomic_store(&late[t].written, 0);
            ck_assert_int_eq(shmring_attach(ring, &late[t].writer), 0);
            ck_assert_int_eq(pthread_create(&late[t].id, NULL, writes_on, &late[t]), 0);
        }
        for (int t = 0; t < THREADS; t++)
            while (atomic_load(&late[t].written) < 10)
                sched_yield();
        for (int t = 0; t < THREADS; t++)
            late[t].written_before = atomic_load(&late[t].written);
        shmring_close(ring);
        sched_yield();
        atomic_store(&over, true);
        for (int t = 0; t < THREADS; t++)
            ck_assert_int_eq(pthread_join(late[t].id, NULL), 0);
        struct shmring_reader *reader = ring_fixture_open(name);
        ck_assert(!shmring_reader_owner_alive(reader));
        ck_assert_uint_eq(shmring_reader_slots(reader), THREADS);
        for (uint32_t slot = 0; slot < THREADS; slot++)
            expect_sound(reader, slot);
        shmring_reader_close(reader);
        ck_assert_int_eq(unlinkat(rings.dir_fd, name, 0), 0);
    }
}

TEST(handles_of_a_closed_segment_can_be_used)
{
    write_one();
    shmring_close(ring);
    uint64_t held = held_bytes();
    for (unsigned n = 0; n < 100; n++) /* more than the ring takes: nobody releases */
        ring_write(writer, n, PAYLOAD_BYTES);
    shmring_count_drops(ring, SHMRING_DROP_NO_SLOT, 1);
    ck_assert_uint_eq(atomic_load(&shmring_control(ring)->flags), 0);
    ck_assert_uint_eq(held_bytes(), held);
    struct shmring_reader *reader = ring_fixture_open(name);
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
    shmring_reader_close(reader);
}
