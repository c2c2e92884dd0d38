/* SPDX-License-Identifier: MIT
 *
 * How much memory the segments of a directory may take, on file systems of known sizes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "room.h"
#include "shmring.h"
#include "support/directory.h"
#include "support/test.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

static char dir[TEST_DIRECTORY_BYTES];

static void set_up(void)
{
    test_directory(dir, "room");
}

static void tear_down(void)
{
    umount2(dir, MNT_DETACH);
    rmdir(dir);
}

FIXTURE(set_up, tear_down);

static bool mount_tmpfs(const char *size)
{
    return test_mounts_privately() && mount("check_room", dir, "tmpfs", 0, size) == 0;
}
#define NEEDS_TMPFS(size) NEEDS(mount_tmpfs(size), "root, to mount")

static void put(const char *name, off_t bytes)
{
    char path[TEST_DIRECTORY_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(posix_fallocate(fd, 0, bytes), 0);
    close(fd);
}

/* In the place of what the real control groups leave. */
static uint64_t memory_left = UINT64_MAX;

uint64_t shmring_memory_left(uint64_t enough)
{
    (void)enough;
    return memory_left;
}

static struct shmring__left look(uint64_t enough)
{
    struct shmring__left left;
    ck_assert_int_eq(shmring__room_look(dir, enough, &left), 0);
    return left;
}

TEST(segments_have_a_quarter_and_a_sixteenth_stays_free)
{
    NEEDS_TMPFS("size=16m");
    ck_assert_int_eq(look(MIB).share, 4 * MIB);
    ck_assert_int_eq(look(MIB).free, 15 * MIB);
    put("a.ring", MIB);
    put(".draft.ring", MIB);
    ck_assert_int_eq(look(MIB).share, 2 * MIB);
    ck_assert_int_eq(look(MIB).free, 13 * MIB);
    put("other", 2 * MIB);
    put("ring", 2 * MIB);
    put(".ring", 2 * MIB); /* no name before the suffix */
    ck_assert_int_eq(look(MIB).share, 2 * MIB);
    ck_assert_int_eq(look(MIB).free, 7 * MIB);
    put("b.ring", 3 * MIB); /* of somebody who does not ask */
    ck_assert_int_eq(look(MIB).share, -MIB);
    ck_assert_int_eq(look(MIB).free, 4 * MIB);
    put("more", 5 * MIB - 512 * KIB);
    ck_assert_int_eq(look(MIB).free, -512 * KIB);
}

/* Rings are no more than everything on the file system: as long as that answers, nobody reads the directory. */
TEST(the_directory_is_read_only_when_the_file_system_does_not_answer)
{
    NEEDS_TMPFS("size=16m");
    put("other", 1 * MIB);
    ck_assert_int_eq(look(3 * MIB).share, 3 * MIB);
    ck_assert_int_eq(look(3 * MIB + 1).share, 4 * MIB);
}

TEST(a_tmpfs_without_a_size_counts_as_half_of_the_memory)
{
    struct sysinfo machine;
    NEEDS_TMPFS("size=0");
    ck_assert_int_eq(sysinfo(&machine), 0);
    int64_t share = (int64_t)((uint64_t)machine.totalram * machine.mem_unit / 2 / SHMRING_ROOM_SHARE);
    ck_assert_int_eq(look(MIB).share, share);
    ck_assert_int_eq(look(MIB).free, INT64_MAX);
    put("a.ring", MIB);
    ck_assert_int_eq(look(MIB).share, share - MIB);
}

TEST(a_directory_that_is_not_there_is_an_error)
{
    struct shmring__left left;
    ck_assert_int_eq(rmdir(dir), 0);
    ck_assert_int_eq(shmring__room_look(dir, MIB, &left), -ENOENT);
}

TEST(what_lacks_is_told_apart)
{
    struct shmring__left left = {.share = 20, .free = 30, .memory = 10};
    ck_assert_int_eq(shmring__room_for(&left, 10), 0);
    ck_assert_int_eq(shmring__room_for(&left, 11), -ENOMEM);
    ck_assert_int_eq(shmring__room_for(&left, 20), -ENOMEM);
    ck_assert_int_eq(shmring__room_for(&left, 21), -EDQUOT);
    ck_assert_int_eq(shmring__room_for(&left, 31), -ENOSPC);
    left.share = 0;
    ck_assert_int_eq(shmring__room_for(&left, 0), 0);
    left.share = -1;
    ck_assert_int_eq(shmring__room_for(&left, 0), -EDQUOT);
    left.free = -1;
    ck_assert_int_eq(shmring__room_for(&left, 0), -ENOSPC);
}

/* ---- a segment's account ---- */

static struct shmring__room account(void)
{
    struct stat st;
    ck_assert_int_eq(stat(dir, &st), 0);
    return (struct shmring__room){.dir = dir, .dev = st.st_dev, .most = 3 * MIB, .memory = UINT64_MAX};
}

/* As a slot does whose pages are there at once. */
static int take(struct shmring__room *room, uint64_t bytes)
{
    int err = shmring__room_take(room, bytes);
    return err ? err : shmring__room_end(room, bytes, 0);
}

TEST(what_others_have_taken_since_counts)
{
    NEEDS_TMPFS("size=16m");
    struct shmring__room room = account();
    ck_assert_int_eq(take(&room, 4 * MIB), 0); /* more than was left once: it has become more */
    put("a.ring", 4 * MIB - 64 * KIB);
    ck_assert_int_eq(take(&room, 64 * KIB), 0);
    ck_assert_int_eq(take(&room, 64 * KIB + 1), -EDQUOT);
    ck_assert_uint_eq(room.held, 4 * MIB + 64 * KIB);
    shmring__room_give(&room, 4 * MIB);
    ck_assert_uint_eq(room.held, 64 * KIB);
    put("other", 11 * MIB + 32 * KIB);
    ck_assert_int_eq(take(&room, 64 * KIB), -ENOSPC);
    ck_assert_int_eq(take(&room, 32 * KIB), 0);
}

/* chroot, setuid, RemoveIPC: the directory is gone, or another is in its place. */
LOOP_TEST(a_segment_that_sees_nothing_keeps_to_what_was_left, 2)
{
    NEEDS_TMPFS("size=16m");
    struct shmring__room room = account();
    static char other[][16] = {"/nowhere/rings", "/"};
    room.dir = other[_i];
    ck_assert_int_eq(take(&room, 2 * MIB), 0);
    ck_assert_int_eq(take(&room, MIB + 1), -EDQUOT);
    ck_assert_int_eq(take(&room, MIB), 0);
    ck_assert_int_eq(take(&room, 1), -EDQUOT);
    shmring__room_give(&room, MIB);
    ck_assert_int_eq(take(&room, 1), 0);
}

/* Of what is left now the segment may hold a quarter, too, whatever was left when it was created. */
TEST(a_control_groups_limit_bounds_the_segment_too)
{
    NEEDS_TMPFS("size=32m");
    struct shmring__room room = account();
    room.memory = MIB;
    memory_left = 4 * MIB;
    ck_assert_int_eq(take(&room, MIB), 0);
    memory_left = 3 * MIB; /* the segment has the rest */
    ck_assert_int_eq(take(&room, KIB), -ENOMEM);
    memory_left = 7 * MIB; /* others have given something back */
    ck_assert_int_eq(take(&room, MIB + 1), -ENOMEM);
    ck_assert_int_eq(take(&room, MIB), 0);
    memory_left = 6 * MIB;
    ck_assert_int_eq(take(&room, KIB), -ENOMEM);
    memory_left = KIB;
    ck_assert_int_eq(take(&room, KIB), -ENOMEM);
}

/* ---- many at once ---- */

/* Threads of a process: what one may still populate is not there for another. */
TEST(what_is_coming_counts)
{
    NEEDS_TMPFS("size=16m");
    struct shmring__room room = account();
    ck_assert_int_eq(shmring__room_take(&room, 3 * MIB), 0);
    ck_assert_int_eq(shmring__room_take(&room, MIB + 1), -EDQUOT);
    ck_assert_int_eq(shmring__room_take(&room, MIB), 0);
    ck_assert_int_eq(shmring__room_end(&room, MIB, -ENOSPC), -ENOSPC); /* could not be had */
    ck_assert_uint_eq(room.held, 3 * MIB);
    ck_assert_int_eq(shmring__room_take(&room, MIB), 0);
    put("a.ring", 3 * MIB);
    ck_assert_int_eq(shmring__room_end(&room, 3 * MIB, 0), 0);
    put("b.ring", MIB);
    ck_assert_int_eq(shmring__room_end(&room, MIB, 0), 0);
    ck_assert_uint_eq(room.held, 4 * MIB);
    ck_assert_uint_eq(room.coming, 0);
}

/* Processes know nothing of each other: who finds that there is too much gives the own part back. */
LOOP_TEST(what_others_have_taken_meanwhile_is_given_back, 3)
{
    static const struct {
        const char *name;
        off_t bytes;
        int err;
    } others[] = {
        {"b.ring", 2 * MIB, 0}, {"b.ring", 2 * MIB + 4 * KIB, -EDQUOT}, {"other", 13 * MIB + 4 * KIB, -ENOSPC}};
    NEEDS_TMPFS("size=16m");
    struct shmring__room room = account();
    ck_assert_int_eq(shmring__room_take(&room, 2 * MIB), 0);
    put(others[_i].name, others[_i].bytes);
    put("a.ring", 2 * MIB);
    ck_assert_int_eq(shmring__room_end(&room, 2 * MIB, 0), others[_i].err);
    ck_assert_uint_eq(room.coming, 0);
    ck_assert_uint_eq(room.held, others[_i].err ? 0 : 2 * MIB);
}
