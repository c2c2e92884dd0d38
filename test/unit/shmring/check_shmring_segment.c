/* SPDX-License-Identifier: MIT
 *
 * Segments come into being whole or not at all, take no more memory than they said, and go with their threads' slots.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "support/ring_fixture.h"
#include "support/test.h"

static void tear_down(void)
{
    while (umount2(rings.dir, MNT_DETACH) == 0) /* of those that mount */
        ;
    ring_fixture_done();
}

FIXTURE(ring_fixture_init, tear_down);

static struct shmring_options options_of(const char *dir)
{
    return (struct shmring_options){.dir = dir, .trusted_uid = (uid_t)-1, .slot_count = 4, .ring_bytes = 64 << 10};
}

static int files_in(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static int open_descriptors(void)
{
    return files_in("/proc/self/fd");
}

TEST(layout_is_what_the_format_says)
{
    ck_assert_uint_eq(sizeof(struct shmring_producer), 512);
    ck_assert_uint_eq(sizeof(struct shmring_consumer), 512);
    ck_assert_uint_eq(offsetof(struct shmring_producer, begun), 128);
    ck_assert_uint_eq(offsetof(struct shmring_producer, state), 256);
    ck_assert_uint_eq(offsetof(struct shmring_consumer, selector), 256);
    ck_assert_uint_eq(offsetof(struct shmring_consumer, cpos_pub), 384);
    ck_assert_uint_eq(shmring_producer_offset(0), 28 << 10);
    ck_assert_uint_eq(shmring_producer_offset(7), (28 << 10) + 7 * 512);
    ck_assert_uint_eq(shmring_producer_offset(8), 36 << 10);
    ck_assert_uint_eq(shmring_data_offset(1), 36 << 10);
    ck_assert_uint_eq(shmring_data_offset(9), 44 << 10);
    ck_assert_uint_eq(shmring_file_bytes(9, 4096), (44 << 10) + 9 * 4096);
    for (uint32_t slot = 0; slot < SHMRING_SLOTS_MAX; slot++)
        ck_assert_uint_eq(shmring_consumer_offset(slot) / SHMRING_PAGE,
                          shmring_producer_offset(slot) / SHMRING_PAGE + 1);
}

TEST(crc_is_castagnoli)
{
    ck_assert_uint_eq(shmring_crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(shmring_crc32c(shmring_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    ck_assert_uint_eq(shmring_crc32c(0, "", 0), 0);
}

TEST(name_is_the_instance_in_hexadecimal)
{
    const uint8_t instance[SHMRING_INSTANCE_BYTES] = {0x00, 0x01, 0x0a, 0x10, 0xab, 0xff, [15] = 0xf0};
    char name[SHMRING_NAME_BYTES];

    memset(name, 'x', sizeof(name));
    shmring_instance_name(instance, name);
    ck_assert_str_eq(name, "00010a10abff000000000000000000f0.ring");
}

TEST(created_segment_is_found_with_its_header_and_resource)
{
    int descriptors = open_descriptors();
    struct shmring *ring = ring_fixture_create(3, 5000, 0);
    struct shmring_reader *reader;
    struct stat st;
    uint32_t bytes;

    ck_assert_int_eq(open_descriptors(), descriptors);
    ck_assert_int_eq(files_in(rings.dir), 1);
    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(ring), &st, 0), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
    reader = ring_fixture_open(shmring_name(ring));
    const struct shmring_header *header = shmring_reader_header(reader);
    ck_assert_uint_eq(header->slot_count, 3);
    ck_assert_uint_eq(header->ring_bytes, 8192);
    ck_assert_uint_eq(header->file_bytes, (uint64_t)st.st_size);
    ck_assert_uint_eq(header->pid, (uint32_t)getpid());
    ck_assert_mem_eq(shmring_reader_resource(reader, &bytes), "resource", 8);
    ck_assert_uint_eq(bytes, 8);
    ck_assert_uint_eq(shmring_reader_uid(reader), geteuid());
    ck_assert_uint_eq(shmring_reader_slots(reader), 0);
    shmring_reader_close(reader);
    shmring_count_drops(ring, SHMRING_DROP_NO_SLOT, 1);
    shmring_close(ring);
    ck_assert_int_eq(files_in(rings.dir), 1); /* the consumer's to remove, with what was counted */
}

static unsigned nibble_of(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

TEST(header_tells_which_boot_the_producer_ran_in)
{
    struct shmring *ring = ring_fixture_create(1, 4096, 0);
    const struct shmring_header *header = (const struct shmring_header *)ring_fixture_map(shmring_name(ring));
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    char text[64];
    size_t nibble = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(text, sizeof(text), file));
    fclose(file);
    for (const char *at = text; *at && *at != '\n'; at++) {
        if (*at == '-')
            continue;
        ck_assert_uint_eq(header->boot_id[nibble / 2] >> (nibble % 2 ? 0 : 4) & 15, nibble_of(*at));
        nibble++;
    }
    ck_assert_uint_eq(nibble, 32);
    shmring_close(ring);
}

/* In /proc/self/maps, of files in the directory. */
static int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps))
        count += strstr(line, rings.dir) != NULL;
    fclose(maps);
    return count;
}

TEST(closed_reader_and_ring_leave_no_mapping_and_no_descriptor)
{
    struct shmring *ring = ring_fixture_create(3, 8192, 0);
    struct shmring_writer *writer;
    int descriptors = open_descriptors();

    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_int_eq(open_descriptors(), descriptors);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_int_eq(open_descriptors(), descriptors);
    int mapped = mappings();
    ck_assert_int_gt(mapped, 0);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert_int_gt(mappings(), mapped);
    shmring_reader_close(reader);
    ck_assert_int_eq(mappings(), mapped);
    ck_assert_int_eq(open_descriptors(), descriptors);
    shmring_close(ring);
    ck_assert_int_eq(mappings(), 0);
}

TEST(memory_is_taken_only_for_slots_in_use)
{
    struct shmring *ring = ring_fixture_create(0, 0, 0);
    struct shmring_writer *writer;
    struct stat st;

    fstatat(rings.dir_fd, shmring_name(ring), &st, 0);
    ck_assert_int_gt(st.st_size, 128 << 20);
    ck_assert_int_eq(st.st_blocks * 512, SHMRING_SLOTS_OFFSET);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    fstatat(rings.dir_fd, shmring_name(ring), &st, 0);
    ck_assert_int_eq(st.st_blocks * 512, SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES + (1 << 20));
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert_uint_eq(shmring_reader_slots(reader), 1);
    fstatat(rings.dir_fd, shmring_name(ring), &st, 0);
    ck_assert_int_eq(st.st_blocks * 512, SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES + (1 << 20));
    shmring_reader_close(reader);
    shmring_close(ring);
}

TEST(ring_size_is_rounded_and_clamped)
{
    static const struct {
        uint64_t asked, given;
    } cases[] = {
        {1, SHMRING_RING_MIN},
        {4096, 4096},
        {4097, 8192},
        {65535, 65536},
        {(1ull << 30) - 1, SHMRING_RING_MAX},
        {UINT64_MAX, SHMRING_RING_MAX},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct shmring *ring = ring_fixture_create(1, cases[i].asked, 0);
        struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
        ck_assert_uint_eq(shmring_reader_header(reader)->ring_bytes, cases[i].given);
        shmring_reader_close(reader);
        shmring_close(ring);
    }
}

TEST(impossible_options_are_refused)
{
    static const uint8_t big[SHMRING_RESOURCE_MAX + 1];
    struct shmring_options options = options_of(rings.dir);
    struct shmring *ring = NULL;

    options.resource = big;
    options.resource_bytes = sizeof(big);
    ck_assert_int_eq(shmring_create(&options, &ring), -E2BIG);
    options = options_of(rings.dir);
    options.slot_count = SHMRING_SLOTS_MAX + 1;
    ck_assert_int_eq(shmring_create(&options, &ring), -EINVAL);
    options = options_of(rings.dir);
    options.first_position = 8;
    ck_assert_int_eq(shmring_create(&options, &ring), -EINVAL);
    options = options_of(NULL);
    ck_assert_int_eq(shmring_create(&options, &ring), -EINVAL);
    options = options_of(rings.dir);
    options.resource_bytes = 8; /* and no resource */
    ck_assert_int_eq(shmring_create(&options, &ring), -EINVAL);
    ck_assert_ptr_null(ring);
    ck_assert_int_eq(files_in(rings.dir), 0);
}

TEST(largest_resource_fits)
{
    uint8_t resource[SHMRING_RESOURCE_MAX];
    struct shmring_options options = options_of(rings.dir);
    struct shmring *ring;
    uint32_t bytes;

    memset(resource, 'x', sizeof(resource));
    options.resource = resource;
    options.resource_bytes = sizeof(resource);
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert_mem_eq(shmring_reader_resource(reader, &bytes), resource, sizeof(resource));
    ck_assert_uint_eq(bytes, sizeof(resource));
    shmring_reader_close(reader);
    shmring_close(ring);
}

/* ---- directory ---- */

TEST(missing_directory_is_made_private)
{
    char path[96];
    struct stat st;

    snprintf(path, sizeof(path), "%s/rings", rings.dir);
    int fd = shmring_dir_open(path, (uid_t)-1);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
    close(fd);
    fd = shmring_dir_open(path, (uid_t)-1);
    ck_assert_int_ge(fd, 0);
    close(fd);
    rmdir(path);
}

TEST(directory_that_is_not_one_is_refused)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/link", rings.dir);
    ck_assert_int_eq(symlink(rings.dir, path), 0);
    ck_assert_int_eq(shmring_dir_open(path, (uid_t)-1), -ELOOP);
    const char *const spellings[] = {"link/", "link//", "link/.", "link/./", "link//.//", "./link/./."};
    for (size_t i = 0; i < COUNT(spellings); i++) {
        snprintf(path, sizeof(path), "%s/%s", rings.dir, spellings[i]);
        ck_assert_int_eq(shmring_dir_open(path, (uid_t)-1), -ELOOP);
    }
    snprintf(path, sizeof(path), "%s/link/dangling", rings.dir);
    ck_assert_int_eq(symlink("/dev/shm/nothing-has-this-name", path), 0);
    snprintf(path, sizeof(path), "%s/dangling/", rings.dir);
    ck_assert_int_eq(shmring_dir_open(path, (uid_t)-1), -ELOOP);
    const char *const climbing[] = {"link/..", "link/../", "link/../.", ".."};
    for (size_t i = 0; i < COUNT(climbing); i++) {
        snprintf(path, sizeof(path), "%s/%s", i < 3 ? rings.dir : ".", climbing[i]);
        ck_assert_int_eq(shmring_dir_open(i < 3 ? path : "..", (uid_t)-1), -EINVAL);
    }
    snprintf(path, sizeof(path), "%s/file", rings.dir);
    close(open(path, O_CREAT | O_RDWR, 0600));
    ck_assert_int_eq(shmring_dir_open(path, (uid_t)-1), -ENOTDIR);
    snprintf(path, sizeof(path), "%s/no/where", rings.dir);
    ck_assert_int_eq(shmring_dir_open(path, (uid_t)-1), -ENOENT);
}

/* What is no symlink may be spelled as one likes; a symlink before the last part is the way to it. */
TEST(directory_is_opened_however_it_is_spelled)
{
    const char *const spellings[] = {"rings", "rings/", "rings/.", "rings//./", "./rings", "link/rings/"};
    char path[96];
    struct stat st, found;

    snprintf(path, sizeof(path), "%s/rings/.", rings.dir);
    int fd = shmring_dir_open(path, (uid_t)-1);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);
    close(fd);
    snprintf(path, sizeof(path), "%s/link", rings.dir);
    ck_assert_int_eq(symlink(rings.dir, path), 0);
    for (size_t i = 0; i < COUNT(spellings); i++) {
        snprintf(path, sizeof(path), "%s/%s", rings.dir, spellings[i]);
        fd = shmring_dir_open(path, (uid_t)-1);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fstat(fd, &found), 0);
        ck_assert_uint_eq(found.st_ino, st.st_ino);
        close(fd);
    }
    ck_assert_int_eq(chdir(path), 0);
    const char *const here[] = {".", "./", "./.", "/", "//", "/."};
    for (size_t i = 0; i < COUNT(here); i++) {
        fd = shmring_dir_open(here[i], 0);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fstat(fd, &found), 0);
        ck_assert(i >= 3 || found.st_ino == st.st_ino);
        close(fd);
    }
    snprintf(path, sizeof(path), "%s/rings", rings.dir);
    rmdir(path);
}

TEST(directory_of_a_stranger_is_refused)
{
    struct shmring_options options = options_of(rings.dir);
    struct shmring *ring = NULL;

    NEEDS(geteuid() == 0, "root");
    ck_assert_int_eq(chown(rings.dir, 4711, 4711), 0);
    ck_assert_int_eq(shmring_dir_open(rings.dir, (uid_t)-1), -EPERM);
    ck_assert_int_eq(shmring_create(&options, &ring), -EPERM);
    ck_assert_int_eq(shmring_dir_open(rings.dir, 4712), -EPERM);
    options.trusted_uid = 4711;
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    shmring_close(ring);
    /* root is trusted by everybody */
    ck_assert_int_eq(chown(rings.dir, 0, 0), 0);
    ck_assert_int_eq(chmod(rings.dir, 0777), 0);
    ck_assert_int_eq(seteuid(4713), 0);
    int fd = shmring_dir_open(rings.dir, (uid_t)-1);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(seteuid(0), 0);
}

/* One consumer uid, several producer uids: the default ACL decides, whatever the umask. */
TEST(default_acl_of_a_shared_directory_admits_its_consumer)
{
    struct {
        uint32_t version;
        struct {
            uint16_t tag, perm;
            uint32_t id;
        } entries[5];
    } acl = {2, {{1, 7, ~0u}, {2, 6, 4711}, {4, 0, ~0u}, {0x10, 7, ~0u}, {0x20, 0, ~0u}}};
    struct shmring_options options = options_of(rings.dir);
    struct shmring *ring = NULL;

    NEEDS(geteuid() == 0, "root");
    ck_assert_int_eq(chown(rings.dir, 4711, 4712), 0);
    ck_assert_int_eq(chmod(rings.dir, 03770), 0);
    NEEDS(setxattr(rings.dir, "system.posix_acl_default", &acl, sizeof(acl), 0) == 0, "ACLs");
    options.trusted_uid = 4711;
    umask(077);
    ck_assert_int_eq(setegid(4712), 0);
    ck_assert_int_eq(seteuid(4713), 0);
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(seteuid(4714), 0);
    ck_assert_int_eq(openat(rings.dir_fd, shmring_name(ring), O_RDONLY), -1);
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(seteuid(4711), 0);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert_uint_eq(shmring_reader_uid(reader), 4713);
    ck_assert_int_eq(seteuid(0), 0);
    shmring_reader_close(reader);
    shmring_close(ring);
}

TEST(second_consumer_is_turned_away)
{
    int first = shmring_dir_lock(rings.dir_fd);
    struct stat st;

    ck_assert_int_ge(first, 0);
    ck_assert_int_eq(fstat(first, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
    ck_assert_int_eq(shmring_dir_lock(rings.dir_fd), -EWOULDBLOCK);
    close(first);
    int second = shmring_dir_lock(rings.dir_fd);
    ck_assert_int_ge(second, 0);
    close(second);
}

/* In a directory that several users share, one could make the lock file first and hold it for ever. */
LOOP_TEST(lock_of_a_stranger_does_not_keep_the_consumer_out, 2)
{
    char path[128];
    struct stat st;

    NEEDS(geteuid() == 0, "root");
    ck_assert_int_eq(chmod(rings.dir, 03770), 0);
    snprintf(path, sizeof(path), "%s/aistraced.lock", rings.dir);
    if (_i == 0) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    } else {
        ck_assert_int_eq(symlink("/dev/null", path), 0);
    }
    ck_assert_int_eq(lchown(path, 4711, 4711), 0);
    int lock = shmring_dir_lock(rings.dir_fd);
    ck_assert_int_ge(lock, 0);
    ck_assert_int_eq(fstat(lock, &st), 0);
    ck_assert_uint_eq(st.st_uid, 0);
    ck_assert_int_eq(shmring_dir_lock(rings.dir_fd), -EWOULDBLOCK);
    close(lock);
}

/* ---- no room ---- */

static bool small_tmpfs(uint64_t bytes)
{
    char size[64];

    snprintf(size, sizeof(size), "size=%llu,mode=0700", (unsigned long long)bytes);
    return test_mounts_privately() && mount("check_shmring", rings.dir, "tmpfs", 0, size) == 0;
}

TEST(full_tmpfs_is_an_error_at_creation)
{
    struct shmring_options options = options_of(rings.dir);
    struct shmring *ring = NULL;

    NEEDS(small_tmpfs(4 * SHMRING_PAGE), "root, to mount");
    ck_assert_int_eq(shmring_create(&options, &ring), -ENOSPC);
    ck_assert_ptr_null(ring);
    ck_assert_int_eq(files_in(rings.dir), 0);
}

static uint64_t free_bytes(void)
{
    struct statvfs fs;

    ck_assert_int_eq(statvfs(rings.dir, &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

TEST(used_up_share_is_an_error_at_attach_and_the_others_go_on)
{
    struct shmring_options options = options_of(rings.dir);
    struct shmring_writer *first, *second = NULL;
    struct shmring *ring;

    NEEDS(small_tmpfs(4 * (SHMRING_SLOTS_OFFSET + SHMRING_GROUP_BYTES + (96 << 10))), "root, to mount");
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    ck_assert_int_eq(shmring_attach(ring, &first), 0);
    uint64_t left = free_bytes();
    ck_assert_int_eq(shmring_attach(ring, &second), -EDQUOT);
    ck_assert_ptr_null(second);
    ck_assert_uint_eq(free_bytes(), left); /* nothing half taken */
    for (uint64_t seed = 0; seed < 100; seed++)
        ck_assert(ring_write(first, seed, 300));
    shmring_detach(ring, first);
    ck_assert_int_eq(shmring_attach(ring, &second), 0);
    shmring_close(ring);
}

static void fill_tmpfs(uint64_t leave)
{
    int fd = openat(rings.dir_fd, "other", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(posix_fallocate(fd, 0, (off_t)(free_bytes() - leave)), 0);
    close(fd);
}

/* Room for the rings, and none for a group of slots: no store to a hole of the full tmpfs. The process does not see that
 * the tmpfs is full, because the directory is not there any more. */
LOOP_TEST(tmpfs_without_room_for_a_group_is_an_error_at_attach, 2)
{
    struct shmring_options options = options_of(rings.dir);
    struct shmring_writer *writer;
    struct shmring *ring;
    uint64_t fit = (uint64_t)_i * SHMRING_GROUP_SLOTS; /* slots that there is room for */

    options.slot_count = 2 * SHMRING_GROUP_SLOTS;
    options.ring_bytes = SHMRING_RING_MIN;
    NEEDS(small_tmpfs(1 << 20), "root, to mount");
    close(rings.dir_fd);
    rings.dir_fd = shmring_dir_open(rings.dir, (uid_t)-1);
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    for (uint64_t slot = 0; slot < fit; slot++)
        ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    fill_tmpfs(SHMRING_RING_MIN);
    umount2(rings.dir, MNT_DETACH);
    ck_assert_int_eq(shmring_attach(ring, &writer), -ENOSPC);
    if (fit > 0)
        ck_assert(ring_write(writer, 0, 100));
    shmring_close(ring);
}

static uint64_t ring_bytes_given(uint32_t slots, uint64_t asked)
{
    struct shmring_options options = options_of(rings.dir);
    struct shmring *ring;
    struct shmring_reader *reader;

    options.slot_count = slots;
    options.ring_bytes = asked;
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    int dir_fd = open(rings.dir, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(shmring_reader_open(dir_fd, shmring_name(ring), &reader), 0);
    uint64_t given = shmring_reader_header(reader)->ring_bytes;
    shmring_reader_close(reader);
    shmring_close(ring);
    close(dir_fd);
    return given;
}

/* All slots together fit into a quarter. */
TEST(small_tmpfs_gets_small_rings)
{
    static const struct {
        uint64_t tmpfs, ring; /* tmpfs 0: no limit */
        uint32_t slots;
    } cases[] = {{0, 1 << 20, 0},         {512 << 20, 1 << 20, 0}, {511 << 20, 512 << 10, 0}, {64 << 20, 128 << 10, 0},
                 {64 << 20, 1 << 20, 16}, {40 << 20, 64 << 10, 0}, {4 << 20, 512 << 10, 1},   {2 << 20, 64 << 10, 0}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        NEEDS(small_tmpfs(cases[i].tmpfs), "root, to mount");
        uint64_t given = ring_bytes_given(cases[i].slots, 0);
        uint64_t asked = ring_bytes_given(cases[i].slots, 128 << 10); /* stays as it is: fewer threads have a ring */
        umount2(rings.dir, MNT_DETACH);
        ck_assert_uint_eq(given, cases[i].ring);
        ck_assert_uint_eq(asked, 128 << 10);
    }
}

TEST(file_size_limit_is_an_error_not_a_signal)
{
    struct shmring_options options = options_of(rings.dir);
    struct rlimit limit = {.rlim_cur = 100 << 10, .rlim_max = RLIM_INFINITY};
    struct shmring *ring = NULL;

    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(shmring_create(&options, &ring), -EFBIG);
    ck_assert_int_eq(files_in(rings.dir), 0);
    limit.rlim_cur = shmring_file_bytes(4, 64 << 10);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    struct shmring_writer *writer;
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    shmring_close(ring);
}

/* Without /proc there is no way to link an unnamed file: a temporary name does it. */
TEST(segment_is_created_without_proc)
{
    struct shmring_options options = options_of(rings.dir);
    struct shmring_writer *writer;
    struct shmring *ring;

    NEEDS(test_mounts_privately() && mount("none", "/proc", "tmpfs", 0, NULL) == 0, "root, to hide /proc");
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    ck_assert_int_eq(files_in(rings.dir), 1);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert(ring_write(writer, 0, 100));
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    ck_assert(shmring_reader_owner_alive(reader));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
    shmring_close(ring);
    ck_assert(!shmring_reader_owner_alive(reader));
    shmring_reader_close(reader);
    umount("/proc"); /* a leak checker at the end wants it */
}

TEST(without_proc_and_without_room_no_file_is_left)
{
    struct shmring_options options = options_of(rings.dir);
    struct shmring *ring;

    NEEDS(small_tmpfs(4 * SHMRING_PAGE) && mount("none", "/proc", "tmpfs", 0, NULL) == 0,
          "root, to mount and to hide /proc");
    int err = shmring_create(&options, &ring);
    umount("/proc");
    ck_assert_int_eq(err, -ENOSPC);
    ck_assert_int_eq(files_in(rings.dir), 0);
}

/* ---- slots ---- */

TEST(more_threads_than_slots_are_refused_and_counted)
{
    struct shmring *ring = ring_fixture_create(2, 4096, 0);
    struct shmring_writer *writers[3];
    struct shmring_totals totals;
    uint64_t dropped[SHMRING_DROP_REASONS];

    ck_assert_int_eq(shmring_attach(ring, &writers[0]), 0);
    ck_assert_int_eq(shmring_attach(ring, &writers[1]), 0);
    ck_assert_int_eq(shmring_attach(ring, &writers[2]), -ENFILE);
    shmring_count_drops(ring, SHMRING_DROP_NO_SLOT, 1);
    shmring_count_drops(ring, SHMRING_DROP_NO_SLOT, 1);
    shmring_writer_count_drop(writers[0], SHMRING_DROP_DISABLED);
    ck_assert(ring_write(writers[0], 0, 10));
    ck_assert(ring_write(writers[1], 0, 10));
    ck_assert(!ring_write(writers[1], 0, 2000));
    shmring_totals(ring, &totals);
    ck_assert_uint_eq(totals.begun, 3);
    ck_assert_uint_eq(totals.dropped[SHMRING_DROP_OVERSIZE], 1);
    ck_assert_uint_eq(totals.dropped[SHMRING_DROP_NO_SLOT], 2);
    ck_assert_uint_eq(totals.dropped[SHMRING_DROP_DISABLED], 1);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    shmring_reader_counters(reader, dropped);
    ck_assert_uint_eq(dropped[SHMRING_DROP_NO_SLOT], 2);
    shmring_reader_close(reader);
    shmring_close(ring);
}

TEST(next_owner_of_a_slot_appends)
{
    struct shmring *ring = ring_fixture_create(4, 8192, 0);
    struct shmring_writer *writer;
    struct shmring_producer *producer =
        (struct shmring_producer *)(ring_fixture_map(shmring_name(ring)) + shmring_producer_offset(0));
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    uint64_t seed = 0;

    for (uint32_t owner = 1; owner <= 50; owner++) {
        ck_assert_int_eq(shmring_attach(ring, &writer), 0);
        ck_assert_uint_eq(producer->epoch, owner);
        ck_assert_uint_eq(producer->state, SHMRING_SLOT_ACTIVE);
        for (int i = 0; i < 7; i++)
            ck_assert(ring_write(writer, seed++, owner * 5));
        if (owner % 2 == 0) {
            ck_assert_int_eq(ring_drain(reader, 0, 0), 14);
            ring_release(reader, 0);
        }
        if (owner % 3 == 0) /* died inside a write */
            ck_assert_ptr_nonnull(shmring_reserve(writer, 16, 7, 0));
        shmring_detach(ring, writer);
        ck_assert_uint_eq(producer->state, SHMRING_SLOT_RETIRED);
        ck_assert_uint_eq(producer->begun, seed);
    }
    ck_assert_uint_eq(shmring_reader_slots(reader), 1);
    shmring_reader_close(reader);
    shmring_close(ring);
}

static bool is_active(const struct shmring_counters *counters, uint32_t slot)
{
    return atomic_load(&counters->active[slot / 64]) >> slot % 64 & 1;
}

TEST(shared_page_tells_which_slots_have_an_owner_and_who)
{
    enum { FEW = 66 };
    static const uint32_t given_back[] = {0, 1, 63, 64};
    struct shmring *ring = ring_fixture_create(FEW, 4096, 0);
    const uint8_t *segment = ring_fixture_map(shmring_name(ring));
    const struct shmring_counters *counters = (const struct shmring_counters *)(segment + SHMRING_COUNTERS_OFFSET);
    struct shmring_writer *writers[FEW];

    for (uint32_t slot = 0; slot < FEW; slot++) {
        ck_assert(!is_active(counters, slot));
        ck_assert_int_eq(shmring_attach(ring, &writers[slot]), 0);
        ck_assert(is_active(counters, slot));
        const struct shmring_producer *producer =
            (const struct shmring_producer *)(segment + shmring_producer_offset(slot));
        ck_assert_uint_eq(producer->thread, (uint32_t)gettid());
    }
    ck_assert_uint_eq(counters->active[0], UINT64_MAX);
    ck_assert_uint_eq(counters->active[1], 3);
    for (size_t i = 0; i < COUNT(given_back); i++)
        shmring_detach(ring, writers[given_back[i]]);
    for (uint32_t slot = 0; slot < FEW; slot++)
        ck_assert_int_eq(is_active(counters, slot), slot != 0 && slot != 1 && slot != 63 && slot != 64);
    struct shmring_writer *writer;
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_ptr_eq(writer, writers[0]);
    ck_assert(is_active(counters, 0) && !is_active(counters, 1));
    shmring_close(ring);
}

TEST(slots_of_several_groups_work)
{
    struct shmring *ring = ring_fixture_create(20, 4096, 0);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    struct shmring_writer *writers[20];

    for (uint32_t slot = 0; slot < 20; slot++) {
        ck_assert_int_eq(shmring_attach(ring, &writers[slot]), 0);
        ck_assert_uint_eq(shmring_reader_slots(reader), slot + 1);
        ck_assert(ring_write(writers[slot], slot, 100));
    }
    for (uint32_t slot = 0; slot < 20; slot++) {
        ck_assert_int_eq(ring_drain(reader, slot, slot), 1);
        ring_release(reader, slot);
    }
    /* the one that retires is the one that is taken next */
    shmring_detach(ring, writers[13]);
    struct shmring_writer *writer;
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    ck_assert_ptr_eq(writer, writers[13]);
    shmring_reader_close(reader);
    shmring_close(ring);
}

TEST(relative_directory_survives_chdir)
{
    struct shmring_options options = options_of(".");
    struct shmring_writer *writer;
    struct shmring *ring;

    ck_assert_int_eq(chdir(rings.dir), 0);
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    shmring_close(ring);
}

TEST(handles_of_nothing_are_accepted)
{
    shmring_close(NULL);
    shmring_abandon(NULL);
    shmring_detach(NULL, NULL);
    shmring_reader_close(NULL);
    shmring_window_free(NULL);
}
