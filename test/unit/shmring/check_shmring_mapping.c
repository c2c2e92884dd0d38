/* SPDX-License-Identifier: MIT
 *
 * How a slot gets its memory: on kernels with larger pages, on those that cannot populate, in little address space; and
 * by name, where nothing else is left. Includes the sources it tests, so that it can stand for these kernels.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "support/advice.h"
#include "support/ring_fixture.h"
#include "support/test.h"

/* ---- the kernel ---- */

enum populates { POPULATES, KNOWS_NO_POPULATE, ANSWERS_ONLY };

static struct {
    uint64_t page_bytes;
    enum populates populates;
    rlim_t address_space;
    unsigned opened;  /* calls of open */
    long file_system; /* 0: as it is */
} kernel;

static bool is_aligned(const void *memory)
{
    return (uintptr_t)memory % kernel.page_bytes == 0;
}

/* Of the simulated kernel: the address is a multiple of its page, as the offset must be. */
static void *kernel_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if (offset % (off_t)kernel.page_bytes != 0 || !is_aligned(at)) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    size_t whole_pages = bytes + -bytes % kernel.page_bytes;
    uint8_t *room = mmap(NULL, whole_pages + kernel.page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(room, MAP_FAILED);
    room += -(uintptr_t)room % kernel.page_bytes;
    return mmap(room, bytes, protection, flags | MAP_FIXED, fd, offset);
}

static int kernel_mprotect(void *memory, size_t bytes, int protection)
{
    if (is_aligned(memory))
        return mprotect(memory, bytes, protection);
    errno = EINVAL;
    return -1;
}

static int kernel_madvise(void *memory, size_t bytes, int advice)
{
    bool populates = advice == MADV_POPULATE_WRITE;
    if (populates && kernel.populates == ANSWERS_ONLY)
        return 0;
    if (is_aligned(memory) && !(populates && kernel.populates == KNOWS_NO_POPULATE))
        return madvise(memory, bytes, advice);
    errno = EINVAL;
    return -1;
}

static long kernel_sysconf(int name)
{
    return name == _SC_PAGESIZE ? (long)kernel.page_bytes : sysconf(name);
}

static int kernel_getrlimit(int resource, struct rlimit *out)
{
    int err = getrlimit(resource, out);
    if (!err && resource == RLIMIT_AS)
        out->rlim_cur = kernel.address_space;
    return err;
}

static int kernel_open(const char *path, int flags)
{
    kernel.opened++;
    return open(path, flags);
}

static int kernel_fstatfs(int fd, struct statfs *out)
{
    int err = fstatfs(fd, out);
    if (!err && kernel.file_system)
        out->f_type = kernel.file_system;
    return err;
}

/* No size: what rings may have of a file system is not in the way of filling it. */
static int kernel_statvfs(const char *path, struct statvfs *out)
{
    int err = statvfs(path, out);
    out->f_blocks = 0;
    return err;
}

#define fstatfs(...)  kernel_fstatfs(__VA_ARGS__)
#define open(...)     kernel_open(__VA_ARGS__)
#define statvfs(...)  kernel_statvfs(__VA_ARGS__)
#define mmap(...)     kernel_mmap(__VA_ARGS__)
#define mprotect(...) kernel_mprotect(__VA_ARGS__)
#define madvise(...)  kernel_madvise(__VA_ARGS__)
#define sysconf(name) kernel_sysconf(name)
#undef getrlimit
#define getrlimit(resource, out) kernel_getrlimit((int)(resource), out)

#include "close.c"
#include "dir.c"
#include "mapping.c"
#include "reader.c"
#include "release.c"
#include "room.c"
#include "segment.c"
#include "slots.c"

#undef open
#undef statvfs
#undef mmap
#undef mprotect
#undef madvise

static void set_up(void)
{
    ring_fixture_init();
    kernel.page_bytes = (uint64_t)(sysconf)(_SC_PAGESIZE);
    kernel.populates = POPULATES;
    kernel.address_space = RLIM_INFINITY;
}

static void tear_down(void)
{
    while (umount2(rings.dir, MNT_DETACH) == 0) /* of those that mount */
        ;
    ring_fixture_done();
}

FIXTURE(set_up, tear_down);

static bool small_tmpfs(uint64_t bytes)
{
    char size[64];

    snprintf(size, sizeof(size), "size=%llu,mode=0700", (unsigned long long)bytes);
    return test_mounts_privately() && mount("check_shmring", rings.dir, "tmpfs", 0, size) == 0;
}

/* Kilobytes of the file system that are not taken. */
static uint64_t room_left(void)
{
    struct statvfs fs;

    ck_assert_int_eq(statvfs(rings.dir, &fs), 0);
    return fs.f_bavail * fs.f_frsize >> 10;
}

/* ---- all kernels ---- */

static const struct {
    uint64_t page_bytes;
    enum populates populates;
    rlim_t address_space;
    bool by_name, alone; /* what is expected */
} kernels[] = {
    {4 << 10, POPULATES, RLIM_INFINITY, false, false},
    {16 << 10, POPULATES, RLIM_INFINITY, false, false},
    {64 << 10, POPULATES, RLIM_INFINITY, false, false},
    {4 << 10, KNOWS_NO_POPULATE, RLIM_INFINITY, true, false},
    {64 << 10, KNOWS_NO_POPULATE, RLIM_INFINITY, true, false},
    {4 << 10, ANSWERS_ONLY, RLIM_INFINITY, true, false},
    {64 << 10, ANSWERS_ONLY, RLIM_INFINITY, true, false},
    {4 << 10, POPULATES, 1 << 20, true, true},
    {16 << 10, POPULATES, 1 << 20, true, true},
    {64 << 10, POPULATES, 2 << 20, true, true},
    {64 << 10, KNOWS_NO_POPULATE, 1 << 20, true, true},
};

/* Rings smaller and larger than a page, several groups of slots; a slot that changes hands. */
static void write_and_read_all(uint32_t slots, uint64_t ring_bytes)
{
    struct shmring *ring = ring_fixture_create(slots, ring_bytes, 0);
    struct shmring_writer *writers[20];

    for (uint32_t slot = 0; slot < slots; slot++)
        ck_assert_int_eq(shmring_attach(ring, &writers[slot]), 0);
    for (uint64_t seed = 0; seed < ring_bytes / 256; seed++)
        for (uint32_t slot = 0; slot < slots; slot++)
            ck_assert(ring_write(writers[slot], seed, 200));
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    for (uint32_t slot = 0; slot < slots; slot++) {
        ck_assert_int_eq(ring_drain(reader, slot, 0), (int64_t)ring_bytes / 256);
        ring_release(reader, slot);
    }
    shmring_detach(ring, writers[3]);
    ck_assert_int_eq(shmring_attach(ring, &writers[0]), 0);
    ck_assert_ptr_eq(writers[0], writers[3]);
    ck_assert(ring_write(writers[0], ring_bytes / 256, 100));
    ck_assert_int_eq(ring_drain(reader, 3, 0), 1);
    shmring_reader_close(reader);
    shmring_close(ring);
}

LOOP_TEST(every_kernel_writes_and_reads, COUNT(kernels))
{
    bool is_usual = kernels[_i].populates == POPULATES || kernels[_i].alone;
    NEEDS(!is_usual || advice_populates(), "MADV_POPULATE_WRITE, and an address space without an emulator in it");
    kernel.page_bytes = kernels[_i].page_bytes;
    kernel.populates = kernels[_i].populates;
    kernel.address_space = kernels[_i].address_space;
    struct shmring *ring = ring_fixture_create(20, 64 << 10, 0);
    ck_assert_int_eq(ring->by_name, kernels[_i].by_name);
    ck_assert_int_eq(ring->mapped_bytes == ring->base_bytes, kernels[_i].alone);
    shmring_close(ring);
    write_and_read_all(20, 64 << 10);
    kernel.address_space = kernels[_i].alone ? 1 << 16 : RLIM_INFINITY;
    write_and_read_all(20, 4 << 10);
}

/* What the program has set for itself, the library takes a sixteenth of. */
LOOP_TEST(a_small_part_of_a_limited_address_space_is_taken, 2)
{
    kernel.address_space = 16 * shmring_file_bytes(20, 64 << 10) - (rlim_t)_i;
    struct shmring *ring = ring_fixture_create(20, 64 << 10, 0);
    ck_assert_int_eq(ring->mapped_bytes == ring->base_bytes, _i);
    shmring_close(ring);
}

TEST(a_slot_opens_nothing)
{
    NEEDS(advice_populates(), "MADV_POPULATE_WRITE");
    struct shmring *ring = ring_fixture_create(20, 4096, 0);
    struct shmring_writer *writer;

    kernel.opened = 0;
    for (int slot = 0; slot < 20; slot++)
        ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_uint_eq(kernel.opened, 0);
    shmring_close(ring);
    kernel.populates = KNOWS_NO_POPULATE;
    ring = ring_fixture_create(20, 4096, 0);
    kernel.opened = 0;
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_uint_eq(kernel.opened, 1);
    shmring_close(ring);
}

/* A segment there works, but a span may wait for the disk. */
TEST(a_directory_that_is_not_in_memory_is_told)
{
    static const long in_memory[] = {0, RAMFS_MAGIC, TMPFS_MAGIC},
                      elsewhere[] = {EXT4_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC};
    struct shmring *ring;

    for (size_t i = 0; i < COUNT(in_memory) + COUNT(elsewhere); i++) {
        kernel.file_system = i < COUNT(in_memory) ? in_memory[i] : elsewhere[i - COUNT(in_memory)];
        ring = ring_fixture_create(1, 4096, 0);
        ck_assert_int_eq(shmring_in_memory(ring), i < COUNT(in_memory));
        shmring_close(ring);
    }
}

/* mlockall would fill it. */
TEST(what_no_thread_has_taken_cannot_be_accessed)
{
    struct shmring *ring = ring_fixture_create(20, 1 << 20, 0);
    struct shmring_writer *writer;
    char line[512], range[64];
    bool found = false;

    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    snprintf(range, sizeof(range), "%lx-%lx ---s", (unsigned long)(uintptr_t)(writer->data + (1 << 20)),
             (unsigned long)(uintptr_t)(writer->data + (20 << 20)));
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps))
        found |= strncmp(line, range, strlen(range)) == 0;
    fclose(maps);
    ck_assert(found);
    shmring_close(ring);
}

/* ---- a full tmpfs ---- */

static void fill_rings(struct shmring_writer *const *writers, int count)
{
    for (int i = 0; i < count; i++)
        for (uint64_t seed = 0; ring_write(writers[i], seed, 1000); seed++)
            ;
}

/* Never a signal; what was populated before the end goes back. */
LOOP_TEST(on_every_kernel_a_full_tmpfs_is_an_error, COUNT(kernels))
{
    bool is_usual = kernels[_i].populates == POPULATES || kernels[_i].alone;
    NEEDS(!is_usual || advice_populates(), "MADV_POPULATE_WRITE, and an address space without an emulator in it");
    struct shmring_options options = {
        .dir = rings.dir, .trusted_uid = (uid_t)-1, .slot_count = 20, .ring_bytes = 256 << 10};
    struct shmring_writer *writers[4], *none = NULL;
    struct shmring *ring;

    kernel.page_bytes = kernels[_i].page_bytes;
    kernel.populates = kernels[_i].populates;
    kernel.address_space = kernels[_i].address_space;
    NEEDS(small_tmpfs((64 << 10) + 3 * options.ring_bytes + options.ring_bytes / 2), "root, to mount");
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(shmring_attach(ring, &writers[i]), 0);
    uint64_t left = room_left();
    ck_assert_uint_ge(left, 128);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(shmring_attach(ring, &none), -ENOSPC);
    ck_assert_ptr_null(none);
    if (!kernels[_i].by_name && kernel.page_bytes == 4096)
        ck_assert_uint_eq(room_left(), left);
    fill_rings(writers, 3);
    char more[32];
    snprintf(more, sizeof(more), "size=%d", 2 << 20);
    ck_assert_int_eq(mount(NULL, rings.dir, NULL, MS_REMOUNT, more), 0);
    ck_assert_int_eq(shmring_attach(ring, &writers[3]), 0);
    ck_assert_uint_eq(writers[3]->slot, 3);
    fill_rings(writers + 3, 1);
    shmring_close(ring);
}

/* A retired ring with little room is better than none. */
TEST(without_room_for_a_new_ring_a_retired_one_is_taken)
{
    struct shmring_options options = {
        .dir = rings.dir, .trusted_uid = (uid_t)-1, .slot_count = 4, .ring_bytes = 256 << 10};
    struct shmring_writer *first, *second;
    struct shmring *ring;

    NEEDS(small_tmpfs((64 << 10) + options.ring_bytes), "root, to mount");
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    ck_assert_int_eq(shmring_attach(ring, &first), 0);
    for (uint64_t seed = 0; seed < 200; seed++)
        ck_assert(ring_write(first, seed, 1000));
    shmring_detach(ring, first);
    ck_assert_int_eq(shmring_attach(ring, &second), 0);
    ck_assert_ptr_eq(second, first);
    ck_assert(ring_write(second, 200, 1000));
    shmring_close(ring);
}

/* ---- by name ---- */

TEST(attach_after_the_file_was_replaced_fails)
{
    kernel.populates = KNOWS_NO_POPULATE;
    struct shmring *ring = ring_fixture_create(2, 4096, 0);
    struct shmring *other = ring_fixture_create(2, 4096, 0);
    struct shmring_writer *writer = NULL;

    ck_assert_int_eq(renameat(rings.dir_fd, shmring_name(other), rings.dir_fd, shmring_name(ring)), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), -ESTALE);
    ck_assert_int_eq(shmring_attach(other, &writer), -ENOENT);
    ck_assert_int_eq(unlinkat(rings.dir_fd, shmring_name(ring), 0), 0);
    ck_assert_int_eq(symlinkat("/dev/null", rings.dir_fd, shmring_name(ring)), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), -ELOOP);
    ck_assert_ptr_null(writer);
    shmring_close(ring);
    shmring_close(other);
}

/* A fresh tmpfs gives the first file in it the number that the first file of another has. */
TEST(attach_to_the_same_inode_of_another_file_system_fails)
{
    struct shmring_options options = {
        .dir = rings.dir, .trusted_uid = (uid_t)-1, .slot_count = 4, .ring_bytes = 64 << 10};
    char path[160], name[64];
    struct shmring_writer *writer = NULL;
    struct shmring *ring;
    struct stat first, second;

    kernel.populates = KNOWS_NO_POPULATE;
    NEEDS(small_tmpfs(1 << 20), "root, to mount");
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    strcpy(name, shmring_name(ring));
    snprintf(path, sizeof(path), "%s/%s", rings.dir, name);
    ck_assert_int_eq(stat(path, &first), 0);
    ck_assert(small_tmpfs(1 << 20)); /* over the first */
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(ftruncate(file, first.st_size), 0);
    close(file);
    ck_assert_int_eq(stat(path, &second), 0);
    ck_assert_uint_eq(second.st_ino, first.st_ino);
    ck_assert_uint_ne(second.st_dev, first.st_dev);
    ck_assert_int_eq(shmring_attach(ring, &writer), -ESTALE);
    shmring_close(ring);
}

/* ---- threads at once ---- */

enum { CROWD = 64, CROWD_RECORDS = 20 };

static struct crowd {
    struct shmring *ring;
    pthread_mutex_t mutex;
    pthread_barrier_t barrier;
    _Atomic unsigned got, refused;
} crowd = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *one_of_the_crowd(void *unused)
{
    struct shmring_writer *writer = NULL;

    pthread_barrier_wait(&crowd.barrier);
    pthread_mutex_lock(&crowd.mutex);
    int err = shmring_slot_take(crowd.ring, &writer);
    pthread_mutex_unlock(&crowd.mutex);
    if (!err) {
        err = shmring_slot_populate(crowd.ring, writer);
        pthread_mutex_lock(&crowd.mutex);
        err = shmring_slot_publish(crowd.ring, writer, err, &writer);
        pthread_mutex_unlock(&crowd.mutex);
    }
    if (err && err != -ENOSPC)
        abort();
    atomic_fetch_add(err ? &crowd.refused : &crowd.got, 1);
    for (uint64_t seed = 0; !err && seed < CROWD_RECORDS; seed++)
        if (!ring_write(writer, seed, 1000))
            abort();
    pthread_barrier_wait(&crowd.barrier);
    return unused;
}

static void run_crowd(void)
{
    pthread_t threads[CROWD];

    ck_assert_int_eq(pthread_barrier_init(&crowd.barrier, NULL, CROWD), 0);
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, one_of_the_crowd, NULL), 0);
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&crowd.barrier);
}

/* -> records in all slots, which are sound */
static uint64_t read_crowd(const struct shmring *ring)
{
    int dir_fd = open(rings.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct shmring_reader *reader;
    uint64_t records = 0;

    ck_assert_int_eq(shmring_reader_open(dir_fd, shmring_name(ring), &reader), 0);
    for (uint32_t slot = 0; slot < shmring_reader_slots(reader); slot++) {
        ck_assert_int_eq(shmring_reader_slot(reader, slot)->health, SHMRING_SLOT_SOUND);
        records += (uint64_t)ring_drain(reader, slot, 0);
    }
    shmring_reader_close(reader);
    close(dir_fd);
    return records;
}

LOOP_TEST(many_threads_at_once_get_their_slots, COUNT(kernels))
{
    kernel.page_bytes = kernels[_i].page_bytes;
    kernel.populates = kernels[_i].populates;
    kernel.address_space = kernels[_i].address_space;
    crowd.ring = ring_fixture_create(CROWD, 64 << 10, 0);
    run_crowd();
    ck_assert_uint_eq(crowd.got, CROWD);
    ck_assert_uint_eq(read_crowd(crowd.ring), CROWD * CROWD_RECORDS);
    shmring_close(crowd.ring);
}

/* There is room for half of them. */
LOOP_TEST(many_threads_at_once_share_what_room_there_is, COUNT(kernels))
{
    struct shmring_options options = {
        .dir = rings.dir, .trusted_uid = (uid_t)-1, .slot_count = CROWD, .ring_bytes = 64 << 10};
    struct shmring_writer *writer;

    kernel.page_bytes = kernels[_i].page_bytes;
    kernel.populates = kernels[_i].populates;
    kernel.address_space = kernels[_i].address_space;
    NEEDS(small_tmpfs((192 << 10) + CROWD / 2 * options.ring_bytes), "root, to mount");
    ck_assert_int_eq(shmring_create(&options, &crowd.ring), 0);
    run_crowd();
    ck_assert_uint_eq(crowd.got + crowd.refused, CROWD);
    ck_assert_uint_le(crowd.got, CROWD / 2 + 1);
    ck_assert_uint_eq(read_crowd(crowd.ring), crowd.got * CROWD_RECORDS);
    /* What they gave back is there for others, where rings do not share pages: one after the other finds room. */
    while (crowd.got < CROWD / 2 && shmring_attach(crowd.ring, &writer) == 0)
        crowd.got++;
    if (kernel.page_bytes == 4096)
        ck_assert_uint_ge(crowd.got, CROWD / 2);
    shmring_close(crowd.ring);
}
