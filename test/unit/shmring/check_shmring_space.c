/* SPDX-License-Identifier: MIT
 *
 * What a segment takes of its process: of the address space, of the memory that may be locked; and what is left of that
 * when the segment is closed.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pages.h"
#include "producer.h"
#include "support/advice.h"
#include "support/ring_fixture.h"
#include "support/test.h"

enum { SLOTS = 20, RING_BYTES = 256 << 10, RING_KB = RING_BYTES >> 10 };

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
