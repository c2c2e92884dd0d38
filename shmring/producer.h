/* SPDX-License-Identifier: MIT
 *
 * The producer's process-private view of its segment; shared by segment.c and slots.c only.
 */
#ifndef SHMRING_PRODUCER_H
#define SHMRING_PRODUCER_H

#include <sys/mman.h>
#include <sys/stat.h>

#include "shmring.h"
#include "writer.h"

#ifndef MADV_POPULATE_WRITE /* musl 1.2.3, glibc before 2.35 */
#define MADV_POPULATE_WRITE 23
#endif

struct shmring {
    uint8_t *base; /* header up to the last slot group; its mapping holds the lock */
    uint64_t base_bytes;
    uint64_t ring_bytes;
    uint64_t first_position;
    struct shmring_counters *counters;
    char *path;       /* absolute, to reopen the file when a slot is added */
    const char *name; /* within path */
    dev_t dev;        /* what must be found there */
    ino_t ino;
    uint32_t slot_count;
    uint32_t slots;                   /* slots [0, slots) are allocated and mapped */
    uint32_t groups;                  /* groups [0, groups) are allocated */
    struct shmring_writer *writers[]; /* slot_count; NULL beyond slots */
};

/* posix_fallocate as -errno, going on after signals. */
int shmring__allocate(int fd, uint64_t offset, uint64_t bytes);

/* Makes allocated pages present and writable, so that no store to them faults later. */
int shmring__populate(void *memory, uint64_t bytes);

#endif
