/* SPDX-License-Identifier: MIT
 *
 * A producer's file in its address space. The whole file is mapped once, from offset 0; memory comes when pages are
 * populated, which needs no name, right or descriptor, and is an error and no signal where there is no room.
 *
 * The way by name is for kernels that cannot populate (before Linux 5.14; emulators that answer 0 and do nothing), and
 * for an address space that the whole file does not fit into.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "pages.h"
#include "producer.h"

#ifndef MADV_POPULATE_WRITE /* musl 1.2.3, glibc before 2.35 */
#define MADV_POPULATE_WRITE 23
#define MADV_POPULATE_READ  22
#endif

/* ---- places ---- */

/* Of the control pages of all groups up to the slot's. */
static uint64_t groups_end(uint32_t slot)
{
    return shmring_producer_offset(slot - slot % SHMRING_GROUP_SLOTS) + SHMRING_GROUP_BYTES;
}

uint8_t *shmring__ring(const struct shmring *ring, uint32_t slot)
{
    return ring->base + shmring__ring_offset(ring, slot);
}

static bool is_mapped_whole(const struct shmring *ring)
{
    return ring->mapped_bytes == ring->file_bytes;
}

/* ---- memory ---- */

static int allow(struct shmring *ring, uint64_t begin, uint64_t end)
{
    begin = shmring__page_begin(begin);
    return mprotect(ring->base + begin, shmring__page_end(end) - begin, PROT_READ | PROT_WRITE) < 0 ? -errno : 0;
}

static int populate(uint8_t *memory, uint64_t begin, uint64_t end)
{
    int err;
    begin = shmring__page_begin(begin);
    do
        err = madvise(memory + begin, shmring__page_end(end) - begin, MADV_POPULATE_WRITE) < 0 ? errno : 0;
    while (err == EINTR || err == EAGAIN);
    return err == EFAULT ? -ENOSPC : -err; /* a store would have been a SIGBUS */
}

/* posix_fallocate as -errno, going on after signals. */
static int allocate(int fd, uint64_t begin, uint64_t end)
{
    int err;
    do
        err = posix_fallocate(fd, (off_t)begin, (off_t)(end - begin));
    while (err == EINTR);
    return -err;
}

/* Of allocated memory; another thread may be using it. */
static void touch(uint8_t *memory, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += SHMRING_PAGE)
        atomic_fetch_add((_Atomic uint32_t *)(memory + at), 0);
}

/* ---- the way by name ---- */

/* The descriptor was closed at creation, because programs close descriptors that they do not know. */
static int reopen(const struct shmring *ring)
{
    int fd = open(ring->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return shmring__open_error();
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_dev != ring->dev || st.st_ino != ring->ino) {
        close(fd);
        return -ESTALE;
    }
    return fd;
}

static int map_alone(struct shmring *ring, int fd, uint32_t slot, uint8_t **out)
{
    uint64_t begin = shmring__ring_offset(ring, slot), before = begin - shmring__page_begin(begin);
    uint64_t bytes = before + ring->ring_bytes;
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(begin - before));
    if (memory == MAP_FAILED)
        return -ENOMEM;
    (void)munlock(memory, bytes);
    if (madvise(memory, bytes, MADV_DONTFORK) < 0) {
        int err = -errno;
        munmap(memory, bytes);
        return err;
    }
    *out = memory + before;
    return 0;
}

static int allocate_and_map(struct shmring *ring, int fd, uint32_t slot, uint8_t **data)
{
    uint64_t begin = shmring__ring_offset(ring, slot), end = begin + ring->ring_bytes, groups = groups_end(slot);
    int err = allocate(fd, SHMRING_SLOTS_OFFSET, groups);
    if (!err)
        err = allocate(fd, begin, end);
    if (err)
        return err;
    touch(ring->base + SHMRING_SLOTS_OFFSET, groups - SHMRING_SLOTS_OFFSET);
    if (!is_mapped_whole(ring) && !*data)
        err = map_alone(ring, fd, slot, data);
    if (err)
        return err;
    if (!*data)
        *data = shmring__ring(ring, slot);
    touch(*data, ring->ring_bytes);
    return 0;
}

/* ---- creation ---- */

/* A program with a limit has set that for itself, not for a mapping that is nearly empty. */
static bool is_affordable(uint64_t bytes)
{
    struct rlimit limit;
    uint64_t space = SIZE_MAX;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur < space)
        space = limit.rlim_cur;
    return bytes <= space / 16;
}

static int map_bytes(struct shmring *ring, int fd, uint64_t bytes)
{
    /* What is not yet taken stays PROT_NONE: mlockall would fill it. */
    void *memory = mmap(NULL, bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    (void)munlock(memory, bytes); /* after mlockall(MCL_FUTURE) all of it counts as locked */
    ring->base = memory;
    ring->mapped_bytes = bytes;
    return 0;
}

/* Populates the pages up to the slots, and looks whether that is so: emulators answer 0 and do nothing. */
static int populate_base(struct shmring *ring, int fd)
{
    struct stat st;
    int err = populate(ring->base, 0, SHMRING_SLOTS_OFFSET);
    if (err && err != -EINVAL) /* before Linux 5.14 */
        return err;
    if (fstat(fd, &st) < 0)
        return -errno;
    ring->by_name = err || st.st_blocks == 0 || !is_mapped_whole(ring);
    if (!ring->by_name)
        return 0;
    err = allocate(fd, 0, SHMRING_SLOTS_OFFSET);
    if (!err)
        touch(ring->base, SHMRING_SLOTS_OFFSET);
    return err;
}

int shmring__map(struct shmring *ring, int fd)
{
    int err = is_affordable(ring->file_bytes) ? map_bytes(ring, fd, ring->file_bytes) : -ENOMEM;
    if (err)
        err = map_bytes(ring, fd, ring->base_bytes);
    if (!err && madvise(ring->base, ring->mapped_bytes, MADV_DONTFORK) < 0)
        err = -errno;
    if (!err)
        err = allow(ring, 0, ring->base_bytes);
    return err ? err : populate_base(ring, fd);
}

void shmring__unmap(struct shmring *ring)
{
    for (uint32_t slot = 0; slot < ring->slots && !is_mapped_whole(ring); slot++) {
        uint64_t offset = shmring__ring_offset(ring, slot), before = offset - shmring__page_begin(offset);
        if (ring->writers[slot]->data)
            munmap(ring->writers[slot]->data - before, before + ring->ring_bytes);
    }
    if (ring->base) /* last: with it goes the lock */
        munmap(ring->base, ring->mapped_bytes);
}

/* ---- slots ---- */

int shmring__allow_slot(struct shmring *ring, uint32_t slot)
{
    return is_mapped_whole(ring) ? allow(ring, shmring__ring_offset(ring, slot), shmring__ring_offset(ring, slot + 1))
                                 : 0;
}

int shmring__populate_slots(struct shmring *ring, uint32_t from, uint32_t to)
{
    uint64_t begin = shmring__ring_offset(ring, from), end = shmring__ring_offset(ring, to);
    int err = populate(ring->base, SHMRING_SLOTS_OFFSET, groups_end(to - 1));
    return err ? err : populate(ring->base, begin, end);
}

int shmring__allocate_slot(struct shmring *ring, uint32_t slot, uint8_t **data)
{
    int fd = reopen(ring);
    if (fd < 0)
        return fd;
    int err = allocate_and_map(ring, fd, slot, data);
    close(fd);
    return err;
}

void shmring__remove(uint8_t *memory, uint64_t begin, uint64_t end)
{
    begin = shmring__page_end(begin);
    end = shmring__page_begin(end);
    if (begin >= end)
        return;
    (void)munlock(memory + begin, end - begin);              /* pages that mlockall keeps cannot be given back */
    (void)madvise(memory + begin, end - begin, MADV_REMOVE); /* no tmpfs: the file keeps them */
}

void shmring__remove_ring(struct shmring *ring, uint32_t slot)
{
    uint8_t *data = is_mapped_whole(ring) ? shmring__ring(ring, slot) : ring->writers[slot]->data;
    if (data)
        shmring__remove(data - shmring__ring_offset(ring, slot), shmring__ring_offset(ring, slot),
                        shmring__ring_offset(ring, slot + 1));
}

/* ---- the end ---- */

bool shmring__has_name(const struct shmring *ring, struct stat *st)
{
    return lstat(ring->path, st) == 0 && st->st_dev == ring->dev && st->st_ino == ring->ino;
}

bool shmring__is_intact(const struct shmring *ring)
{
    struct stat st;
    if (ring->by_name)
        return shmring__has_name(ring, &st) && (uint64_t)st.st_size == ring->file_bytes;
    return populate(ring->base, 0, shmring_data_offset(atomic_load_explicit(&ring->used, memory_order_relaxed))) == 0;
}

bool shmring__can_be_read(const struct shmring *ring, uint8_t *memory, uint64_t begin, uint64_t end)
{
    begin = shmring__page_begin(begin);
    return ring->by_name || madvise(memory + begin, shmring__page_end(end) - begin, MADV_POPULATE_READ) == 0;
}

uint64_t shmring__map_again(const struct shmring *ring, uint8_t **out)
{
    uint64_t bytes = shmring__page_end(shmring__ring_offset(ring, ring->slots));
    (void)munlock(ring->base, ring->mapped_bytes); /* what is locked would be filled at the second place */
    /* No bytes of a shared mapping, moved: the kernel maps it a second time. This needs no descriptor. */
    void *memory = mremap(ring->base, 0, bytes, MREMAP_MAYMOVE);
    if (memory == MAP_FAILED)
        return 0;
    *out = memory;
    return bytes;
}

/* mlockall(MCL_FUTURE) would fill and lock the cover: it is made elsewhere, and unlocked before it can be accessed. */
static bool cover_unfilled(uint8_t *memory, uint64_t bytes)
{
    void *cover = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cover == MAP_FAILED)
        return false;
    (void)munlock(cover, bytes);
    if (mprotect(cover, bytes, PROT_READ | PROT_WRITE) == 0 &&
        mremap(cover, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, memory) != MAP_FAILED)
        return true;
    munmap(cover, bytes);
    return false;
}

static int cover_range(uint8_t *memory, uint64_t bytes)
{
    if (cover_unfilled(memory, bytes))
        return 0;
    /* This needs no address space and no mapping besides. */
    void *cover =
        mmap(memory, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (cover == MAP_FAILED)
        return -errno;
    (void)munlock(memory, bytes);
    return 0;
}

/* Slots from this one on have no owner and never will have. Those between `used` and it may still be populated by a
 * thread that has taken a later one. */
static uint32_t owned_end(const struct shmring *ring)
{
    uint32_t end = ring->slots;
    while (end > 0 && ring->writers[end - 1]->state != SHMRING_SLOT_ACTIVE)
        end--;
    return end;
}

static bool may_be_accessed(const struct shmring *ring, uint32_t slot)
{
    return ring->writers[slot]->state == SHMRING_SLOT_ACTIVE ||
           (slot >= atomic_load_explicit(&ring->used, memory_order_relaxed) && slot < owned_end(ring));
}

/* Of slots [from, to), without the pages that others have a part of. */
static void unmap_rings(struct shmring *ring, uint32_t from, uint32_t to)
{
    uint64_t begin = shmring__page_end(shmring__ring_offset(ring, from)),
             end = shmring__page_begin(shmring__ring_offset(ring, to));
    if (begin < end)
        munmap(ring->base + begin, end - begin);
}

static void unmap_unowned(struct shmring *ring)
{
    for (uint32_t slot = 0, end; slot < ring->slots; slot = end + 1) {
        for (end = slot; end < ring->slots && !may_be_accessed(ring, end);)
            end++;
        unmap_rings(ring, slot, end);
    }
}

static void cover_alone(struct shmring *ring, uint32_t slot)
{
    uint64_t offset = shmring__ring_offset(ring, slot), before = offset - shmring__page_begin(offset);
    uint8_t *data = ring->writers[slot]->data;
    if (!data)
        return;
    if (may_be_accessed(ring, slot))
        (void)cover_range(data - before, before + ring->ring_bytes);
    else
        munmap(data - before, before + ring->ring_bytes);
}

int shmring__cover(struct shmring *ring)
{
    bool whole = is_mapped_whole(ring);
    uint64_t used = whole ? shmring__page_end(shmring__ring_offset(ring, ring->slots)) : ring->mapped_bytes;
    int err = cover_range(ring->base, used);
    if (err)
        return err;
    if (used < ring->mapped_bytes)
        munmap(ring->base + used, ring->mapped_bytes - used);
    if (whole)
        unmap_unowned(ring);
    for (uint32_t slot = 0; slot < ring->slots && !whole; slot++)
        cover_alone(ring, slot);
    return 0;
}
