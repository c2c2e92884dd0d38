/* SPDX-License-Identifier: MIT
 *
 * The producer's process-private view of its segment; not for consumers.
 */
#ifndef SHMRING_PRODUCER_H
#define SHMRING_PRODUCER_H

#include <sys/mman.h>
#include <sys/stat.h>

#include "room.h"
#include "shmring.h"
#include "writer.h"

struct shmring {
    uint8_t *base;         /* the file from its begin; this mapping holds the lock */
    uint64_t mapped_bytes; /* the whole file, or base_bytes: then each slot's ring is mapped by itself */
    uint64_t base_bytes;   /* header up to the last slot group */
    uint64_t ring_bytes;
    uint64_t file_bytes;
    uint64_t first_position;
    struct shmring_counters *counters;
    char name[SHMRING_NAME_BYTES];
    bool in_memory; /* the directory is */
    char *path;     /* absolute */
    dev_t dev;      /* what must be found there */
    ino_t ino;
    bool by_name;   /* memory for a slot is taken through the file's name: pages cannot be populated here */
    bool has_holes; /* the header says so */
    struct shmring__room room;
    struct shmring *closed_before; /* of those that are closed */
    bool is_closed;
    struct shmring_totals last; /* when it was closed */
    uint32_t slot_count;
    uint32_t slots;                   /* slots [0, slots) have been taken once at least */
    _Atomic uint32_t used;            /* slots [0, used) are published: counters->slots_used */
    struct shmring_writer *writers[]; /* slot_count; NULL beyond slots */
};

/* ---- dir.c ---- */

/* After an open that failed: -errno; -EMFILE also if the system's descriptors are used up, because -ENFILE is for
 * slots. */
int shmring__open_error(void);

/* False: a store to a file there may wait for a disk. */
bool shmring__dir_in_memory(int dir_fd);

/* ---- mapping.c: the file in the process's address space ---- */

/* Maps the file, all of it where the address space allows, and makes the pages up to the slots present. fd: of the
 * draft. -> 0 or -errno (-ENOSPC: no room); what was mapped is shmring__unmap's in any case. */
int shmring__map(struct shmring *ring, int fd);

/* Accepts a ring that is not mapped, or only half. */
void shmring__unmap(struct shmring *ring);

/* Lets threads access the slot's ring, which was PROT_NONE; nothing where each ring is mapped by itself. It changes the
 * mapping, so it is serialised with shmring__cover. -> 0 or -errno */
int shmring__allow_slot(struct shmring *ring, uint32_t slot);

/* Both make memory present and writable, so that no store to it faults later: rings, and the control pages of all
 * groups up to theirs. -> 0, -ENOSPC, -ENOMEM. populate: of slots [from, to) that have been taken, not by_name. Any
 * thread, also after shmring__cover. allocate: of one slot, by_name. One thread at a time: where there is no room the
 * kernel takes back what was allocated and not yet touched, by whomever. Also -> what opening the file says, or
 * -ESTALE. *data is set with the first success and then stays. */
int shmring__populate_slots(struct shmring *ring, uint32_t from, uint32_t to);
int shmring__allocate_slot(struct shmring *ring, uint32_t slot, uint8_t **data);

/* Where a slot's ring begins in the file. */
static inline uint64_t shmring__ring_offset(const struct shmring *ring, uint32_t slot)
{
    return ring->base_bytes + slot * ring->ring_bytes;
}

/* Where the slot's ring is; not where each ring is mapped by itself. */
uint8_t *shmring__ring(const struct shmring *ring, uint32_t slot);

/* Gives the pages of the slot's ring back that hold nothing of its neighbours. Zeros are read there afterwards. */
void shmring__remove_ring(struct shmring *ring, uint32_t slot);

/* Is the file still where it was created? *st tells of it. */
bool shmring__has_name(const struct shmring *ring, struct stat *st);

/* May the control pages be touched? In a file that somebody has truncated that is a SIGBUS. */
bool shmring__is_intact(const struct shmring *ring);

/* The file's used part a second time, from offset 0, writable. -> its size and *out; 0: there is no address space for
 * it */
uint64_t shmring__map_again(const struct shmring *ring, uint8_t **out);

/* May these bytes be touched? memory: a mapping of the file from offset 0. */
bool shmring__can_be_read(const struct shmring *ring, uint8_t *memory, uint64_t begin, uint64_t end);

/* Gives the whole pages of [begin, end) back, offsets in the file; memory: its mapping from offset 0. */
void shmring__remove(uint8_t *memory, uint64_t begin, uint64_t end);

/* Puts zeroed memory of the process's own in the place of everything that threads may be writing to, in one step for
 * each mapping, the control pages' first; unmaps the rest, also rings of slots that no thread has. -> 0 or -errno:
 * nothing has changed */
int shmring__cover(struct shmring *ring);

/* The counters in `memory`, a mapping of the file from offset 0. */
void shmring__sum(const struct shmring *ring, uint8_t *memory, struct shmring_totals *out);

/* ---- ended.c ---- */

/* When nobody writes to the file any more: counts in ring->last exactly what it has. Before anything is released. */
void shmring__count_ended(struct shmring *ring, uint8_t *memory);

/* ---- release.c: pages that hold nothing that anybody has to read ---- */

/* Says in the header that rings may have holes: a consumer that would ask for whole rings leaves the segment alone from
 * here on. */
void shmring__announce_holes(struct shmring *ring, uint8_t *memory);

/* Gives those of the slot's ring back that lie outside [cpos_pub, wpos), as the mapping `memory` of the file says. The
 * header says first that there are holes. */
void shmring__release(struct shmring *ring, uint8_t *memory, uint32_t slot);

#endif
