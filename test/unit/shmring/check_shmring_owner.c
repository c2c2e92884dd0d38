/* SPDX-License-Identifier: MIT
 *
 * The lock lives as long as the mapping: the consumer knows whether the owner still is, however it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/advice.h"
#include "support/ring_fixture.h"
#include "support/test.h"

enum { DEADLINE_MS = 10000 };

static int orders[2]; /* closing [1] lets the children end */

static void setup(void)
{
    ring_fixture_init();
    ck_assert_int_eq(pipe2(orders, O_CLOEXEC), 0);
}

FIXTURE(setup, ring_fixture_done);

static void await_orders(void)
{
    char byte;

    close(orders[1]);
    while (read(orders[0], &byte, 1) < 0 && errno == EINTR)
        ;
}

static bool becomes_dead(struct shmring_reader *reader)
{
    for (int ms = 0; ms < DEADLINE_MS; ms++) {
        if (!shmring_reader_owner_alive(reader))
            return true;
        usleep(1000);
    }
    return false;
}

/* A producer that writes ten records and then does what it is told. */
static pid_t start_owner(void (*then)(struct shmring *ring))
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct shmring_writer *writer;
    struct shmring_options options = {.dir = rings.dir, .trusted_uid = (uid_t)-1, .slot_count = 2, .ring_bytes = 4096};
    struct shmring *ring;
    if (shmring_create(&options, &ring) != 0 || shmring_attach(ring, &writer) != 0)
        _exit(1);
    for (uint64_t seed = 0; seed < 10; seed++)
        ring_write(writer, seed, 50);
    then(ring);
    _exit(0);
}

static struct shmring_reader *open_only(void)
{
    char name[64];

    ring_fixture_await_segment(name);
    struct shmring_reader *reader = ring_fixture_open(name);
    for (int ms = 0; ms < DEADLINE_MS; ms++) {
        if (shmring_reader_slots(reader) == 1 && shmring_reader_fill(reader, 0, rings.window) >= 10 * 96)
            return reader;
        usleep(1000);
    }
    ck_abort_msg("the owner wrote nothing");
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static void sleep_on(struct shmring *ring)
{
    (void)ring;
    await_orders();
}

TEST(killed_owner_is_dead_and_its_records_are_read)
{
    pid_t pid = start_owner(sleep_on);
    struct shmring_reader *reader = open_only();

    for (int i = 0; i < 100; i++)
        ck_assert(shmring_reader_owner_alive(reader));
    end(pid);
    ck_assert(becomes_dead(reader));
    ck_assert(!shmring_reader_owner_alive(reader));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 10);
    shmring_reader_close(reader);
}

TEST(segment_is_drained_by_one_who_comes_after_the_owner)
{
    pid_t pid = start_owner(sleep_on);

    shmring_reader_close(open_only());
    end(pid);
    struct shmring_reader *reader = open_only();
    ck_assert(becomes_dead(reader));
    ck_assert_int_eq(ring_drain(reader, 0, 0), 10);
    shmring_reader_close(reader);
}

TEST(stopped_owner_is_alive)
{
    pid_t pid = start_owner(sleep_on);
    struct shmring_reader *reader = open_only();
    int status;

    kill(pid, SIGSTOP);
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    ck_assert(WIFSTOPPED(status));
    ck_assert(shmring_reader_owner_alive(reader));
    end(pid);
    ck_assert(becomes_dead(reader));
    shmring_reader_close(reader);
}

static void close_and_sleep(struct shmring *ring)
{
    shmring_close(ring);
    await_orders();
}

TEST(closed_segment_has_no_owner)
{
    pid_t pid = start_owner(close_and_sleep);
    struct shmring_reader *reader = open_only();

    ck_assert(becomes_dead(reader));
    ck_assert_int_eq(kill(pid, 0), 0);
    shmring_reader_close(reader);
    end(pid);
}

static void leave_a_child(struct shmring *ring)
{
    if (fork() == 0) {
        shmring_abandon(ring);
        await_orders();
    }
}

TEST(child_of_the_owner_does_not_hold_the_segment)
{
    NEEDS(advice_drops_on_fork(), "MADV_DONTFORK");
    pid_t pid = start_owner(leave_a_child);
    struct shmring_reader *reader = open_only();

    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert(becomes_dead(reader));
    shmring_reader_close(reader);
    close(orders[1]);
}

static void fork_and_sleep(struct shmring *ring)
{
    pid_t child = fork();

    if (child == 0) {
        shmring_abandon(ring);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    await_orders();
}

/* Slots are mapped apart from the lock, so only a look at the child's memory tells. */
static void look_for_mappings_in_a_child(struct shmring *ring)
{
    pid_t child = fork();
    int status = 1;

    if (child == 0) {
        char line[512];
        bool found = false;
        FILE *maps = fopen("/proc/self/maps", "re");
        while (maps && fgets(line, sizeof(line), maps))
            found = found || strstr(line, shmring_name(ring));
        _exit(!maps || found);
    }
    waitpid(child, &status, 0);
    if (status != 0)
        _exit(4);
    await_orders();
    _exit(0);
}

TEST(child_of_the_owner_has_nothing_of_the_segment)
{
    NEEDS(advice_drops_on_fork(), "MADV_DONTFORK");
    pid_t pid = start_owner(look_for_mappings_in_a_child);
    int status;

    close(orders[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

TEST(owner_outlives_its_child)
{
    pid_t pid = start_owner(fork_and_sleep);
    struct shmring_reader *reader = open_only();

    usleep(20000);
    ck_assert(shmring_reader_owner_alive(reader));
    end(pid);
    ck_assert(becomes_dead(reader));
    shmring_reader_close(reader);
}

static void exec_cat(struct shmring *ring)
{
    (void)ring;
    close(orders[1]);
    dup2(orders[0], 0);
    execlp("cat", "cat", (char *)NULL);
}

TEST(exec_gives_the_segment_up)
{
    pid_t pid = start_owner(exec_cat);
    struct shmring_reader *reader = open_only();

    ck_assert(becomes_dead(reader));
    ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
    shmring_reader_close(reader);
    end(pid);
}

TEST(owners_end_is_an_event_on_the_file)
{
    pid_t pid = start_owner(sleep_on);
    struct shmring_reader *reader = open_only();
    char path[160], name[64], events[4096];
    int inotify = inotify_init1(IN_CLOEXEC);

    ring_fixture_await_segment(name);
    snprintf(path, sizeof(path), "%s/%s", rings.dir, name);
    ck_assert_int_ge(inotify_add_watch(inotify, path, IN_CLOSE_WRITE), 0);
    struct pollfd ready = {.fd = inotify, .events = POLLIN};
    ck_assert_int_eq(poll(&ready, 1, 0), 0);
    end(pid);
    ck_assert_int_eq(poll(&ready, 1, DEADLINE_MS), 1);
    ck_assert_int_gt(read(inotify, events, sizeof(events)), 0);
    ck_assert(becomes_dead(reader));
    shmring_reader_close(reader);
}
