/* SPDX-License-Identifier: MIT
 *
 * A producer process with several threads against a consumer process: every record is whole, in order, and accounted
 * for, also when the consumer restarts and when the producer is killed.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/ring_fixture.h"
#include "support/test.h"

enum { THREADS = 4, ATTEMPTS = 150000, KILLS = 60, RING_BYTES = 16 << 10, DEADLINE_MS = 30000 };

TIMEOUT(120);

FIXTURE(ring_fixture_init, ring_fixture_done);

/* ---- the producer ---- */

/* Sizes follow from the attempt, so that a record cut short or grown shows; one in 64 is oversize. */
static uint32_t size_of(uint64_t attempt)
{
    uint64_t hash = (attempt + 1) * 0x9e3779b97f4a7c15ull >> 32;

    return hash % 64 == 0 ? RING_BYTES / 4 + (uint32_t)(hash >> 8) % 1000 : 8 + (uint32_t)(hash >> 8) % 600;
}

static bool attempt_write(struct shmring_writer *writer, uint64_t attempt)
{
    uint32_t bytes = size_of(attempt);
    uint8_t *payload = shmring_reserve(writer, bytes, 7, 0);

    if (!payload)
        return false;
    memcpy(payload, &attempt, 8);
    ring_fill_pattern(payload + 8, bytes - 8, attempt);
    shmring_commit(writer);
    return true;
}

struct worker {
    pthread_t thread;
    struct shmring_writer *writer;
    uint64_t attempts;
    bool patient; /* gives the consumer a chance when the ring is full */
};

static void *work(void *argument)
{
    struct worker *worker = argument;

    for (uint64_t attempt = 0; attempt < worker->attempts; attempt++)
        if (!attempt_write(worker->writer, attempt) && worker->patient && size_of(attempt) < RING_BYTES / 4)
            sched_yield();
    return NULL;
}

static pid_t start_producer(uint64_t attempts, bool patient)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    struct worker workers[THREADS];
    struct shmring *ring;
    struct shmring_options options = {
        .dir = rings.dir, .trusted_uid = (uid_t)-1, .slot_count = THREADS, .ring_bytes = RING_BYTES};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (shmring_create(&options, &ring) != 0)
        _exit(1);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.attempts = attempts, .patient = patient};
        if (shmring_attach(ring, &workers[i].writer) != 0 ||
            pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            _exit(1);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    _exit(0);
}

/* ---- the consumer ---- */

struct progress {
    uint64_t records, next_attempt;
};

static struct progress now[THREADS];       /* as read */
static struct progress committed[THREADS]; /* as released */

static void check_view(struct progress *progress, const struct shmring_view *view)
{
    uint64_t attempt;

    ck_assert_uint_ge(view->payload_bytes, 8);
    memcpy(&attempt, view->payload, 8);
    ck_assert_uint_ge(attempt, progress->next_attempt);
    ck_assert_uint_eq(view->payload_bytes, size_of(attempt));
    ck_assert(ring_pattern_intact(view->payload + 8, view->payload_bytes - 8, attempt));
    ck_assert_uint_eq(view->ordinal, progress->records);
    progress->next_attempt = attempt + 1;
    progress->records++;
}

static uint64_t drain_once(struct shmring_reader *reader, bool commit)
{
    uint64_t bytes = 0;

    for (uint32_t slot = 0; slot < shmring_reader_slots(reader); slot++) {
        struct shmring_view view;
        int more;
        ssize_t filled = shmring_reader_fill(reader, slot, rings.window);
        ck_assert_msg(filled >= 0, "%s", shmring_reader_slot(reader, slot)->problem);
        while ((more = shmring_reader_next(rings.window, &view)) > 0)
            check_view(&now[slot], &view);
        ck_assert_msg(more == 0, "%s", shmring_reader_slot(reader, slot)->problem);
        bytes += (uint64_t)filled;
        if (commit) {
            ring_release(reader, slot);
            committed[slot] = now[slot];
        }
    }
    return bytes;
}

static uint64_t interrupted(struct shmring_reader *reader, uint32_t slot)
{
    struct shmring_producer_status status;

    shmring_reader_producer(reader, slot, &status);
    return status.begun - now[slot].records - status.dropped[SHMRING_DROP_RING_FULL] -
           status.dropped[SHMRING_DROP_OVERSIZE];
}

static struct shmring_reader *await_reader(char name[64])
{
    ring_fixture_await_segment(name);
    return ring_fixture_open(name);
}

static void await_death(struct shmring_reader *reader)
{
    int ms = 0;

    while (shmring_reader_owner_alive(reader) && ms++ < DEADLINE_MS)
        usleep(1000);
    ck_assert(!shmring_reader_owner_alive(reader));
}

TEST(every_record_of_four_threads_is_read_or_counted)
{
    char name[64];
    pid_t pid = start_producer(ATTEMPTS, true);
    struct shmring_reader *reader = await_reader(name);
    uint64_t total = 0;

    while (shmring_reader_owner_alive(reader))
        if (drain_once(reader, true) == 0)
            sched_yield();
    drain_once(reader, true);
    for (uint32_t slot = 0; slot < THREADS; slot++) {
        struct shmring_producer_status status;
        shmring_reader_producer(reader, slot, &status);
        ck_assert_uint_eq(status.begun, ATTEMPTS);
        ck_assert_uint_gt(status.dropped[SHMRING_DROP_OVERSIZE], 0);
        ck_assert_uint_eq(interrupted(reader, slot), 0);
        ck_assert_uint_eq(shmring_reader_slot(reader, slot)->ledger.counts.exported, now[slot].records);
        total += now[slot].records;
    }
    ck_assert_uint_gt(total, ATTEMPTS / 10);
    printf("%llu of %d records read\n", (unsigned long long)total, THREADS * ATTEMPTS);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    shmring_reader_close(reader);
}

TEST(restarted_consumers_lose_nothing)
{
    char name[64];
    pid_t pid = start_producer(ATTEMPTS / 5, true);
    struct shmring_reader *reader = await_reader(name);
    uint64_t passes = 0, restarts = 0;

    while (shmring_reader_owner_alive(reader)) {
        if (drain_once(reader, passes % 3 != 0) == 0)
            sched_yield();
        if (++passes % 7 == 0) {
            shmring_reader_close(reader);
            reader = ring_fixture_open(name);
            memcpy(now, committed, sizeof(now)); /* what was read and not committed is read again */
            restarts++;
        }
    }
    drain_once(reader, true);
    for (uint32_t slot = 0; slot < THREADS; slot++)
        ck_assert_uint_eq(interrupted(reader, slot), 0);
    ck_assert_uint_gt(restarts, 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    shmring_reader_close(reader);
}

TEST(killed_producers_leave_whole_records)
{
    unsigned in_progress = 0;
    uint64_t total = 0;

    srand((unsigned)getpid());
    for (int cycle = 0; cycle < KILLS; cycle++) {
        char name[64];
        pid_t pid = start_producer(UINT64_MAX, false);
        struct shmring_reader *reader = await_reader(name);
        memset(now, 0, sizeof(now));
        for (int passes = rand() % 20; passes > 0; passes--) {
            drain_once(reader, true);
            usleep((unsigned)rand() % 200);
        }
        kill(pid, SIGKILL);
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        await_death(reader);
        drain_once(reader, true);
        for (uint32_t slot = 0; slot < shmring_reader_slots(reader); slot++) {
            ck_assert_uint_le(interrupted(reader, slot), 1);
            in_progress += interrupted(reader, slot) == 1;
            total += now[slot].records;
            ck_assert_uint_eq(shmring_reader_slot(reader, slot)->read, shmring_reader_slot(reader, slot)->end);
        }
        shmring_reader_close(reader);
        unlinkat(rings.dir_fd, name, 0);
    }
    ck_assert_uint_gt(total, 0);
    printf("%llu records, %u interrupted in %d kills\n", (unsigned long long)total, in_progress, KILLS);
}

/* Threads that come and go share slots; one pool of slots is enough for many threads. */
static void *come_and_go(void *argument)
{
    static pthread_mutex_t attaching = PTHREAD_MUTEX_INITIALIZER;
    struct shmring *ring = argument;

    for (int round = 0; round < 200; round++) {
        struct shmring_writer *writer;
        pthread_mutex_lock(&attaching);
        int err = shmring_attach(ring, &writer);
        pthread_mutex_unlock(&attaching);
        if (err == -ENFILE) {
            shmring_count_drops(ring, SHMRING_DROP_NO_SLOT, 1);
            sched_yield();
            continue;
        }
        ck_assert_int_eq(err, 0);
        for (uint64_t attempt = 0; attempt < 5; attempt++)
            attempt_write(writer, attempt + 2);
        pthread_mutex_lock(&attaching);
        shmring_detach(ring, writer);
        pthread_mutex_unlock(&attaching);
    }
    return NULL;
}

TEST(threads_that_come_and_go_are_accounted_for)
{
    struct shmring *ring = ring_fixture_create(3, 1 << 20, 0);
    struct shmring_totals totals;
    pthread_t threads[8];
    uint64_t read = 0;

    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, ring), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    struct shmring_reader *reader = ring_fixture_open(shmring_name(ring));
    for (uint32_t slot = 0; slot < shmring_reader_slots(reader); slot++) {
        struct shmring_view view;
        while (shmring_reader_fill(reader, slot, rings.window) > 0)
            while (shmring_reader_next(rings.window, &view) > 0)
                read++;
    }
    shmring_totals(ring, &totals);
    ck_assert_uint_eq(totals.begun + 5 * totals.dropped[SHMRING_DROP_NO_SLOT], 8 * 200 * 5);
    ck_assert_uint_eq(totals.begun, read + totals.dropped[SHMRING_DROP_RING_FULL]);
    shmring_reader_close(reader);
    shmring_close(ring);
}
