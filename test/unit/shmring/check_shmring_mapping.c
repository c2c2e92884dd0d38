/* SPDX-License-Identifier: MIT
 *
 * How a slot gets its memory: on kernels with larger pages, on those that cannot populate, in little address space; and
 * by name, where nothing else is left. Includes the sources it tests, so that it can stand for these kernels.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include <unistd.h>

#include "support/ring_fixture.h"
#include "support/test.h"

/* ---- the kernel ---- */

enum populates { POPULATES, KNOWS_NO_POPULATE, ANSWERS_ONLY };

static struct {
    uint64_t page_bytes;
    enum populates populates;
    rlim_t address_space;
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
    uint8_t *room = mmap(NULL, bytes + kernel.page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
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

#define mmap(...)     kernel_mmap(__VA_ARGS__)
#define mprotect(...) kernel_mprotect(__VA_ARGS__)
#define madvise(...)  kernel_madvise(__VA_ARGS__)
#define sysconf(name) kernel_sysconf(name)
#undef getrlimit
#define getrlimit(resource, out) kernel_getrlimit((int)(resource), out)

#include "dir.c"
#include "mapping.c"
#include "segment.c"
#include "slots.c"

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
