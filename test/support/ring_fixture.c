/* SPDX-License-Identifier: MIT */
#include "ring_fixture.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct ring_fixture rings;

void ring_fixture_init(void)
{
    test_directory(rings.dir, "rings");
    rings.dir_fd = shmring_dir_open(rings.dir, (uid_t)-1);
    ck_assert_int_ge(rings.dir_fd, 0);
    ck_assert_int_eq(shmring_window_new(256 << 10, &rings.window), 0);
}

void ring_fixture_done(void)
{
    DIR *dir = opendir(rings.dir);
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(rings.dir);
    close(rings.dir_fd);
    shmring_window_free(rings.window);
}

struct shmring *ring_fixture_create(uint32_t slots, uint64_t ring_bytes, uint64_t first_position)
{
    struct shmring *ring = NULL;
    struct shmring_options options = {
        .dir = rings.dir,
        .trusted_uid = (uid_t)-1,
        .slot_count = slots,
        .ring_bytes = ring_bytes,
        .resource = "resource",
        .resource_bytes = 8,
        .first_position = first_position,
    };

    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    return ring;
}

struct shmring_reader *ring_fixture_open(const char *name)
{
    struct shmring_reader *reader = NULL;
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, name, &reader), 0);
    return reader;
}

uint8_t *ring_fixture_map(const char *name)
{
    int fd = openat(rings.dir_fd, name, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    uint8_t *memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    close(fd);
    return memory;
}

void ring_fixture_await_segment(char name[64])
{
    for (int tries = 0; tries < 20000; tries++) {
        DIR *dir = opendir(rings.dir);
        struct dirent *entry;
        bool found = false;
        ck_assert_ptr_nonnull(dir);
        while (!found && (entry = readdir(dir))) {
            size_t bytes = strlen(entry->d_name);
            found = entry->d_name[0] != '.' && bytes < 64 && bytes > 5 &&
                    strcmp(entry->d_name + bytes - 5, SHMRING_SUFFIX) == 0;
            if (found)
                strcpy(name, entry->d_name);
        }
        closedir(dir);
        if (found)
            return;
        usleep(500);
    }
    ck_abort_msg("no segment appeared");
}

/* splitmix64 steps: every eight bytes depend on the seed and the place. */
static uint64_t pattern(uint64_t seed, uint32_t word)
{
    uint64_t z = (seed + 1) * 0x9e3779b97f4a7c15ull + word * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 30) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

void ring_fill_pattern(void *payload, uint32_t bytes, uint64_t seed)
{
    uint8_t *at = payload;
    for (uint32_t word = 0; bytes > 0; word++) {
        uint64_t value = pattern(seed, word);
        uint32_t n = bytes < 8 ? bytes : 8;
        memcpy(at, &value, n);
        at += n;
        bytes -= n;
    }
}

bool ring_pattern_intact(const void *payload, uint32_t bytes, uint64_t seed)
{
    const uint8_t *at = payload;
    for (uint32_t word = 0; bytes > 0; word++) {
        uint64_t value = pattern(seed, word);
        uint32_t n = bytes < 8 ? bytes : 8;
        if (memcmp(at, &value, n) != 0)
            return false;
        at += n;
        bytes -= n;
    }
    return true;
}

bool ring_write(struct shmring_writer *writer, uint64_t seed, uint32_t payload_bytes)
{
    void *payload = shmring_reserve(writer, payload_bytes, 7, (uint16_t)seed);
    if (!payload)
        return false;
    ring_fill_pattern(payload, payload_bytes, seed);
    shmring_commit(writer);
    return true;
}

int64_t ring_drain(struct shmring_reader *reader, uint32_t slot, uint64_t seed_offset)
{
    int64_t records = 0;
    shmring_reader_slots(reader);
    for (;;) {
        struct shmring_view view;
        uint64_t expected = shmring_reader_slot(reader, slot)->read_records;
        ssize_t filled = shmring_reader_fill(reader, slot, rings.window);
        int more = 0;
        if (filled <= 0)
            return filled < 0 ? filled : records;
        while ((more = shmring_reader_next(rings.window, &view)) > 0) {
            ck_assert_uint_eq(view.ordinal, expected);
            ck_assert_uint_eq(view.type, 7);
            ck_assert_uint_eq(view.flags, (uint16_t)(view.ordinal + seed_offset));
            ck_assert(ring_pattern_intact(view.payload, view.payload_bytes, view.ordinal + seed_offset));
            expected++;
            records++;
        }
        if (more < 0)
            return more;
    }
}

uint64_t ring_read_all(struct shmring_reader *reader, uint64_t ring_bytes)
{
    struct shmring_view view;
    uint64_t sum = 0, filled_bytes = 0;
    for (ssize_t n; (n = shmring_reader_fill(reader, 0, rings.window)) > 0;) {
        filled_bytes += (uint64_t)n;
        ck_assert_uint_le(filled_bytes, ring_bytes);
        while (shmring_reader_next(rings.window, &view) > 0)
            for (uint32_t i = 0; i < view.payload_bytes; i++)
                sum += view.payload[i];
    }
    return sum;
}

void ring_release(struct shmring_reader *reader, uint32_t slot)
{
    const struct shmring_slot_status *status = shmring_reader_slot(reader, slot);
    struct shmring_ledger ledger = status->ledger;
    ledger.counts.exported += status->read_records - ledger.counts.exported;
    ledger.cpos = status->read;
    shmring_reader_commit(reader, slot, &ledger);
}
