/* SPDX-License-Identifier: MIT
 *
 * The consumer's private view of a segment; shared by open.c, reader.c and drain.c only.
 */
#ifndef SHMRING_READER_H
#define SHMRING_READER_H

#include <errno.h>

#include "guard.h"
#include "shmring.h"

struct shmring__slot {
    struct shmring_slot_status status;
    uint64_t begin; /* like status.read, but before the padding that was skipped since the last record */
    uint32_t selector;
};

struct shmring_reader {
    struct shmring_header header; /* private, checked copy */
    uint8_t *resource;            /* private, checked copy */
    int fd;
    uid_t uid;
    bool dead;           /* this reader holds the lock */
    const char *problem; /* of the whole segment, when quarantined */
    uint8_t *base;       /* header up to the last slot group, writable; then the rings, read-only, unless foreign */
    uint64_t mapped_bytes;
    struct shmring__guarded *guarded; /* the mapping, for the handler of SIGBUS */
    const uint8_t *data;              /* all rings; NULL: foreign, to be read with pread */
    uint32_t used;                    /* slots [0, used) are restored */
    struct shmring__slot slots[];
};

/* Opens, checks and copies header and resource; maps nothing. Fills header, resource, fd, uid, dead. */
int shmring__open(int dir_fd, const char *name, struct shmring_reader **out);

/* pread of all of it. -> 0, -EBADMSG: the file ends before, or -errno. */
int shmring__read_exactly(int fd, void *out, size_t bytes, uint64_t offset);

/* The slot is not read or written any more. problem: static text; position: where it was found. -> -EBADMSG */
static inline int shmring__quarantine_slot(struct shmring__slot *slot, const char *problem, uint64_t position)
{
    slot->status.health = SHMRING_SLOT_QUARANTINED;
    slot->status.problem = problem;
    slot->status.problem_position = position;
    return -EBADMSG;
}

/* The compiler may not read shared memory again in place of the copy just made of it. */
static inline void shmring__forget_source(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/* True: the file shrank under the mapping. What has been read since is zeros, and what has been written is lost. */
static inline bool shmring__poisoned(const struct shmring_reader *reader)
{
    return atomic_load_explicit(&reader->guarded->poisoned, memory_order_relaxed);
}

/* To be called after the mapping was touched, before what was read is believed. -> 0, or -EBADMSG: quarantined now. */
int shmring__still_there(struct shmring_reader *reader);

static inline struct shmring_producer *shmring__producer(const struct shmring_reader *reader, uint32_t slot)
{
    return (struct shmring_producer *)(reader->base + shmring_producer_offset(slot));
}

static inline struct shmring_consumer *shmring__consumer(const struct shmring_reader *reader, uint32_t slot)
{
    return (struct shmring_consumer *)(reader->base + shmring_consumer_offset(slot));
}

#endif
