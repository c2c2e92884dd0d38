/* SPDX-License-Identifier: MIT
 *
 * Nothing in a segment is believed: damage costs the slot or the segment it is in, is named, and touches nothing else.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/ring_fixture.h"
#include "support/test.h"

enum { RING_BYTES = 4096 };

static struct shmring *ring;
static struct shmring_writer *writers[2];
static struct shmring_reader *reader;
static uint8_t *segment;
static uint8_t *data; /* of slot 0 */

static void setup(void)
{
    ring_fixture_init();
    ring = ring_fixture_create(3, RING_BYTES, 0);
    ck_assert_int_eq(shmring_attach(ring, &writers[0]), 0);
    ck_assert_int_eq(shmring_attach(ring, &writers[1]), 0);
    reader = ring_fixture_open(shmring_name(ring));
    segment = ring_fixture_map(shmring_name(ring));
    data = segment + shmring_data_offset(3);
}

static void teardown(void)
{
    shmring_reader_close(reader);
    shmring_close(ring);
    ring_fixture_done();
}

FIXTURE(setup, teardown);

static int open_again(void)
{
    struct shmring_reader *again = NULL;
    int err = shmring_reader_open(rings.dir_fd, shmring_name(ring), &again);

    shmring_reader_close(again);
    return err;
}

static void seal_header(void)
{
    struct shmring_header *header = (struct shmring_header *)segment;

    header->crc = shmring_crc32c(0, header, offsetof(struct shmring_header, crc));
}

/* ---- files ---- */

TEST(every_flipped_byte_of_the_header_is_refused)
{
    for (size_t at = 0; at < SHMRING_PAGE; at++) {
        segment[at] ^= 0x41;
        int err = open_again();
        segment[at] ^= 0x41;
        ck_assert_msg(err == -EBADMSG || err == -EPROTONOSUPPORT, "byte %zu: %d", at, err);
    }
    ck_assert_int_eq(open_again(), 0);
}

TEST(every_flipped_byte_of_the_resource_is_refused)
{
    for (size_t at = 0; at < 8; at++) {
        segment[SHMRING_RESOURCE_OFFSET + at] ^= 1;
        ck_assert_int_eq(open_again(), -EBADMSG);
        segment[SHMRING_RESOURCE_OFFSET + at] ^= 1;
    }
    ck_assert_int_eq(open_again(), 0);
}

#define FIELD(member, value, result)                                                                                   \
    {                                                                                                                  \
        offsetof(struct shmring_header, member), sizeof(((struct shmring_header *)0)->member), value, result           \
    }

/* With a right checksum: what the checks themselves say. */
static const struct {
    size_t offset, bytes;
    uint64_t value;
    int result;
} fields[] = {
    FIELD(magic, 0x676e697274736960, -EBADMSG),
    FIELD(abi_major, 2, -EPROTONOSUPPORT),
    FIELD(abi_minor, 7, 0),
    FIELD(compat_features, 1ull << 60, 0),
    FIELD(incompat_features, SHMRING_INCOMPAT_HOLES, 0),
    FIELD(incompat_features, 3, -EPROTONOSUPPORT),
    FIELD(clock, 1, -EPROTONOSUPPORT),
    FIELD(mode, 1, -EPROTONOSUPPORT),
    FIELD(header_bytes, 8192, -EBADMSG),
    FIELD(slot_count, 0, -EBADMSG),
    FIELD(slot_count, 4, -EBADMSG),
    FIELD(slot_count, UINT32_MAX, -EBADMSG),
    FIELD(slot_stride, 1024, -EBADMSG),
    FIELD(ring_bytes, 0, -EBADMSG),
    FIELD(ring_bytes, 8192, -EBADMSG),
    FIELD(ring_bytes, 6144, -EBADMSG),
    FIELD(ring_bytes, 1ull << 63, -EBADMSG),
    FIELD(first_position, 8, -EBADMSG),
    FIELD(data_offset, 0, -EBADMSG),
    FIELD(file_bytes, 1 << 20, -EBADMSG),
    FIELD(resource_bytes, SHMRING_RESOURCE_MAX + 1, -EBADMSG),
    FIELD(resource_bytes, 9, -EBADMSG),
    FIELD(resource_crc, 0, -EBADMSG),
    FIELD(instance, 0, -EBADMSG),
};

LOOP_TEST(each_field_of_the_header_is_checked, COUNT(fields))
{
    memcpy(segment + fields[_i].offset, &fields[_i].value, fields[_i].bytes < 8 ? fields[_i].bytes : 8);
    seal_header();
    ck_assert_int_eq(open_again(), fields[_i].result);
}

TEST(file_of_another_size_is_refused)
{
    const char *name = shmring_name(ring);
    int fd = openat(rings.dir_fd, name, O_RDWR);
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_int_eq(ftruncate(fd, st.st_size + SHMRING_PAGE), 0);
    ck_assert_int_eq(open_again(), -EBADMSG);
    ck_assert_int_eq(ftruncate(fd, st.st_size - SHMRING_PAGE), 0);
    ck_assert_int_eq(open_again(), -EBADMSG);
    ck_assert_int_eq(ftruncate(fd, SHMRING_PAGE), 0);
    ck_assert_int_eq(open_again(), -EBADMSG);
    close(fd);
}

TEST(what_is_no_segment_is_refused)
{
    struct shmring_reader *none = NULL;
    char name[64];

    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "missing.ring", &none), -ENOENT);
    ck_assert_int_eq(symlinkat(shmring_name(ring), rings.dir_fd, "link.ring"), 0);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "link.ring", &none), -EBADMSG);
    ck_assert_int_eq(mkfifoat(rings.dir_fd, "fifo.ring", 0600), 0);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "fifo.ring", &none), -EBADMSG);
    ck_assert_int_eq(mkdirat(rings.dir_fd, "dir.ring", 0700), 0);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "dir.ring", &none), -EBADMSG);
    unlinkat(rings.dir_fd, "dir.ring", AT_REMOVEDIR);
    snprintf(name, sizeof(name), "../%s", strrchr(rings.dir, '/') + 1);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, name, &none), -EBADMSG);
    ck_assert_int_eq(linkat(rings.dir_fd, shmring_name(ring), rings.dir_fd, "other.ring", 0), 0);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "other.ring", &none), -EBADMSG);
    ck_assert_ptr_null(none);
}

/* A file that another process has locked would be awaited, if it could be a segment. */
TEST(pipe_is_refused_though_it_is_locked)
{
    struct shmring_reader *none = NULL;

    ck_assert_int_eq(mkfifoat(rings.dir_fd, "fifo.ring", 0600), 0);
    int fifo = openat(rings.dir_fd, "fifo.ring", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(fifo, 0);
    ck_assert_int_eq(flock(fifo, LOCK_EX), 0);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "fifo.ring", &none), -EBADMSG);
    close(fifo);
}

/* As in a container whose filter is older than openat2, or whose kernel is. */
static bool refuse_openat2(int err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    ck_assert_ptr_nonnull(filter);
    ck_assert_int_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)err), SCMP_SYS(openat2), 0), 0);
    int loaded = seccomp_load(filter);
    seccomp_release(filter);
    return loaded == 0;
}

static const int refusals[] = {0, ENOSYS, EPERM}; /* of openat2; 0: it is allowed */

static int open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

LOOP_TEST(segment_is_opened_and_links_are_refused_without_openat2_too, COUNT(refusals))
{
    struct shmring_reader *opened = NULL, *none = NULL;
    char path[192];

    NEEDS(!refusals[_i] || refuse_openat2(refusals[_i]), "seccomp");
    int before = open_descriptors();
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, shmring_name(ring), &opened), 0);
    ck_assert_int_eq(open_descriptors(), before + 1);
    shmring_reader_close(opened);
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "missing.ring", &none), -ENOENT);
    ck_assert_int_eq(symlinkat(shmring_name(ring), rings.dir_fd, "link.ring"), 0);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "link.ring", &none), -EBADMSG);
    snprintf(path, sizeof(path), "../%s/%s", strrchr(rings.dir, '/') + 1, shmring_name(ring));
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, path, &none), -EBADMSG);
    ck_assert_int_eq(open_descriptors(), before);
    ck_assert_ptr_null(none);
}

/* A sound one: only its place is wrong. */
LOOP_TEST(segment_on_another_file_system_is_refused, COUNT(refusals))
{
    char dir[160], from[256], to[256];
    struct shmring_options options = {.dir = dir, .trusted_uid = (uid_t)-1, .slot_count = 1, .ring_bytes = RING_BYTES};
    struct shmring *other;
    struct shmring_reader *none = NULL, *sound;

    snprintf(dir, sizeof(dir), "%s/other", rings.dir);
    ck_assert_int_eq(mkdir(dir, 0700), 0);
    NEEDS(test_mounts_privately() && mount("check_shmring", dir, "tmpfs", 0, "size=1m,mode=0700") == 0,
          "root, to mount");
    ck_assert_int_eq(shmring_create(&options, &other), 0);
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(shmring_reader_open(dir_fd, shmring_name(other), &sound), 0);
    shmring_reader_close(sound);
    close(dir_fd);
    snprintf(from, sizeof(from), "%s/%s", dir, shmring_name(other));
    snprintf(to, sizeof(to), "%s/%s", rings.dir, shmring_name(other));
    close(open(to, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    ck_assert_int_eq(mount(from, to, NULL, MS_BIND, NULL), 0);
    NEEDS(!refusals[_i] || refuse_openat2(refusals[_i]), "seccomp");
    int before = open_descriptors();
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, shmring_name(other), &none), -EBADMSG);
    ck_assert_int_eq(open_descriptors(), before);
    umount2(to, MNT_DETACH);
    umount2(dir, MNT_DETACH);
    rmdir(dir);
    shmring_close(other);
}

TEST(unfinished_file_is_awaited_while_its_owner_lives)
{
    struct shmring_reader *none = NULL;
    int fd = openat(rings.dir_fd, "new.ring", O_CREAT | O_RDWR, 0600);

    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "new.ring", &none), -EAGAIN);
    ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "new.ring", &none), -EAGAIN);
    close(fd);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, "new.ring", &none), -EBADMSG);
}

/* ---- slots ---- */

static void expect_sound_neighbour(void)
{
    static uint64_t seed;

    ck_assert(ring_write(writers[1], seed, 40));
    ck_assert_int_eq(ring_drain(reader, 1, 0), 1);
    seed++;
    ring_release(reader, 1);
}

static void expect_quarantine(const char *problem, uint64_t position)
{
    const struct shmring_slot_status *status = shmring_reader_slot(reader, 0);
    struct shmring_ledger ledger = status->ledger;
    struct shmring_consumer before, *shared = (struct shmring_consumer *)(segment + shmring_consumer_offset(0));

    ck_assert_int_eq(status->health, SHMRING_SLOT_QUARANTINED);
    ck_assert_str_eq(status->problem, problem);
    ck_assert_uint_eq(status->problem_position, position);
    ck_assert_int_eq(shmring_reader_fill(reader, 0, rings.window), -EBADMSG);
    memcpy(&before, shared, sizeof(before));
    ledger.cpos = status->read;
    shmring_reader_commit(reader, 0, &ledger);
    ck_assert_mem_eq(&before, shared, sizeof(before));
    expect_sound_neighbour();
}

/* Three sound records of 80 bytes, the fourth damaged. */
enum { DAMAGED = 3 * 80 };

static void write_four(void)
{
    for (uint64_t seed = 0; seed < 4; seed++)
        ck_assert(ring_write(writers[0], seed, 40));
}

#define MEMBER(member, value, problem)                                                                                 \
    {                                                                                                                  \
        offsetof(struct shmring_record, member), sizeof(((struct shmring_record *)0)->member), value, problem          \
    }

static const struct {
    size_t offset, bytes;
    uint64_t value;
    const char *problem;
} members[] = {
    MEMBER(length, 0, "record has an impossible length"),
    MEMBER(length, 16, "record has an impossible length"),
    MEMBER(length, 88, "record has an impossible length"),
    MEMBER(length, RING_BYTES / 4 + 16, "record has an impossible length"),
    MEMBER(length, 0x7ffffff0, "record has an impossible length"),
    MEMBER(length, 96, "record is longer than what was written"),
    MEMBER(length, 64, "payload does not fill its record"),
    MEMBER(length, SHMRING_PAD | 80, "padding does not end at the ring's end"),
    MEMBER(length, SHMRING_PAD, "padding does not end at the ring's end"),
    MEMBER(length, SHMRING_PAD | (RING_BYTES - DAMAGED), "no record after padding"),
    MEMBER(length, UINT32_MAX, "padding does not end at the ring's end"),
    MEMBER(pos, 0, "record is of another position"),
    MEMBER(pos, DAMAGED + RING_BYTES, "record is of another position"),
    MEMBER(ordinal, 2, "record is out of order"),
    MEMBER(ordinal, 4, "record is out of order"),
    MEMBER(payload_bytes, 49, "payload does not fill its record"),
    MEMBER(payload_bytes, 32, "payload does not fill its record"),
    MEMBER(payload_bytes, UINT32_MAX, "payload does not fill its record"),
};

LOOP_TEST(damaged_record_quarantines_its_slot, COUNT(members))
{
    struct shmring_view view;

    write_four();
    memcpy(data + DAMAGED + members[_i].offset, &members[_i].value, members[_i].bytes);
    ck_assert_int_gt(shmring_reader_fill(reader, 0, rings.window), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(shmring_reader_next(rings.window, &view), 1);
    ck_assert_int_eq(shmring_reader_next(rings.window, &view), -EBADMSG);
    ck_assert_int_eq(shmring_reader_next(rings.window, &view), -EBADMSG);
    ck_assert_uint_eq(shmring_reader_slot(reader, 0)->read, DAMAGED);
    expect_quarantine(members[_i].problem, DAMAGED);
}

TEST(padding_of_another_position_quarantines_its_slot)
{
    struct shmring_record *padding;
    uint64_t seed = 0;

    while (seed < 50) {
        ck_assert(ring_write(writers[0], seed++, 40));
        ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
        ring_release(reader, 0);
    }
    ck_assert(ring_write(writers[0], seed++, 64)); /* begins at 4000: 96 bytes fit exactly */
    ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
    ring_release(reader, 0);
    while (seed < 101) {
        ck_assert(ring_write(writers[0], seed++, 40));
        ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
        ring_release(reader, 0);
    }
    ck_assert(ring_write(writers[0], seed++, 80)); /* 112 bytes do not fit into 96 */
    padding = (struct shmring_record *)(data + RING_BYTES - 96);
    ck_assert_uint_eq(padding->length, SHMRING_PAD | 96);
    padding->pos -= RING_BYTES;
    ck_assert_int_eq(ring_drain(reader, 0, 0), -EBADMSG);
    expect_quarantine("padding is of another position", 2 * RING_BYTES - 96);
}

TEST(record_across_the_rings_end_quarantines_its_slot)
{
    uint64_t seed = 0;

    while (seed < 50)
        ck_assert(ring_write(writers[0], seed++, 40));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 50);
    ring_release(reader, 0);
    ck_assert(ring_write(writers[0], seed++, 64));
    ck_assert(ring_write(writers[0], seed++, 64));
    struct shmring_record *record = (struct shmring_record *)(data + 4000);
    record->length += 16;
    record->payload_bytes += 16;
    ck_assert_int_eq(ring_drain(reader, 0, 0), -EBADMSG);
    expect_quarantine("record is longer than what was written", 4000);
}

static const struct {
    uint64_t wpos;
    const char *problem;
} ends[] = {
    {4 * 80 + 8, "write position is not aligned"},
    {3 * 80, "write position went backwards"},
    {0, "write position went backwards"},
    {RING_BYTES + 16, "write position is more than a ring ahead"},
    {1ull << 63, "write position is more than a ring ahead"},
    {(uint64_t)-16, "write position is more than a ring ahead"},
};

LOOP_TEST(impossible_write_position_quarantines_its_slot, COUNT(ends))
{
    struct shmring_producer *producer = (struct shmring_producer *)(segment + shmring_producer_offset(0));

    write_four();
    ck_assert_int_eq(ring_drain(reader, 0, 0), 4);
    atomic_store(&producer->wpos, ends[_i].wpos);
    ck_assert_int_eq(shmring_reader_fill(reader, 0, rings.window), -EBADMSG);
    expect_quarantine(ends[_i].problem, ends[_i].wpos);
}

TEST(write_position_ahead_of_any_record_quarantines_its_slot)
{
    struct shmring_producer *producer = (struct shmring_producer *)(segment + shmring_producer_offset(0));

    write_four();
    atomic_store(&producer->wpos, 4 * 80 + 16);
    ck_assert_int_eq(ring_drain(reader, 0, 0), -EBADMSG);
    expect_quarantine("record is longer than what was written", 4 * 80);
}

/* A slot that no thread ever took, in a group that has its pages: nothing is in it, and nothing is taken for it. */
LOOP_TEST(slots_claimed_but_not_allocated_stay_unread, 2)
{
    struct shmring_counters *counters = (struct shmring_counters *)(segment + SHMRING_COUNTERS_OFFSET);
    struct stat before, after;

    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(ring), &before, 0), 0);
    if (_i == 1)
        atomic_store(&((struct shmring_producer *)(segment + shmring_producer_offset(2)))->wpos, 80);
    atomic_store(&counters->slots_used, 3);
    ck_assert_uint_eq(shmring_reader_slots(reader), 3);
    if (_i == 1)
        ck_assert_str_eq(shmring_reader_slot(reader, 2)->problem, "unread records are not allocated");
    else
        ck_assert_int_eq(shmring_reader_slot(reader, 2)->health, SHMRING_SLOT_SOUND);
    ck_assert_int_eq(ring_drain(reader, 2, 0), _i == 1 ? -EBADMSG : 0);
    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(ring), &after, 0), 0);
    ck_assert_int_eq(before.st_blocks, after.st_blocks);
    atomic_store(&counters->slots_used, UINT32_MAX);
    ck_assert_uint_eq(shmring_reader_slots(reader), 3);
    atomic_store(&counters->slots_used, 0);
    ck_assert_uint_eq(shmring_reader_slots(reader), 3);
    expect_sound_neighbour();
}

TEST(slots_of_a_group_that_is_not_allocated_are_not_looked_at)
{
    struct shmring *wide = ring_fixture_create(2 * SHMRING_GROUP_SLOTS, RING_BYTES, 0);
    struct shmring_writer *writer;
    struct stat before, after;

    ck_assert_int_eq(shmring_attach(wide, &writer), 0);
    uint8_t *base = ring_fixture_map(shmring_name(wide));
    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(wide), &before, 0), 0);
    atomic_store(&((struct shmring_counters *)(base + SHMRING_COUNTERS_OFFSET))->slots_used, SHMRING_GROUP_SLOTS + 1);
    struct shmring_reader *other = ring_fixture_open(shmring_name(wide));
    ck_assert_str_eq(shmring_reader_slot(other, SHMRING_GROUP_SLOTS)->problem, "slot is in use but not allocated");
    ck_assert_int_eq(shmring_reader_slot(other, SHMRING_GROUP_SLOTS - 1)->health, SHMRING_SLOT_SOUND);
    ck_assert_int_eq(fstatat(rings.dir_fd, shmring_name(wide), &after, 0), 0);
    ck_assert_int_eq(before.st_blocks, after.st_blocks);
    shmring_reader_close(other);
    shmring_close(wide);
}

TEST(quarantined_segment_is_left_alone)
{
    static uint8_t before[1 << 16];
    struct shmring_producer_status status;
    uint64_t dropped[SHMRING_DROP_REASONS];
    struct shmring_ledger ledger = {.cpos = 80};

    write_four();
    ck_assert_int_gt(shmring_reader_fill(reader, 0, rings.window), 0);
    shmring_reader_quarantine(reader, "file was truncated");
    shmring_reader_quarantine(reader, "something else"); /* the first is what it was */
    ck_assert_str_eq(shmring_reader_problem(reader), "file was truncated");
    struct shmring_view view;
    ck_assert_int_eq(shmring_reader_next(rings.window, &view), -EBADMSG);
    size_t bytes = shmring_file_bytes(3, RING_BYTES);
    ck_assert_uint_le(bytes, sizeof(before));
    memcpy(before, segment, bytes);
    shmring_reader_publish(reader, 3, 4);
    shmring_reader_commit(reader, 0, &ledger);
    shmring_reader_producer(reader, 0, &status);
    shmring_reader_counters(reader, dropped);
    ck_assert_uint_eq(shmring_reader_slots(reader), 2);
    ck_assert_int_eq(shmring_reader_fill(reader, 1, rings.window), -EBADMSG);
    ck_assert_int_eq(shmring_reader_fill(reader, 2, rings.window), -EBADMSG);
    ck_assert_str_eq(shmring_reader_slot(reader, 1)->problem, "file was truncated");
    ck_assert_mem_eq(before, segment, bytes);
}

/* ---- forgery ---- */

LOOP_TEST(ledger_changed_by_another_is_found_out_and_left_alone, 3)
{
    struct shmring_consumer before, *shared = (struct shmring_consumer *)(segment + shmring_consumer_offset(0));

    write_four();
    ck_assert_int_eq(ring_drain(reader, 0, 0), 4);
    if (_i == 0)
        shared->ledger[0].counts.exported = 1000000;
    else if (_i == 1)
        atomic_store(&shared->selector, 1);
    else
        atomic_store(&shared->cpos_pub, 80);
    memcpy(&before, shared, sizeof(before));
    ring_release(reader, 0);
    ck_assert_mem_eq(&before, shared, sizeof(before));
    ck_assert_uint_eq(shmring_reader_slot(reader, 0)->ledger.counts.exported, 4); /* what is true is known */
    expect_quarantine("ledger was changed by another", 0);
}

/* Random damage anywhere: whatever happens, it ends, and what is handed out lies within the window. */
LOOP_TEST(random_damage_never_escapes, 5)
{
    uint64_t random = 88172645463325252ull + (uint64_t)_i * 977;
    uint64_t base = shmring_data_offset(3);

    for (int round = 0; round < 300; round++) {
        struct shmring_reader *victim;
        for (int i = 0; i < 20; i++)
            ring_write(writers[0], (uint64_t)i, (uint32_t)i * 13);
        for (int i = 0; i < 4; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            uint64_t where =
                random % 3 == 0 ? shmring_producer_offset(0) + random % 1024 * 4 : base + random % RING_BYTES;
            segment[where & ~7ull] = (uint8_t)(random >> 40);
        }
        ck_assert_int_eq(shmring_reader_open(rings.dir_fd, shmring_name(ring), &victim), 0);
        ck_assert_uint_lt(ring_read_all(victim, RING_BYTES), UINT64_MAX);
        shmring_reader_close(victim);
    }
}
