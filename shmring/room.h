/* SPDX-License-Identifier: MIT
 *
 * How much memory a producer's segment may take: so that rings that nobody drains are no burden to anybody else.
 */
#ifndef SHMRING_ROOM_H
#define SHMRING_ROOM_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SHMRING_ROOM_SHARE = 4,  /* all segments of a directory take this part of its file system at most */
    SHMRING_ROOM_FREE = 16,  /* this part of it stays free, whoever has the rest */
    SHMRING_ROOM_MEMORY = 4, /* a segment takes this part of what the control groups left it at most */
};

/* What segments may still take, in bytes. Below 0: so much less they should have. */
struct shmring__left {
    int64_t share;   /* of the directory's share; at least so much: see shmring__room_look */
    int64_t free;    /* of the file system */
    uint64_t memory; /* of the memory that the control groups allow; UINT64_MAX: they have no limit */
};

/* A segment's account. Any thread. */
struct shmring__room {
    char *dir;               /* absolute; to look there again */
    dev_t dev;               /* what must be found there */
    uint64_t most;           /* bytes that the segment may hold, as far as was seen at its creation */
    uint64_t memory;         /* bytes that it may hold by the limits of control groups; UINT64_MAX: there are none */
    _Atomic uint64_t held;   /* with what is coming */
    _Atomic uint64_t coming; /* taken, and its pages perhaps not yet there: no other thread may count on that room */
};

/* Looks at the directory's file system, at the segments there if less than `enough` of their share is left without, and
 * at the control groups. -> 0 or -errno */
int shmring__room_look(const char *dir, uint64_t enough, struct shmring__left *out);

/* May `bytes` be taken of what is left? -> 0; -EDQUOT: the share is used up; -ENOSPC: the file system is nearly full;
 * -ENOMEM: the limit of a control group is near */
int shmring__room_for(const struct shmring__left *left, uint64_t bytes);

/* Counts `bytes` as held by the segment, if they may be taken now: looks again. Where the directory cannot be seen any
 * more (other root or user, no descriptor) the segment keeps to what was left at its creation. -> as shmring__room_for;
 * 0: shmring__room_end must follow */
int shmring__room_take(struct shmring__room *room, uint64_t bytes);

/* Their pages are there; err not 0: could not be had. Looks whether others have taken the same room meanwhile. -> err,
 * or as shmring__room_for: not 0: the caller gives the pages back, and they no longer count */
int shmring__room_end(struct shmring__room *room, uint64_t bytes, int err);

/* Pages that were held are given back. */
void shmring__room_give(struct shmring__room *room, uint64_t bytes);

#endif
