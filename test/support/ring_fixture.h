/* SPDX-License-Identifier: MIT
 *
 * For tests of the ring: a directory of their own, segments in it, records with content that can be checked.
 * Failures abort the calling test (libcheck).
 */
#ifndef RING_FIXTURE_H
#define RING_FIXTURE_H

#include "shmring.h"
#include "support/directory.h"

/* One in a program. */
extern struct ring_fixture {
    char dir[TEST_DIRECTORY_BYTES]; /* on /dev/shm, mode 0700 */
    int dir_fd;
    struct shmring_window *window;
} rings;

/* For FIXTURE. */
void ring_fixture_init(void);

/* Removes the directory with what is in it. */
void ring_fixture_done(void);

struct shmring *ring_fixture_create(uint32_t slots, uint64_t ring_bytes, uint64_t first_position);
struct shmring_reader *ring_fixture_open(const char *name);

/* A second mapping of a whole segment, to look behind the library or to damage it. Unmapped by the process's end. */
uint8_t *ring_fixture_map(const char *name);

/* Name of the one segment in the directory, waiting until it is there. */
void ring_fixture_await_segment(char name[64]);

/* Payload: a pattern of seed. false: dropped. */
bool ring_write(struct shmring_writer *writer, uint64_t seed, uint32_t payload_bytes);
void ring_fill_pattern(void *payload, uint32_t bytes, uint64_t seed);
bool ring_pattern_intact(const void *payload, uint32_t bytes, uint64_t seed);

/* Reads all there is in a slot, checks that ordinals follow, patterns hold with seed = ordinal + seed_offset.
 * -> records read, or a negative errno. */
int64_t ring_drain(struct shmring_reader *reader, uint32_t slot, uint64_t seed_offset);

/* Reads every byte that slot 0 has, whatever is in it. -> a sum, so that no access is optimised away. Fails on more than
 * ring_bytes. */
uint64_t ring_read_all(struct shmring_reader *reader, uint64_t ring_bytes);

/* Commits everything handed out as exported. */
void ring_release(struct shmring_reader *reader, uint32_t slot);

#endif
