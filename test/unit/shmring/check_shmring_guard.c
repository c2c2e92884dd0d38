/* SPDX-License-Identifier: MIT
 *
 * A segment's file can be truncated and scribbled over while it is read, and can belong to anybody: it costs that
 * segment, and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reader.h"
#include "support/ring_fixture.h"
#include "support/test.h"

enum { RING_BYTES = 8192, STRANGER = 4711, RECORDS = 4, RECORD_BYTES = 80 };

static struct shmring *ring, *neighbour;
static struct shmring_writer *writer, *neighbour_writer;
static struct shmring_reader *reader, *neighbour_reader;
static int fd;

static struct shmring *start(struct shmring_writer **out)
{
    struct shmring *started = ring_fixture_create(3, RING_BYTES, 0);

    ck_assert_int_eq(shmring_attach(started, out), 0);
    for (uint64_t seed = 0; seed < RECORDS; seed++)
        ck_assert(ring_write(*out, seed, 40));
    return started;
}

/* What a sanitizer has installed before is not wanted here. */
static void only_the_guard(void)
{
    struct sigaction none = {.sa_handler = SIG_DFL};

    ck_assert_int_eq(sigaction(SIGBUS, &none, NULL), 0);
    ck_assert_int_eq(shmring_guard_install(), 0);
    ck_assert_int_eq(shmring_guard_install(), 0);
}

static void setup(void)
{
    only_the_guard();
    ring_fixture_init();
    ring = start(&writer);
    neighbour = start(&neighbour_writer);
    reader = ring_fixture_open(shmring_name(ring));
    neighbour_reader = ring_fixture_open(shmring_name(neighbour));
    fd = openat(rings.dir_fd, shmring_name(ring), O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
}

static void teardown(void)
{
    close(fd);
    shmring_reader_close(reader);
    shmring_reader_close(neighbour_reader);
    shmring_close(ring);
    shmring_close(neighbour);
    ring_fixture_done();
}

FIXTURE(setup, teardown);

static void expect_sound_neighbour(void)
{
    ck_assert_int_eq(ring_drain(neighbour_reader, 0, 0), RECORDS);
    ring_release(neighbour_reader, 0);
    ck_assert_ptr_null(shmring_reader_problem(neighbour_reader));
    ck_assert_int_eq(shmring_reader_slot(neighbour_reader, 0)->health, SHMRING_SLOT_SOUND);
}

/* ---- truncation ---- */

static void fill_it(void)
{
    ck_assert_int_eq(shmring_reader_fill(reader, 0, rings.window), -EBADMSG);
}

static void look_at_it(void)
{
    ck_assert_int_eq(shmring_reader_look(reader, 0), -EBADMSG);
}

static void commit_to_it(void)
{
    struct shmring_ledger ledger = {.cpos = RECORDS * RECORD_BYTES, .counts.exported = RECORDS};

    shmring_reader_commit(reader, 0, &ledger);
    ck_assert_uint_eq(shmring_reader_slot(reader, 0)->ledger.counts.exported, RECORDS);
}

static void publish_to_it(void)
{
    shmring_reader_publish(reader, 1, 2);
}

static void ask_the_producer(void)
{
    struct shmring_producer_status status;

    shmring_reader_producer(reader, 0, &status);
    ck_assert_uint_eq(status.begun, 0);
    shmring_reader_audit(reader);
}

static void ask_the_counters(void)
{
    uint64_t dropped[SHMRING_DROP_REASONS];

    shmring_reader_counters(reader, dropped);
    ck_assert_uint_eq(dropped[0], 0);
    ck_assert_uint_eq(shmring_reader_slots(reader), 1);
}

static void (*const touches[])(void) = {fill_it,       look_at_it,       commit_to_it,
                                        publish_to_it, ask_the_producer, ask_the_counters};

LOOP_TEST(truncated_segment_is_quarantined_whoever_notices, COUNT(touches))
{
    static const char problem[] = "file was truncated while it was read";

    ck_assert_int_eq(ring_drain(reader, 0, 0), RECORDS);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    touches[_i]();
    ck_assert_str_eq(shmring_reader_problem(reader), problem);
    ck_assert_str_eq(shmring_reader_slot(reader, 0)->problem, problem);
    for (size_t i = 0; i < COUNT(touches); i++) /* nor does anything later */
        if (touches[i] != commit_to_it)
            touches[i]();
    expect_sound_neighbour();
}

TEST(rings_that_are_cut_off_are_not_read_as_zeros)
{
    ck_assert_int_eq(ftruncate(fd, (off_t)shmring_data_offset(3)), 0);
    fill_it();
    ck_assert_str_eq(shmring_reader_problem(reader), "file was truncated while it was read");
    expect_sound_neighbour();
}

TEST(segment_truncated_before_its_slots_are_known_is_quarantined)
{
    struct shmring_writer *second;

    ck_assert_int_eq(shmring_attach(ring, &second), 0);
    ck_assert_int_eq(ftruncate(fd, SHMRING_SLOTS_OFFSET), 0);
    ck_assert_uint_eq(shmring_reader_slots(reader), 2);
    look_at_it();
    ck_assert_int_eq(shmring_reader_slot(reader, 1)->health, SHMRING_SLOT_QUARANTINED);
    expect_sound_neighbour();
}

TEST(segment_that_grows_again_stays_quarantined)
{
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    fill_it();
    ck_assert_int_eq(ftruncate(fd, (off_t)shmring_file_bytes(3, RING_BYTES)), 0);
    fill_it();
}

/* ---- what is not ours ---- */

/* An address of the test's own that is a SIGBUS. */
static volatile uint8_t *broken_page(void)
{
    int own = openat(rings.dir_fd, "own", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_eq(ftruncate(own, SHMRING_PAGE), 0);
    uint8_t *page = mmap(NULL, SHMRING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, own, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
    ck_assert_int_eq(ftruncate(own, 0), 0);
    close(own);
    return page;
}

/* A child that does it dies of SIGBUS. */
static void expect_death(void (*act)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        act();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static void write_elsewhere(void)
{
    broken_page()[0] = 1;
}

/* Where a segment was until now. */
static void write_where_a_segment_was(void)
{
    void *was = reader->base;

    shmring_reader_close(reader);
    volatile uint8_t *page =
        mremap((void *)broken_page(), SHMRING_PAGE, SHMRING_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, was);
    page[0] = 1;
}

/* As if it came from an access to the segment: only the code tells. */
static void send_with_an_address(void)
{
    siginfo_t info = {.si_signo = SIGBUS, .si_code = SI_QUEUE};

    info.si_addr = reader->base;
    syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info);
}

static void (*const deaths[])(void) = {write_elsewhere, write_where_a_segment_was, send_with_an_address};

LOOP_TEST(what_is_not_ours_kills_as_before, COUNT(deaths))
{
    expect_death(deaths[_i]);
}

static void ignore_it(void)
{
    struct sigaction ignored = {.sa_handler = SIG_IGN};

    ck_assert_int_eq(sigaction(SIGBUS, &ignored, NULL), 0);
    ck_assert_int_eq(shmring_guard_install(), 0);
}

/* Who ignores the signal ignores one that was sent; an access that cannot be done kills whoever ignores it. */
TEST(ignored_signal_stays_ignored)
{
    ignore_it();
    send_with_an_address();
    ck_assert_int_eq(kill(getpid(), SIGBUS), 0);
    expect_death(write_elsewhere);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    fill_it();
}

static volatile sig_atomic_t seen;

static void note(int number)
{
    seen = number;
}

TEST(earlier_handler_gets_what_was_sent)
{
    struct sigaction noting = {.sa_handler = note};

    ck_assert_int_eq(sigaction(SIGBUS, &noting, NULL), 0);
    ck_assert_int_eq(shmring_guard_install(), 0);
    send_with_an_address();
    ck_assert_int_eq(seen, SIGBUS);
    ck_assert_ptr_null(shmring_reader_problem(reader));
    ck_assert_int_eq(ring_drain(reader, 0, 0), RECORDS);
}

static sigjmp_buf back;

static void jump_back(int number)
{
    siglongjmp(back, number);
}

static void jump_back_with(int number, siginfo_t *info, void *context)
{
    siglongjmp(back, info && context ? number : -1);
}

LOOP_TEST(earlier_handler_gets_what_is_not_ours, 2)
{
    struct sigaction plain = {.sa_handler = jump_back};
    struct sigaction informed = {.sa_sigaction = jump_back_with, .sa_flags = SA_SIGINFO};
    volatile uint8_t *page = broken_page();

    ck_assert_int_eq(sigaction(SIGBUS, _i == 0 ? &plain : &informed, NULL), 0);
    ck_assert_int_eq(shmring_guard_install(), 0);
    int number = sigsetjmp(back, 1);
    if (number == 0) {
        page[0] = 1;
        ck_abort_msg("the page can be written");
    }
    ck_assert_int_eq(number, SIGBUS);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    fill_it();
}

TEST(more_segments_than_can_be_guarded_are_refused)
{
    struct shmring_reader *more = NULL;
    struct shmring__guarded *last = NULL, *one;

    while ((one = shmring__guard_add((void *)16, 16)))
        last = one;
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, shmring_name(ring), &more), -ENFILE);
    shmring__guard_remove(last);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, shmring_name(ring), &more), 0);
    shmring_reader_close(more);
    ck_assert_int_eq(shmring_reader_open(rings.dir_fd, shmring_name(ring), &more), 0);
    shmring_reader_close(more);
}

/* ---- a segment of another user ---- */

#define NEEDS_ROOT() NEEDS(geteuid() == 0, "root, to give a file away")

static void give_away(void)
{
    ck_assert_int_eq(fchown(fd, STRANGER, STRANGER), 0);
    shmring_reader_close(reader);
    reader = ring_fixture_open(shmring_name(ring));
    ck_assert_uint_eq(shmring_reader_uid(reader), STRANGER);
}

static blkcnt_t blocks(void)
{
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    return st.st_blocks;
}

TEST(strangers_records_are_read_across_laps)
{
    NEEDS_ROOT();
    give_away();
    ck_assert_int_eq(ring_drain(reader, 0, 0), RECORDS);
    ring_release(reader, 0);
    for (uint64_t seed = RECORDS; seed < 1000; seed++) {
        ck_assert(ring_write(writer, seed, (uint32_t)(seed % 300)));
        ck_assert_int_eq(ring_drain(reader, 0, 0), 1);
        ring_release(reader, 0);
    }
}

TEST(strangers_holes_are_not_filled_by_reading)
{
    off_t data = (off_t)shmring_data_offset(3);

    NEEDS_ROOT();
    give_away();
    ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, data, RING_BYTES), 0);
    blkcnt_t before = blocks();
    ck_assert_int_eq(ring_drain(reader, 0, 0), -EBADMSG);
    ck_assert_int_eq(blocks(), before);
    expect_sound_neighbour();
}

TEST(strangers_truncation_is_a_short_read)
{
    struct sigaction none = {.sa_handler = SIG_DFL};

    NEEDS_ROOT();
    give_away();
    ck_assert_int_eq(sigaction(SIGBUS, &none, NULL), 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)shmring_data_offset(3) + RECORD_BYTES), 0);
    fill_it();
    ck_assert_str_eq(shmring_reader_problem(reader), "file was truncated while it was read");
    expect_sound_neighbour();
}

LOOP_TEST(strangers_truncated_control_pages_are_guarded, COUNT(touches))
{
    NEEDS_ROOT();
    give_away();
    ck_assert_int_eq(ring_drain(reader, 0, 0), RECORDS);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    touches[_i]();
    ck_assert_str_eq(shmring_reader_problem(reader), "file was truncated while it was read");
    expect_sound_neighbour();
}

/* ---- forgery ---- */

LOOP_TEST(counters_that_contradict_the_records_are_found_out, 3)
{
    uint8_t *segment = ring_fixture_map(shmring_name(ring));
    struct shmring_producer *producer = (struct shmring_producer *)(segment + shmring_producer_offset(0));
    const struct shmring_slot_status *status = shmring_reader_slot(reader, 0);

    ck_assert_int_eq(ring_drain(reader, 0, 0), RECORDS);
    shmring_reader_audit(reader);
    ck_assert_int_eq(status->health, SHMRING_SLOT_SOUND);
    if (_i == 0)
        atomic_store(&producer->begun, RECORDS - 1);
    else
        atomic_store(&producer->dropped[SHMRING_DROP_OVERSIZE], _i == 1 ? 1 : UINT64_MAX);
    shmring_reader_audit(reader);
    ck_assert_int_eq(status->health, SHMRING_SLOT_QUARANTINED);
    ck_assert_str_eq(status->problem, "counters contradict the records");
    expect_sound_neighbour();
}

/* Each slot by its own counters. */
LOOP_TEST(counters_of_every_slot_are_audited, 3)
{
    uint8_t *segment = ring_fixture_map(shmring_name(ring));
    struct shmring_writer *more;

    for (uint32_t slot = 1; slot < 3; slot++) {
        ck_assert_int_eq(shmring_attach(ring, &more), 0);
        ck_assert(ring_write(more, 0, 40));
    }
    for (uint32_t slot = 0; slot < 3; slot++)
        ck_assert_int_gt(ring_drain(reader, slot, 0), 0);
    struct shmring_producer *producer = (struct shmring_producer *)(segment + shmring_producer_offset((uint32_t)_i));
    atomic_store(&producer->begun, 0);
    shmring_reader_audit(reader);
    for (uint32_t slot = 0; slot < 3; slot++)
        ck_assert_int_eq(shmring_reader_slot(reader, slot)->health,
                         slot == (uint32_t)_i ? SHMRING_SLOT_QUARANTINED : SHMRING_SLOT_SOUND);
    ck_assert_ptr_null(shmring_reader_problem(reader));
    expect_sound_neighbour();
}

/* ---- at the same time ---- */

enum { ROUNDS = 3000 };

static uint64_t step(uint64_t *random)
{
    *random ^= *random << 13, *random ^= *random >> 7, *random ^= *random << 17;
    return *random;
}

static pid_t start_vandal(void (*act)(uint8_t *segment, uint64_t random))
{
    uint8_t *segment = ring_fixture_map(shmring_name(ring));
    uint64_t random = 88172645463325252ull;
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        act(segment, step(&random));
}

static void scribble(uint8_t *segment, uint64_t random)
{
    uint64_t slots = shmring_producer_offset(0), data = shmring_data_offset(3);
    uint64_t where = random % 4 == 0 ? slots + (random >> 8) % 2048 : data + (random >> 8) % (RECORDS * RECORD_BYTES);

    *(volatile uint8_t *)(segment + where) = (uint8_t)(random >> 40);
}

static void truncate_and_mend(uint8_t *segment, uint64_t random)
{
    off_t whole = (off_t)shmring_file_bytes(3, RING_BYTES);

    (void)segment;
    if (ftruncate(fd, (off_t)(random % (uint64_t)whole)) < 0 || ftruncate(fd, whole) < 0)
        _exit(1);
}

/* Reads all that a reader can, and returns what it came to: so that no access is optimised away. */
static uint64_t use(struct shmring_reader *victim)
{
    uint64_t sum = ring_read_all(victim, RING_BYTES);
    shmring_reader_publish(victim, SHMRING_CONTROL_PUBLISHED, 1);
    shmring_reader_audit(victim);
    if (shmring_reader_slots(victim) > 0)
        ring_release(victim, 0);
    return sum;
}

static void (*const acts[])(uint8_t *, uint64_t) = {scribble, truncate_and_mend};

LOOP_TEST(live_vandal_costs_no_more_than_his_segment, 4)
{
    uint64_t sum = 0, opened = 0;
    char header[SHMRING_SLOTS_OFFSET];

    NEEDS(_i < 2 || geteuid() == 0, "root, to give a file away");
    if (_i >= 2)
        give_away();
    ck_assert_int_eq(pread(fd, header, sizeof(header), 0), sizeof(header));
    pid_t pid = start_vandal(acts[_i % 2]);
    time_t until = time(NULL) + 30; /* until one attempt found the file whole */
    for (int round = 0; round < ROUNDS || (opened == 0 && time(NULL) < until); round++) {
        struct shmring_reader *victim = NULL;
        if (pwrite(fd, header, sizeof(header), 0) != sizeof(header))
            continue;
        if (shmring_reader_open(rings.dir_fd, shmring_name(ring), &victim) == 0 && ++opened > 0)
            sum += use(victim);
        shmring_reader_close(victim);
    }
    ck_assert_uint_gt(opened, 0);
    ck_assert_uint_lt(sum, UINT64_MAX);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    expect_sound_neighbour();
}
