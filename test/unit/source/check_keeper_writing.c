/* SPDX-License-Identifier: MIT
 *
 * Batches that are being written to the spool: the spool refuses, the disk fails, the endpoint answers meanwhile. Includes
 * the source it tests, so that the spool can refuse.
 */
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "source/keeper.h"
#include "spool/spool_place.h"
#include "support/source_fixture.h"
#include "support/test.h"

static int refusal;                /* what the spool says to each batch; 0: it takes it */
static unsigned asked, most_asked; /* since the last pass; of one pass */

static int write_or_refuse(struct spool *spool, struct batch *batch)
{
    asked++;
    most_asked = asked > most_asked ? asked : most_asked;
    return refusal ? refusal : spool_write(spool, batch);
}

void begin_pass(struct keeper *keeper);

#define keeper_ask_again(keeper)  begin_pass(keeper)
#define spool_write(spool, batch) write_or_refuse(spool, batch)
#include "source/keeper.c"
#undef keeper_ask_again

void keeper_ask_again(struct keeper *keeper)
{
    asked = 0;
    begin_pass(keeper);
}

SOURCE_FIXTURE_PLAYS_EXPORTER

enum {
    SPANS = 10, /* of a batch */
    HALF = SOURCE_RING_BYTES / 2 / 112,
    WRITTEN = (HALF / SPANS + 2) * SPANS, /* so many spans fill more than half of the ring */
};

static struct source_fixture *const f = &source_fixture;
static char spool_dir[96];
static int log_fd;

#define run_until(condition) source_fixture_run_until(condition)

static void set_up(void)
{
    source_fixture_init();
    snprintf(spool_dir, sizeof(spool_dir), "%s/spool", f->dir);
    f->config.spool_dir = spool_dir;
    f->config.spool_max_bytes = 8 << 20;
    f->config.spool_max_bytes_given = true;
    f->config.max_in_flight = 4;
    log_fd = memfd_create("log", MFD_CLOEXEC);
    log_free(f->log);
    ck_assert_int_eq(log_new(log_fd, &f->log), 0);
}

FIXTURE(set_up, source_fixture_done);

static bool was_logged(const char *words)
{
    char text[8192] = "";
    ck_assert_int_ge(pread(log_fd, text, sizeof(text) - 1, 0), 0);
    return strstr(text, words);
}

static uint64_t spooled(void)
{
    return source_fixture_snapshot().spooled_now;
}

static bool all_settled(void)
{
    struct stats_snapshot s = source_fixture_snapshot();
    return s.unread + s.in_flight + s.spooled_now == 0;
}

static void export_all(void)
{
    run_until((source_fixture_finish_all(), all_settled()));
}

static const struct {
    int err;
    const char *told;
    bool all; /* it would say the same of every batch */
} refusals[] = {
    {-ENOSPC, "the spool is full", true},
    {-E2BIG, "a batch does not fit into the spool", false},
    {-ENOMEM, "no memory to spool a batch", false},
    {-EAGAIN, NULL, true},
};

LOOP_TEST(what_the_spool_refuses_stays_with_the_exporter_until_it_takes_it, COUNT(refusals))
{
    f->submitted = DELIVERY_WAITING;
    source_fixture_start();
    refusal = refusals[_i].err;
    source_fixture_write_spans(WRITTEN, AISTRACE_SAMPLED);
    run_until(f->held_count == WRITTEN / SPANS);
    run_until(most_asked > 0);
    if (refusals[_i].told)
        run_until(was_logged(refusals[_i].told));
    source_fixture_run_for(20);
    ck_assert_uint_eq(spooled(), 0);
    ck_assert_uint_eq(f->held_count, WRITTEN / SPANS);
    ck_assert(refusals[_i].all ? most_asked == 1 : most_asked > 1);
    refusal = 0;
    source_fixture_finish(0, &(struct batch_outcome){.exported = true});
    run_until(spooled() > HALF / 2);
    f->submitted = DELIVERY_ON_WIRE;
    export_all();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, WRITTEN);
}

/* ---- answers while the disk writes ---- */

/* libuv's only worker waits until the test lets it go on: what is being written stays so. */
static sem_t go_on;

static void hold_worker(uv_work_t *work)
{
    (void)work;
    sem_wait(&go_on);
}

static void worker_held(uv_work_t *work, int status)
{
    (void)work;
    (void)status;
}

enum { EXPORTED, REFUSED, RETURNED, ANSWERS };
static const struct batch_outcome answers[] = {
    [EXPORTED] = {.exported = true}, [REFUSED] = {.reason = DROP_REFUSED}, [RETURNED] = {.returned = true}};

/* The oldest batch is being written, the youngest waits for that; each may be answered, and the disk may fail. */
LOOP_TEST(answer_while_a_batch_is_written_counts_once, 2 * 2 * ANSWERS)
{
    static uv_work_t work;
    char command[256];
    int answer = _i / 4;
    bool begun = _i & 1, disk_fails = _i & 2;
    ck_assert_int_eq(setenv("UV_THREADPOOL_SIZE", "1", 1), 0);
    ck_assert_int_eq(sem_init(&go_on, 0, 0), 0);
    source_fixture_start();
    if (disk_fails) {
        snprintf(command, sizeof(command), "rm -r %s; touch %s", spool_dir, spool_dir);
        ck_assert_int_eq(system(command), 0);
    }
    ck_assert_int_eq(uv_queue_work(&f->loop, &work, hold_worker, worker_held), 0);
    source_fixture_write_spans(WRITTEN, AISTRACE_SAMPLED);
    run_until(f->held_count > 0 && batch_delivery(f->held[0])->spooled);
    source_fixture_write_spans(2 * SPANS, AISTRACE_SAMPLED); /* behind what has begun */
    run_until(f->held_count == WRITTEN / SPANS + 2 && batch_delivery(f->held[f->held_count - 1])->spooled);
    ck_assert(batch_stay(f->held[0])->writing && batch_stay(f->held[f->held_count - 1])->writing);
    source_fixture_finish(begun ? 0 : f->held_count - 1, &answers[answer]);
    ck_assert_uint_eq(spooled(), 0);
    struct stats_snapshot s = source_fixture_snapshot();
    ck_assert_uint_eq(outcome_sum(&s.outcome), 0); /* the ring is released in order, and the oldest is on its way */
    sem_post(&go_on);
    if (disk_fails) {
        run_until(was_logged("cannot write to the spool"));
        ck_assert_uint_eq(spooled(), 0);
        ck_assert_int_eq(unlink(spool_dir), 0);
    } else {
        run_until(spooled() > 0);
    }
    export_all();
    s = source_fixture_snapshot();
    ck_assert_uint_eq(s.outcome.dropped[DROP_REFUSED], answer == REFUSED ? SPANS : 0);
    ck_assert_uint_eq(s.outcome.exported, WRITTEN + 2 * SPANS - (answer == REFUSED ? SPANS : 0));
    ck_assert_uint_eq(s.committed, WRITTEN + 2 * SPANS);
}

TEST(batch_returned_after_its_write_failed_goes_to_the_exporter_again)
{
    char command[256];
    source_fixture_start();
    snprintf(command, sizeof(command), "rm -r %s; touch %s", spool_dir, spool_dir);
    ck_assert_int_eq(system(command), 0);
    source_fixture_write_spans(WRITTEN, AISTRACE_SAMPLED);
    run_until(f->held_count > 0 && batch_delivery(f->held[0])->spooled);
    run_until(!batch_stay(f->held[0])->writing);
    const struct batch *batch = f->held[0];
    size_t held = f->held_count;
    source_fixture_finish(0, &answers[RETURNED]);
    ck_assert_uint_eq(f->held_count, held);
    ck_assert_ptr_eq(f->held[held - 1], batch);
    ck_assert_int_eq(unlink(spool_dir), 0);
    export_all();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, WRITTEN);
}
