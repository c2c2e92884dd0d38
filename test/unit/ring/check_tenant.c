/* SPDX-License-Identifier: MIT
 *
 * Many users, one daemon: whoever floods the ring directory, truncates his rings or forges his figures is in nobody
 * else's way.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ring/tenant.h"
#include "support/source_fixture.h"
#include "support/test.h"

SOURCE_FIXTURE_PLAYS_EXPORTER

enum {
    STRANGER = 4711,
    ANOTHER = 4712,
    FLOOD = 30,
    FEW_DESCRIPTORS = 80,
    SHARE = FEW_DESCRIPTORS / 4,
    PATH_BYTES = 400
};

static struct source_fixture *const f = &source_fixture;
static struct shmring *rings[FLOOD];

static void setup(void)
{
    ck_assert_int_eq(shmring_guard_install(), 0);
    source_fixture_init();
}

FIXTURE(setup, source_fixture_done);

#define NEEDS_ROOT() NEEDS(geteuid() == 0, "root, to give files away")

static int open_file(const char *name, int flags)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void give(const char *name, uid_t uid)
{
    int fd = open_file(name, O_RDWR);
    ck_assert_int_eq(fchown(fd, uid, uid), 0);
    close(fd);
}

static void truncate_file(const char *name)
{
    int fd = open_file(name, O_RDWR);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    close(fd);
}

static struct shmring *create(uid_t uid, uint32_t slots, uint64_t ring_bytes)
{
    struct shmring *ring;
    struct shmring_options options = {
        .dir = f->dir, .trusted_uid = (uid_t)-1, .slot_count = slots, .ring_bytes = ring_bytes};
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    give(shmring_name(ring), uid);
    return ring;
}

/* A segment of that user; what is written next goes there. */
static struct shmring *start_user(uid_t uid)
{
    struct shmring *ring = create(uid, 4, SOURCE_RING_BYTES);
    ck_assert_int_eq(shmring_attach(ring, &f->writer), 0);
    return ring;
}

static void start_flood(uid_t uid)
{
    for (size_t i = 0; i < FLOOD; i++)
        rings[i] = start_user(uid);
}

static void end_flood(void)
{
    for (size_t i = 0; i < FLOOD; i++)
        shmring_close(rings[i]);
}

static void make_junk(unsigned from, unsigned to, uid_t uid)
{
    for (unsigned i = from; i < to; i++) {
        char name[64];
        snprintf(name, sizeof(name), "junk%u%s", i, SHMRING_SUFFIX);
        close(open_file(name, O_CREAT | O_RDWR));
        if (uid != geteuid())
            give(name, uid);
    }
}

static void leave_few_places(void)
{
    struct rlimit few = {.rlim_cur = FEW_DESCRIPTORS, .rlim_max = FEW_DESCRIPTORS};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static bool exported(uint64_t spans)
{
    source_fixture_finish_all();
    return source_fixture_snapshot().outcome.exported == spans;
}

/* ---- caps ---- */

TEST(flood_of_segments_leaves_places_to_other_users)
{
    NEEDS_ROOT();
    start_flood(STRANGER);
    source_fixture_write_spans(1, AISTRACE_SAMPLED); /* to one of them */
    shmring_close(f->ring);
    f->ring = start_user(ANOTHER);
    source_fixture_write_spans(3, AISTRACE_SAMPLED);
    leave_few_places();
    source_fixture_start();
    source_fixture_run_until(f->stats.segments_waiting == FLOOD - SHARE);
    source_fixture_run_until(source_fixture_snapshot().segments == SHARE + 1);
    end_flood();
    source_fixture_run_until(exported(4));
    source_fixture_run_until(source_fixture_segment_files() == 1);
    source_fixture_run_until(f->stats.segments_waiting == 0);
}

TEST(files_that_are_no_segments_count_against_their_user)
{
    NEEDS_ROOT();
    make_junk(0, FLOOD, STRANGER);
    leave_few_places();
    source_fixture_start();
    source_fixture_run_until(f->stats.segments_waiting > 0);
    uint64_t skipped = f->stats.segments_skipped;
    ck_assert_uint_lt(skipped, FLOOD);
    source_fixture_write_spans(1, AISTRACE_SAMPLED);
    source_fixture_run_until(exported(1));
    shmring_close(f->ring);
    f->ring = start_user(STRANGER);
    source_fixture_write_spans(1, AISTRACE_SAMPLED);
    source_fixture_run_for_a_tick(); /* a scan begins */
    source_fixture_run_for_a_tick();
    ck_assert_uint_eq(f->stats.segments_skipped, skipped);
    ck_assert(exported(1));
    for (unsigned i = 0; i < FLOOD; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/junk%u%s", f->dir, i, SHMRING_SUFFIX);
        ck_assert_int_eq(unlink(path), 0);
    }
    source_fixture_run_until(exported(2));
}

/* Segments of that shape, of which so many are attached. */
static const struct {
    uint32_t slots;
    uint64_t ring_bytes;
    unsigned made;
    unsigned attached;
} shapes[] = {
    {SHMRING_SLOTS_MAX, SHMRING_RING_MIN, TENANT_SLOTS_MAX / SHMRING_SLOTS_MAX + 2,
     TENANT_SLOTS_MAX / SHMRING_SLOTS_MAX},
    {SHMRING_SLOTS_MAX, SHMRING_RING_MAX, 2, 0},
    {100, SHMRING_RING_MAX, 4, 2},
    {4, SHMRING_RING_MIN, 40, 40},
};

LOOP_TEST(slots_and_bytes_of_a_user_are_bounded, COUNT(shapes))
{
    struct shmring *made[TENANT_SLOTS_MAX / SHMRING_SLOTS_MAX + 2];
    NEEDS_ROOT();
    for (unsigned i = 0; i < shapes[_i].made; i++) {
        made[i] = create(STRANGER, shapes[_i].slots, shapes[_i].ring_bytes);
        shmring_count_drops(made[i], SHMRING_DROP_NO_SLOT, 1); /* else it would be gone when it is closed */
    }
    source_fixture_start();
    source_fixture_run_until(source_fixture_snapshot().segments == shapes[_i].attached + 1);
    source_fixture_run_until(f->stats.segments_waiting == shapes[_i].made - shapes[_i].attached);
    for (unsigned i = 0; i < shapes[_i].made; i++)
        shmring_close(made[i]);
    unsigned never = shapes[_i].attached == 0 ? shapes[_i].made : 0;
    source_fixture_run_until(source_fixture_segment_files() == never + 1);
}

TEST(more_users_than_accounts_wait)
{
    struct shmring *made[TENANTS_MAX + 1];
    NEEDS_ROOT();
    for (unsigned i = 0; i <= TENANTS_MAX; i++)
        made[i] = create(STRANGER + i, 1, SHMRING_RING_MIN);
    source_fixture_start();
    source_fixture_run_until(f->stats.segments_waiting > 0);
    ck_assert_uint_eq(source_fixture_snapshot().segments + f->stats.segments_waiting, TENANTS_MAX + 2);
    for (unsigned i = 0; i <= TENANTS_MAX; i++)
        shmring_close(made[i]);
    source_fixture_run_until(source_fixture_segment_files() == 1);
}

TEST(loop_gets_its_turn_in_a_full_directory)
{
    make_junk(0, 2000, geteuid());
    source_fixture_start();
    ck_assert_uint_lt(f->stats.segments_skipped, 1000);
    source_fixture_run_until(f->stats.segments_skipped == 2000);
    source_fixture_write_spans(1, AISTRACE_SAMPLED);
    source_fixture_run_until(exported(1));
}

/* ---- a directory that several users share ---- */

enum { DAEMON = 4713, SPANS = 3 };

/* Owned by the daemon, mode 3770, and its default ACL gives the daemon alone read and write. */
static bool share_directory(void)
{
    const struct {
        uint32_t version;
        struct {
            uint16_t tag, permissions;
            uint32_t id;
        } entries[5];
    } acl = {2, {{1, 7, ~0u}, {2, 6, DAEMON}, {4, 0, ~0u}, {0x10, 7, ~0u}, {0x20, 0, ~0u}}};
    ck_assert_int_eq(chown(f->dir, DAEMON, DAEMON), 0);
    ck_assert_int_eq(chmod(f->dir, 03770), 0);
    return setxattr(f->dir, "system.posix_acl_default", &acl, sizeof(acl), 0) == 0;
}

static const char *become_producer(uid_t uid)
{
    static const gid_t group = DAEMON;
    umask(022);
    return setgroups(1, &group) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0 ? NULL
                                                                                                       : "setuid";
}

/* In a process of that user -> NULL, or what went wrong. */
static const char *produce(uid_t uid, const char *neighbour)
{
    struct shmring_options options = {
        .dir = f->dir, .trusted_uid = (uid_t)-1, .slot_count = 4, .ring_bytes = SOURCE_RING_BYTES};
    struct shmring *ring;
    const char *problem = become_producer(uid);
    if (problem)
        return problem;
    if (shmring_create(&options, &ring) != -EPERM)
        return "a directory of nobody it knows is trusted";
    options.trusted_uid = DAEMON;
    if (shmring_create(&options, &ring) != 0 || shmring_attach(ring, &f->writer) != 0)
        return "no segment";
    for (int i = 0; i < SPANS; i++)
        if (!source_fixture_write("name", AISTRACE_SAMPLED))
            return "span dropped";
    if (neighbour && (open(neighbour, O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES))
        return "the neighbour's segment can be read";
    if (neighbour && (unlink(neighbour) == 0 || errno != EPERM))
        return "the neighbour's segment can be removed";
    return NULL;
}

static void run_producer(uid_t uid, const char *neighbour)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        const char *problem = produce(uid, neighbour);
        if (problem)
            fprintf(stderr, "user %u: %s\n", (unsigned)uid, problem);
        _exit(!!problem);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

static void find_segment(char path[PATH_BYTES])
{
    DIR *d = opendir(f->dir);
    for (struct dirent *entry; (entry = readdir(d));)
        if (strstr(entry->d_name, SHMRING_SUFFIX))
            snprintf(path, PATH_BYTES, "%s/%s", f->dir, entry->d_name);
    closedir(d);
}

TEST(several_users_share_a_directory_of_the_daemon)
{
    char path[PATH_BYTES] = "";
    NEEDS_ROOT();
    NEEDS(share_directory(), "ACLs on /dev/shm");
    source_fixture_close_producer(); /* nothing was written: the segment is gone */
    run_producer(STRANGER, NULL);
    find_segment(path);
    run_producer(ANOTHER, path);
    ck_assert_int_eq(seteuid(DAEMON), 0);
    source_fixture_start();
    source_fixture_run_until(exported(2 * SPANS));
    source_fixture_run_until(source_fixture_segment_files() == 0);
    ck_assert_uint_eq(f->stats.segments_quarantined + f->stats.segments_skipped, 0);
    ck_assert_int_eq(seteuid(0), 0);
}

/* ---- turns ---- */

static bool holds(const struct batch *batch, const char name[4])
{
    size_t count;
    const struct iovec *parts = batch_parts(batch, &count);
    for (size_t i = 0; i < count; i++)
        if (memmem(parts[i].iov_base, parts[i].iov_len, name, 4))
            return true;
    return false;
}

TEST(full_rings_of_one_user_do_not_keep_others_waiting)
{
    static const struct batch_outcome sent = {.exported = true};
    unsigned before = 0;
    NEEDS_ROOT();
    start_flood(STRANGER);
    for (size_t i = 0; i < FLOOD; i++) {
        shmring_close(rings[i]);
        rings[i] = start_user(STRANGER);
        while (source_fixture_write("name", AISTRACE_SAMPLED))
            continue;
    }
    shmring_close(f->ring);
    f->room = 1;
    f->ring = start_user(ANOTHER);
    ck_assert(source_fixture_write("mine", AISTRACE_SAMPLED));
    source_fixture_start();
    source_fixture_run_until(f->held_count > 0);
    for (; before < 1000 && !holds(f->held[0], "mine"); before++) {
        source_fixture_finish(0, &sent);
        source_fixture_run_until(f->held_count > 0);
    }
    ck_assert_uint_lt(before, 10);
    end_flood();
}

/* ---- hostile memory ---- */

LOOP_TEST(truncated_segment_costs_nothing_else, 2)
{
    bool foreign = _i == 1;
    if (foreign)
        NEEDS_ROOT();
    struct shmring *victim = start_user(foreign ? STRANGER : geteuid());
    source_fixture_start();
    source_fixture_write_spans(5, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 1);
    truncate_file(shmring_name(victim));
    source_fixture_finish_all(); /* its claims are to be committed to a file that is gone */
    source_fixture_run_until(f->stats.segments_quarantined == 1);
    ck_assert(exported(5));
    ck_assert_int_eq(shmring_attach(f->ring, &f->writer), 0);
    source_fixture_write_spans(2, AISTRACE_SAMPLED);
    source_fixture_run_until(exported(7));
    shmring_close(victim);
    source_fixture_run_until(source_fixture_segment_files() == 1);
    ck_assert_uint_eq(f->stats.segments_quarantined, 1);
    ck_assert(exported(7));
}

TEST(batch_in_flight_outlives_its_quarantined_segment)
{
    struct shmring *victim = start_user(geteuid());
    source_fixture_start();
    source_fixture_write_spans(5, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 1);
    truncate_file(shmring_name(victim));
    shmring_close(victim);
    source_fixture_run_until(source_fixture_segment_files() == 1);
    ck_assert_uint_eq(f->held_count, 1);
    ck_assert(exported(5));
}

TEST(truncated_segment_without_slots_is_counted)
{
    struct shmring *victim = create(geteuid(), 4, SOURCE_RING_BYTES);
    source_fixture_start();
    source_fixture_run_until(source_fixture_snapshot().segments == 2);
    truncate_file(shmring_name(victim));
    source_fixture_run_until(f->stats.segments_quarantined == 1);
    shmring_close(victim);
    source_fixture_run_until(source_fixture_segment_files() == 1);
    ck_assert_uint_eq(f->stats.segments_quarantined, 1);
}

static uint8_t *map(const struct shmring *ring)
{
    int fd = open_file(shmring_name(ring), O_RDWR);
    void *base = mmap(NULL, shmring_data_offset(4), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    close(fd);
    return base;
}

LOOP_TEST(figures_that_cannot_be_true_are_kept_out_of_the_totals, 2)
{
    struct shmring *forger = start_user(geteuid());
    struct shmring_producer *producer = (struct shmring_producer *)(map(forger) + shmring_producer_offset(0));
    source_fixture_start();
    source_fixture_write_spans(5, AISTRACE_SAMPLED);
    source_fixture_run_until(exported(5));
    atomic_store(&producer->dropped[SHMRING_DROP_RING_FULL], 1ull << 40);
    if (_i == 1)
        shmring_close(forger); /* when the segment is removed at the latest */
    source_fixture_run_until(f->stats.segments_quarantined == 1);
    if (_i == 0)
        shmring_close(forger);
    source_fixture_run_until(source_fixture_segment_files() == 1);
    struct stats_snapshot now = source_fixture_snapshot();
    ck_assert_uint_eq(now.producer_dropped[SHMRING_DROP_RING_FULL], 0);
    ck_assert_uint_eq(now.outcome.exported, 5);
    ck_assert_uint_eq(now.producer_dropped[PRODUCER_INTERRUPTED], 0);
}

TEST(counters_of_producers_do_not_turn_a_total_around)
{
    struct shmring *forgers[2];
    for (size_t i = 0; i < 2; i++) {
        forgers[i] = start_user(geteuid());
        struct shmring_producer *producer = (struct shmring_producer *)(map(forgers[i]) + shmring_producer_offset(0));
        atomic_store(&producer->dropped[SHMRING_DROP_NESTED], UINT64_MAX - 1);
    }
    source_fixture_start();
    source_fixture_run_until(source_fixture_snapshot().segments == 3);
    ck_assert_uint_eq(source_fixture_snapshot().producer_dropped[SHMRING_DROP_NESTED], UINT64_MAX);
    for (size_t i = 0; i < 2; i++)
        shmring_close(forgers[i]);
}
