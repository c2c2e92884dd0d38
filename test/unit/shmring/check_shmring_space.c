/* SPDX-License-Identifier: MIT
 *
 * What a segment takes of its process: of the address space, of the memory that may be locked; and what is left of that
 * when the segment is closed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pages.h"
#include "producer.h"
#include "support/advice.h"
#include "support/ring_fixture.h"
#include "support/test.h"

enum {
    SLOTS = 20,
    RING_BYTES = 256 << 10,
    RING_KB = RING_BYTES >> 10,
    LITTLE_SPACE = 16 << 20 /* a whole segment is too large for it */
};

static struct shmring *ring;
static struct shmring_writer *writers[SLOTS];

static void set_up(void)
{
    ring_fixture_init();
    ring = ring_fixture_create(SLOTS, RING_BYTES, 0);
}

FIXTURE(set_up, ring_fixture_done);

/* ---- threads that come late ---- */

static bool find(const uint8_t *memory, char rights[5])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool found = false;

    ck_assert_ptr_nonnull(maps);
    while (!found && fgets(line, sizeof(line), maps)) {
        unsigned long begin, end;
        found = sscanf(line, "%lx-%lx %4s", &begin, &end, rights) == 3 && begin <= (uintptr_t)memory &&
                (uintptr_t)memory < end;
    }
    fclose(maps);
    return found;
}

/* Between the steps of a thread that takes a slot, another thread closes the segment, and a third maps something. */
TEST(a_slot_populated_after_the_close_changes_no_memory_of_others)
{
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    uint64_t behind = shmring__page_end(ring->base_bytes + RING_BYTES), bytes = ring->mapped_bytes - behind;
    uint8_t *base = ring->base;
    char rights[5];

    ck_assert_int_eq(shmring_slot_take(ring, &writers[0]), 0);
    shmring_close(ring);
    uint8_t *others = mmap(base + behind, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    ck_assert_ptr_eq(others, base + behind);
    ck_assert_int_eq(shmring_slot_populate(ring, writers[0]), 0);
    ck_assert(find(others, rights));
    ck_assert_str_eq(rights, "r--p");
    munmap(others, bytes);
}

/* A thread populates the slots before its own, too, if they are not published: one of them has been given back. */
TEST(so_does_one_that_populates_the_slots_before_it)
{
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    struct shmring_writer *none;
    uint8_t *base = ring->base;
    char rights[5];

    ck_assert_int_eq(shmring_slot_take(ring, &writers[0]), 0);
    ck_assert_int_eq(shmring_slot_take(ring, &writers[1]), 0);
    ck_assert_int_eq(shmring_slot_publish(ring, writers[0], -ENOSPC, &none), -ENOSPC);
    shmring_close(ring);
    for (int slot = 0; slot < 2; slot++) {
        ck_assert(find(base + ring->base_bytes + (uint32_t)slot * RING_BYTES, rights));
        ck_assert_str_eq(rights, "rw-p");
    }
    ck_assert_int_eq(shmring_slot_populate(ring, writers[1]), 0);
}

/* ---- locked memory ---- */

static long status_kb(const char *field)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    long kb = -1;

    ck_assert_ptr_nonnull(status);
    while (fgets(line, sizeof(line), status))
        if (strncmp(line, field, strlen(field)) == 0)
            kb = strtol(line + strlen(field) + 1, NULL, 10);
    fclose(status);
    ck_assert_int_ge(kb, 0);
    return kb;
}

static void attach(uint32_t slots)
{
    for (uint32_t slot = 0; slot < slots; slot++)
        ck_assert_int_eq(shmring_attach(ring, &writers[slot]), 0);
}

/* A program that locks all its memory has a limit for that, which is its own. */
LOOP_TEST(rings_do_not_count_as_locked_memory, 2)
{
    enum { SLACK_KB = 64 }; /* of the test itself */
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE, and an address space without an emulator in it");
    NEEDS(_i == 0 || !TEST_ADDRESS_SANITIZER, "a little address space, and no AddressSanitizer");
    shmring_close(ring);
    NEEDS(mlockall(MCL_FUTURE) == 0, "the right to lock memory");
    if (_i == 1) /* each ring is mapped by itself */
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){LITTLE_SPACE, RLIM_INFINITY}), 0);
    long before = status_kb("VmLck");
    ring = ring_fixture_create(SLOTS, RING_BYTES, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}), 0);
    ck_assert_int_eq(ring->mapped_bytes == ring->base_bytes, _i);
    attach(4);
    ck_assert_int_le(status_kb("VmLck"), before + SLACK_KB);
    shmring_close(ring);
    ck_assert_int_le(status_kb("VmLck"), before + SLACK_KB);
    munlockall();
}

/* Not while it closes either: more than there is may end the program. */
LOOP_TEST(closing_fills_no_memory, 3)
{
    static const int locks[] = {0, MCL_FUTURE, MCL_CURRENT};
    struct rusage usage;

    NEEDS(advice_populates(), "MADV_POPULATE_WRITE, and an address space without an emulator in it");
    attach(SLOTS);
    NEEDS(locks[_i] == 0 || mlockall(locks[_i]) == 0, "the right to lock memory");
    long anonymous = status_kb("RssAnon");
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    long peak = usage.ru_maxrss;
    shmring_close(ring);
    ck_assert_int_lt(status_kb("RssAnon"), anonymous + RING_KB);
    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    ck_assert_int_lt(usage.ru_maxrss, peak + RING_KB);
    munlockall();
}

static uint64_t held_bytes(void)
{
    struct stat st;
    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(ring), &st, 0), 0);
    return (uint64_t)st.st_blocks * 512;
}

TEST(locking_all_memory_fills_only_rings_that_threads_have_taken)
{
    attach(3);
    uint64_t before = held_bytes();
    NEEDS(mlockall(MCL_CURRENT) == 0, "the right to lock memory");
    ck_assert_uint_lt(held_bytes(), before + RING_BYTES);
    munlockall();
}

/* ---- what is left ---- */

TEST(a_slot_that_is_not_yet_published_gives_its_ring_back)
{
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    attach(1);
    ck_assert(ring_write(writers[0], 0, 100));
    ck_assert_int_eq(shmring_slot_take(ring, &writers[1]), 0);
    ck_assert_int_eq(shmring_slot_populate(ring, writers[1]), 0);
    shmring_close(ring);
    ck_assert_uint_le(held_bytes(), SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES + SHMRING_PAGE);
}

static long mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    long lines = 0;

    ck_assert_ptr_nonnull(maps);
    for (int c; (c = fgetc(maps)) != EOF;)
        lines += c == '\n';
    fclose(maps);
    return lines;
}

/* Each time threads come and end, but for those in the middle. */
LOOP_TEST(a_closed_segment_keeps_the_rings_of_threads_alone, 4)
{
    enum { TIMES = 20 };
    bool alone = _i & 1;
    unsigned stay = _i & 2 ? 1 : 0;

    NEEDS(advice_populates(), "MADV_POPULATE_WRITE, and an address space without an emulator in it");
    NEEDS(!alone || !TEST_ADDRESS_SANITIZER, "a little address space, and no AddressSanitizer");
    shmring_close(ring);
    long space = status_kb("VmSize"), maps = mappings();
    for (int i = 0; i < TIMES; i++) {
        if (alone)
            ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){LITTLE_SPACE, RLIM_INFINITY}), 0);
        ring = ring_fixture_create(SLOTS, RING_BYTES, 0);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}), 0);
        attach(9);
        for (uint32_t slot = 0; slot < 9; slot++)
            if (stay == 0 || slot != 4)
                shmring_detach(ring, writers[slot]);
        shmring_close(ring);
        if (stay > 0)
            ck_assert(ring_write(writers[4], 0, 100));
    }
    ck_assert_int_le(status_kb("VmSize"), space + TIMES * (stay * RING_KB + (long)(ring->base_bytes >> 10)) + 512);
    ck_assert_int_le(mappings(), maps + TIMES * (1 + stay) + 8);
}
