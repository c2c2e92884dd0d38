/* SPDX-License-Identifier: MIT
 *
 * Rings whose pages outside what is unread were given back: a reader asks for what is unread and for nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/ring_fixture.h"
#include "support/test.h"

enum { RING_BYTES = 32 << 10, RECORD_BYTES = 1024, PAYLOAD_BYTES = RECORD_BYTES - sizeof(struct shmring_record) };
static const uint64_t data_offset = SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES;

FIXTURE(ring_fixture_init, ring_fixture_done);

/* A closed segment of one slot: the first `released` records are released, the next `unread` are not. */
static void make_segment(uint64_t first_position, unsigned released, unsigned unread, char name[SHMRING_NAME_BYTES])
{
    struct shmring *ring = ring_fixture_create(1, RING_BYTES, first_position);
    struct shmring_writer *writer;
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    for (unsigned i = 0; i < released; i++) {
        ck_assert(ring_write(writer, i, PAYLOAD_BYTES));
        ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
        ring_release(reader, 0);
    }
    for (unsigned i = 0; i < unread; i++)
        ck_assert(ring_write(writer, released + i, PAYLOAD_BYTES));
    snprintf(name, SHMRING_NAME_BYTES, "%s", shmring_name(ring));
    shmring_count_drops(ring, SHMRING_DROP_NO_SLOT, 1); /* so that the file stays */
    shmring_reader_close(reader);
    shmring_close(ring);
}

static blkcnt_t blocks_of(const char *name)
{
    struct stat st;
    ck_assert_int_eq(fstatat(rings.dir_fd, name, &st, 0), 0);
    return st.st_blocks;
}

static void punch(int fd, uint64_t offset)
{
    ck_assert_int_eq(
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(data_offset + offset), SHMRING_PAGE), 0);
}

/* Each page of the ring that has no byte of [begin, end). -> how many */
static unsigned punch_outside(const char *name, uint64_t begin, uint64_t end)
{
    unsigned punched = 0;
    int fd = openat(rings.dir_fd, name, O_RDWR | O_CLOEXEC);
    for (uint64_t page = 0; page < RING_BYTES; page += SHMRING_PAGE) {
        bool used = false;
        for (uint64_t at = begin; at < end; at += SHMRING_ALIGN)
            used |= (at & (RING_BYTES - 1)) / SHMRING_PAGE == page / SHMRING_PAGE;
        if (used)
            continue;
        punch(fd, page);
        punched++;
    }
    /* What a reader of whole rings would find. */
    ck_assert(punched == 0 || lseek(fd, (off_t)data_offset, SEEK_HOLE) < (off_t)(data_offset + RING_BYTES));
    close(fd);
    return punched;
}

static const struct {
    unsigned released, unread, holes; /* records; pages */
} states[] = {
    {0, 0, 8},  {40, 0, 8},            /* nothing is unread: at the ring's begin, in its middle */
    {0, 1, 7},  {3, 2, 6},  {4, 4, 7}, /* one page, across two, exactly one */
    {30, 4, 6}, {31, 9, 5},            /* across the ring's end */
    {0, 32, 0}, {5, 32, 0},            /* a full ring */
};

LOOP_TEST(holes_outside_what_is_unread_are_no_fault, COUNT(states))
{
    static const uint64_t firsts[] = {0, (uint64_t)-16 << 10};
    for (size_t i = 0; i < COUNT(firsts); i++) {
        uint64_t begin = states[_i].released * (uint64_t)RECORD_BYTES;
        char name[SHMRING_NAME_BYTES];
        make_segment(firsts[i], states[_i].released, states[_i].unread, name);
        unsigned turn = firsts[i] / RECORD_BYTES % 32 * RECORD_BYTES; /* where the first position lies in the ring */
        unsigned punched = punch_outside(name, turn + begin, turn + begin + states[_i].unread * RECORD_BYTES);
        ck_assert_uint_eq(punched, states[_i].holes);
        blkcnt_t blocks = blocks_of(name);
        struct shmring_reader *reader = ring_fixture_open(name);
        ck_assert_int_eq(shmring_reader_slot(reader, 0)->health, SHMRING_SLOT_SOUND);
        ck_assert_int_eq(ring_drain(reader, 0, 0), states[_i].unread);
        ring_release(reader, 0);
        shmring_reader_close(reader);
        ck_assert_int_eq(blocks_of(name), blocks);
    }
}

/* 31 + 9 records: three pages, one before the ring's end and two behind. */
LOOP_TEST(a_hole_within_what_is_unread_quarantines_the_slot, 3)
{
    static const uint64_t pages[] = {7, 0, 1};
    char name[SHMRING_NAME_BYTES];
    make_segment(0, 31, 9, name);
    int fd = openat(rings.dir_fd, name, O_RDWR | O_CLOEXEC);
    punch(fd, pages[_i] * SHMRING_PAGE);
    close(fd);
    blkcnt_t blocks = blocks_of(name);
    struct shmring_reader *reader = ring_fixture_open(name);
    ck_assert_str_eq(shmring_reader_slot(reader, 0)->problem, "unread records are not allocated");
    ck_assert_int_eq(ring_drain(reader, 0, 0), -EBADMSG);
    shmring_reader_close(reader);
    ck_assert_int_eq(blocks_of(name), blocks);
}

LOOP_TEST(a_strangers_ring_is_asked_in_the_same_way, 2)
{
    char name[SHMRING_NAME_BYTES];
    NEEDS(geteuid() == 0, "root");
    make_segment(0, 3, 2, name);
    ck_assert_int_eq(fchownat(rings.dir_fd, name, 65534, 65534, 0), 0);
    uint64_t kept = ((uint64_t)_i + 3) * RECORD_BYTES; /* one of the two that are unread */
    punch_outside(name, kept, kept + RECORD_BYTES);
    struct shmring_reader *reader = ring_fixture_open(name);
    ck_assert_str_eq(shmring_reader_slot(reader, 0)->problem, "unread records are not allocated");
    shmring_reader_close(reader);
}

/* ---- the header says that there may be holes ---- */

static uint32_t checksum_with(const struct shmring_header *header, uint64_t features)
{
    struct shmring_header copy = *header;
    copy.incompat_features = features;
    return shmring_crc32c(0, &copy, offsetof(struct shmring_header, crc));
}

/* Feature and checksum are two stores, and a reader may come before, between and after them. */
TEST(a_reader_comes_at_any_moment_of_the_change)
{
    struct shmring_reader *reader;
    char name[SHMRING_NAME_BYTES];
    make_segment(0, 3, 2, name);
    struct shmring_header *header = (struct shmring_header *)ring_fixture_map(name);
    for (unsigned state = 0; state < 4; state++) {
        header->incompat_features = state & 1 ? SHMRING_INCOMPAT_HOLES : 0;
        header->crc = checksum_with(header, state & 2 ? SHMRING_INCOMPAT_HOLES : 0);
        reader = ring_fixture_open(name);
        ck_assert_int_eq(ring_drain(reader, 0, 0), 2);
        shmring_reader_close(reader);
    }
    header->incompat_features = 2 * SHMRING_INCOMPAT_HOLES;
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, name, &reader), -EBADMSG);
    header->crc = checksum_with(header, header->incompat_features);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, name, &reader), -EPROTONOSUPPORT);
}
