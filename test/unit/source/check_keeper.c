/* SPDX-License-Identifier: MIT
 *
 * The source with a spool: when batches go there, how they come back, and that counts agree whenever the daemon dies.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/source_fixture.h"
#include "support/test.h"

enum {
    SPANS = 10,                                    /* of a batch */
    QUARTER = SOURCE_RING_BYTES / 4 / 112 + SPANS, /* so many spans fill more than a quarter of the ring */
};

SOURCE_FIXTURE_PLAYS_EXPORTER

static size_t claims_kept;
static const char *goes; /* a file that is removed when a claim is kept, or NULL */

static int counted_append(struct buf *buf, const void *data, size_t bytes)
{
    claims_kept++;
    if (goes)
        unlink(goes);
    return buf_append(buf, data, bytes);
}

#define buf_append counted_append
#include "source/restore.c"
#undef buf_append

static unsigned loads_fail, reads_fail; /* so many, for want of memory */

#define batch_load(...) (loads_fail > 0 ? (loads_fail--, -ENOMEM) : batch_load(__VA_ARGS__))
#define spool_read(...) (reads_fail > 0 ? (reads_fail--, -ENOMEM) : spool_read(__VA_ARGS__))
#include "source/replay.c"

static struct source_fixture *const f = &source_fixture;
static const struct batch_outcome exported = {.exported = true}, returned = {.returned = true};
static char spool_dir[96];

#define run_until(condition) source_fixture_run_until(condition)

static void set_up(void)
{
    source_fixture_init();
    snprintf(spool_dir, sizeof(spool_dir), "%s/spool", f->dir);
    f->config.spool_dir = spool_dir;
    f->config.spool_max_bytes = 8 << 20;
    f->config.spool_max_bytes_given = true;
    f->config.max_in_flight = 4;
}

FIXTURE(set_up, source_fixture_done);

static void outage(bool lasts)
{
    f->trouble = lasts ? "away" : NULL;
    f->stats.outage_began_ms = lasts;
}

static void write_spans(unsigned count)
{
    source_fixture_write_spans(count, AISTRACE_SAMPLED);
}

static uint64_t spooled(void)
{
    return source_fixture_snapshot().spooled_now;
}

static uint64_t exported_spans(void)
{
    return source_fixture_snapshot().outcome.exported;
}

static bool all_settled(void)
{
    struct stats_snapshot s = source_fixture_snapshot();
    return s.unread + s.in_flight + s.spooled_now == 0;
}

/* Settles whatever the exporter gets until nothing is left. */
static void export_all(void)
{
    run_until((source_fixture_finish_all(), all_settled()));
}

static bool state_says(const char *words)
{
    char path[160], text[4096];
    snprintf(path, sizeof(path), "%s/%s", f->dir, TOTALS_FILE);
    FILE *file = fopen(path, "re");
    size_t bytes = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    text[bytes] = '\0';
    if (file)
        fclose(file);
    return strstr(text, words);
}

static void kill_and_start(void)
{
    f->held_count = 0;
    source_fixture_stop();
    f->held_count = 0;
    source_fixture_start();
}

/* ---- when ---- */

TEST(batches_in_backoff_are_spooled_when_their_ring_fills_by_a_quarter)
{
    f->submitted = DELIVERY_WAITING;
    outage(true);
    source_fixture_start();
    write_spans(QUARTER - 3 * SPANS);
    run_until(source_fixture_snapshot().unread == 0);
    source_fixture_run_for(20);
    ck_assert_uint_eq(spooled(), 0);
    write_spans(4 * SPANS);
    run_until(spooled() > QUARTER / 2);
    run_until(source_fixture_snapshot().in_flight <= SPANS); /* the batch that was open stays with the exporter */
    ck_assert_uint_eq(exported_spans(), 0);
}

TEST(the_first_connection_is_no_outage)
{
    f->submitted = DELIVERY_QUEUED;
    f->trouble = "connecting";
    source_fixture_start();
    write_spans(QUARTER + SPANS);
    run_until(source_fixture_snapshot().unread == 0);
    source_fixture_run_for(20);
    ck_assert_uint_eq(spooled(), 0);
    outage(true);
    run_until(spooled() > 0);
}

TEST(batches_on_the_wire_are_spooled_when_half_a_ring_waits)
{
    source_fixture_start();
    write_spans(2 * QUARTER - 4 * SPANS);
    run_until(source_fixture_snapshot().unread == 0);
    source_fixture_run_for(20);
    ck_assert_uint_eq(spooled(), 0);
    write_spans(4 * SPANS);
    run_until(spooled() >= 2 * QUARTER - 2 * SPANS);
    ck_assert_uint_ge(f->held_count, 2 * QUARTER / SPANS - 2); /* their attempts go on */
    source_fixture_finish(0, &exported);
    ck_assert_uint_eq(exported_spans(), SPANS);
    ck_assert_uint_eq(source_fixture_snapshot().spool.exported, SPANS);
    uint64_t before = spooled();
    source_fixture_finish(0, &returned);
    ck_assert_uint_eq(spooled(), before);
    export_all();
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER);
}

TEST(a_batch_that_others_overtake_is_spooled)
{
    source_fixture_start();
    write_spans(SPANS);
    run_until(f->held_count == 1);
    batch_delivery(f->held[0])->state = DELIVERY_WAITING;
    for (unsigned i = 0; i < 2 * f->config.max_in_flight; i++) {
        write_spans(SPANS);
        run_until(f->held_count == 2);
        source_fixture_finish(1, &exported);
    }
    source_fixture_run_for(20);
    ck_assert_uint_eq(spooled(), 0);
    write_spans(SPANS);
    run_until(f->held_count == 2);
    source_fixture_finish(1, &exported);
    run_until(spooled() == SPANS);
    ck_assert_uint_eq(exported_spans(), (2 * f->config.max_in_flight + 1) * SPANS);
}

TEST(a_ring_that_fills_gets_the_place_of_other_rings_batches)
{
    struct shmring_writer *other;
    f->submitted = DELIVERY_QUEUED;
    f->room = 4;
    outage(true);
    source_fixture_start();
    write_spans(4 * SPANS);
    run_until(f->held_count == 4);
    ck_assert_int_eq(shmring_attach(f->ring, &other), 0);
    f->writer = other;
    while (source_fixture_write("name", AISTRACE_SAMPLED))
        continue;
    run_until(spooled() > 2 * QUARTER);
    ck_assert(source_fixture_write("name", AISTRACE_SAMPLED));
}

/* How long the source sleeps, not how long that takes. */
TEST(a_ring_that_fills_is_looked_at_often_until_there_is_room)
{
    enum { OFTEN_MS = 10, PASSES = 50 };
    f->room = 4;
    source_fixture_start();
    write_spans(4 * SPANS);
    run_until(f->held_count == 4);
    write_spans(QUARTER);
    for (int i = 0; i < 1000 && uv_backend_timeout(&f->loop) > OFTEN_MS; i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    for (int i = 0; i < PASSES; i++) {
        ck_assert_int_le(uv_backend_timeout(&f->loop), OFTEN_MS);
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    ck_assert_uint_eq(f->held_count, 4);
}

TEST(what_cannot_be_written_goes_back_to_the_exporter)
{
    char command[256];
    f->submitted = DELIVERY_WAITING;
    outage(true);
    source_fixture_start();
    snprintf(command, sizeof(command), "rm -r %s; touch %s", spool_dir, spool_dir);
    ck_assert_int_eq(system(command), 0);
    write_spans(2 * QUARTER);
    run_until(source_fixture_snapshot().unread == 0);
    source_fixture_run_for(50);
    ck_assert_uint_eq(spooled(), 0);
    ck_assert_uint_ge(f->held_count, 2 * QUARTER / SPANS - 1);
    ck_assert_int_eq(unlink(spool_dir), 0);
    run_until(spooled() > QUARTER); /* tried again */
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    export_all();
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER);
}

LOOP_TEST(a_spool_of_few_or_no_bytes_takes_nothing, 2)
{
    f->config.spool_max_bytes = _i ? 100 << 10 : 0;
    f->submitted = DELIVERY_WAITING;
    source_fixture_start();
    write_spans(3 * QUARTER);
    run_until(source_fixture_snapshot().unread == 0);
    source_fixture_run_for(50);
    ck_assert_uint_eq(spooled(), 0);
    ck_assert_int_eq(access(spool_dir, F_OK), -1);
}

/* ---- how they come back ---- */

static void spool_some(unsigned spans)
{
    f->submitted = DELIVERY_WAITING;
    outage(true);
    source_fixture_start();
    write_spans(spans);
    run_until(spooled() > spans - SPANS - QUARTER);
}

static size_t live_held(void)
{
    size_t live = 0;
    for (size_t i = 0; i < f->held_count; i++)
        live += !batch_stay(f->held[i])->replay;
    return live;
}

static size_t live_spans(void)
{
    size_t spans = 0;
    for (size_t i = 0; i < f->held_count; i++)
        spans += batch_stay(f->held[i])->replay ? 0 : batch_span_count(f->held[i]);
    return spans;
}

static bool is_at_rest(void)
{
    struct stats_snapshot s = source_fixture_snapshot();
    return s.unread == 0 && s.in_flight == live_spans();
}

/* No batch is open, and none is being written, for some turns. */
static void rest(void)
{
    enum { TURNS = 20 };
    unsigned turns = 0;
    run_until((turns = is_at_rest() ? turns + 1 : 0) == TURNS);
}

/* Nothing is left but what is in the spool, of which one is under way. */
static void settle_live(void)
{
    rest();
    for (size_t i = f->held_count; i > 0; i--)
        if (!batch_stay(f->held[i - 1])->replay)
            source_fixture_finish(i - 1, &exported);
    run_until(f->held_count == 1 && live_held() == 0);
}

TEST(records_are_sent_one_then_twice_as_many_with_each_success)
{
    spool_some(2 * QUARTER);
    settle_live();
    f->submitted = DELIVERY_ON_WIRE;
    source_fixture_run_for(20);
    ck_assert_uint_eq(f->held_count, 1); /* it probes */
    outage(false);
    source_fixture_finish(0, &exported);
    run_until(f->held_count == 2);
    source_fixture_finish(0, &exported);
    source_fixture_finish(0, &exported);
    run_until(f->held_count == f->config.max_in_flight);
    source_fixture_run_for(20);
    ck_assert_uint_eq(f->held_count, f->config.max_in_flight);
    export_all();
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER);
}

TEST(records_in_backoff_make_place_for_the_next)
{
    spool_some(2 * QUARTER);
    settle_live();
    f->trouble = "refuses now and then";
    f->answers = true;
    f->submitted = batch_delivery(f->held[0])->state = DELIVERY_ON_WIRE;
    source_fixture_run_for(20);
    ck_assert_uint_eq(f->held_count, 1); /* one attempt at a time */
    for (size_t sent = 1; sent < 5; sent++) {
        batch_delivery(f->held[sent - 1])->state = DELIVERY_WAITING;
        run_until(f->held_count == sent + 1);
    }
    f->trouble = NULL;
    export_all();
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER);
}

TEST(records_take_at_most_half_beside_live_batches)
{
    spool_some(2 * QUARTER);
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    write_spans(2 * SPANS);
    run_until(live_held() > 0);
    for (int i = 0; i < 6; i++) {
        source_fixture_run_for(10);
        size_t replays = 0;
        for (size_t k = 0; k < f->held_count; k++)
            replays += batch_stay(f->held[k])->replay;
        ck_assert_uint_le(replays, f->config.max_in_flight / 2);
        for (size_t k = 0; k < f->held_count; k++)
            if (batch_stay(f->held[k])->replay) {
                source_fixture_finish(k, &exported);
                break;
            }
    }
    ck_assert_uint_gt(source_fixture_snapshot().spool.exported, 0);
}

TEST(a_damaged_record_is_counted_when_it_is_sent)
{
    char command[256];
    spool_some(2 * QUARTER);
    kill_and_start();
    snprintf(command, sizeof(command), "f=$(ls %s/*.spool); printf x | dd of=$f bs=1 seek=%d conv=notrunc status=none",
             spool_dir, 4096 + 128 + 80 + 20);
    ck_assert_int_eq(system(command), 0);
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    export_all();
    struct stats_snapshot s = source_fixture_snapshot();
    ck_assert_uint_eq(s.outcome.dropped[DROP_SPOOL_CORRUPT], SPANS);
    ck_assert_uint_eq(s.outcome.exported, 2 * QUARTER - SPANS);
}

TEST(a_record_that_cannot_be_read_for_now_is_tried_again)
{
    char command[512];
    spool_some(2 * QUARTER);
    kill_and_start();
    snprintf(command, sizeof(command), "cp %s/*.spool %s/copy && truncate -s 4096 %s/*.spool", spool_dir, f->dir,
             spool_dir);
    ck_assert_int_eq(system(command), 0);
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    source_fixture_run_for(100);
    source_fixture_finish_all();
    source_fixture_run_for(100);
    snprintf(command, sizeof(command), "cat %s/copy > $(ls %s/*.spool | head -n 1)", f->dir, spool_dir);
    ck_assert_int_eq(system(command), 0);
    export_all();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.dropped[DROP_SPOOL_CORRUPT], 0);
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER);
}

TEST(a_record_that_memory_is_missing_for_is_tried_again)
{
    spool_some(2 * QUARTER);
    kill_and_start();
    loads_fail = reads_fail = 3;
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    export_all();
    ck_assert_uint_eq(loads_fail + reads_fail, 0);
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER);
}

/* ---- whenever the daemon dies ---- */

/* The second of twenty batches is in the spool, the first holds up its release. */
static void spool_the_second(void)
{
    source_fixture_start();
    write_spans(SPANS);
    run_until(f->held_count == 1);
    write_spans(SPANS);
    run_until(f->held_count == 2);
    batch_delivery(f->held[1])->state = DELIVERY_WAITING;
    write_spans(QUARTER);
    run_until(spooled() == SPANS);
    ck_assert_uint_eq(source_fixture_snapshot().committed, QUARTER + 2 * SPANS);
}

TEST(what_is_spooled_and_not_released_is_passed_over_by_the_next_daemon)
{
    spool_the_second();
    kill_and_start();
    ck_assert_uint_eq(source_fixture_snapshot().committed, QUARTER + 2 * SPANS);
    run_until(live_spans() == QUARTER + SPANS);
    export_all();
    ck_assert_uint_eq(exported_spans(), QUARTER + 2 * SPANS);
    ck_assert_uint_eq(source_fixture_snapshot().committed, QUARTER + 2 * SPANS);
    kill_and_start();
    source_fixture_run_for(20);
    ck_assert(all_settled());
    ck_assert_uint_eq(exported_spans(), QUARTER + 2 * SPANS);
}

TEST(what_is_spooled_and_damaged_is_read_from_the_ring_again)
{
    char command[256];
    spool_the_second();
    snprintf(command, sizeof(command), "f=$(ls %s/*.spool); printf x | dd of=$f bs=1 seek=%d conv=notrunc status=none",
             spool_dir, 4096 + 128 + 80 + 20);
    ck_assert_int_eq(system(command), 0);
    kill_and_start();
    export_all();
    ck_assert_uint_eq(exported_spans(), QUARTER + 2 * SPANS);
    ck_assert_uint_eq(source_fixture_snapshot().committed, QUARTER + 2 * SPANS);
}

TEST(a_spool_that_is_gone_is_counted)
{
    spool_some(2 * QUARTER);
    rest();
    uint64_t lost = spooled();
    f->held_count = 0;
    source_fixture_stop();
    test_directory_remove(spool_dir);
    source_fixture_start();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.dropped[DROP_SPOOL_CORRUPT], lost);
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    export_all();
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER - lost);
    ck_assert_uint_eq(source_fixture_snapshot().committed, 2 * QUARTER);
}

TEST(totals_and_files_of_the_spool_agree_over_restarts)
{
    spool_some(2 * QUARTER);
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    export_all();
    run_until(state_says("retired "));
    for (int i = 0; i < 2; i++) {
        struct stats_snapshot s = source_fixture_snapshot();
        ck_assert_uint_eq(s.outcome.exported, 2 * QUARTER);
        ck_assert_uint_gt(s.spool_written, QUARTER);
        ck_assert_uint_eq(s.committed, 2 * QUARTER);
        kill_and_start();
    }
}

TEST(of_what_is_released_no_claims_are_kept)
{
    spool_some(2 * QUARTER);
    rest();
    uint64_t before = spooled();
    kill_and_start();
    ck_assert_uint_eq(spooled(), before);
    ck_assert_uint_eq(claims_kept, 0);
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    export_all();
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER);
}

TEST(a_spool_that_cannot_be_opened_whole_is_none)
{
    char command[256];
    struct rlimit before, limit;
    spool_the_second();
    f->held_count = 0;
    source_fixture_stop();
    snprintf(command, sizeof(command), "cd %s && for i in 1 2 3 4; do cp $(ls *.spool | head -n 1) $i.spool; done",
             spool_dir);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(lowest);
    limit.rlim_cur = (rlim_t)lowest + 6; /* two directories, a lock, a listing, two of five files */
    f->config.spool_dir = "";            /* in the ring directory, but not asked for */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    source_fixture_start();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    run_until(live_spans() > 0);
    export_all();
    ck_assert_uint_eq(exported_spans(), QUARTER + 2 * SPANS); /* what the ring has is read from there */
}

static unsigned spool_files(void)
{
    unsigned n = 0;
    DIR *dir = opendir(spool_dir);
    for (const struct dirent *entry; dir && (entry = readdir(dir));)
        n += strstr(entry->d_name, ".spool") != NULL;
    if (dir)
        closedir(dir);
    return n;
}

/* The ring goes when its claims have been told, before it is attached: nothing else lets them go. */
TEST(claims_of_segments_that_are_gone_hold_no_file)
{
    char name[160];
    spool_the_second();
    f->held_count = 0;
    source_fixture_stop();
    snprintf(name, sizeof(name), "%s/%s", f->dir, shmring_name(f->ring));
    goes = name;
    source_fixture_start();
    goes = NULL;
    source_fixture_close_producer();
    ck_assert_uint_eq(claims_kept, 1);
    ck_assert_uint_eq(source_fixture_snapshot().segments, 0);
    export_all();
    run_until(state_says("retired "));
    struct stats_snapshot s = source_fixture_snapshot();
    ck_assert_uint_eq(s.outcome.exported, SPANS);
    ck_assert_uint_eq(s.committed, SPANS);
    source_fixture_stop();
    ck_assert_uint_eq(spool_files(), 0);
    source_fixture_start();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, SPANS);
}

/* Killed when a file's end is in the state file, and the file not yet removed. */
TEST(file_that_is_retired_is_not_sent_again)
{
    char command[512];
    spool_some(2 * QUARTER);
    snprintf(command, sizeof(command), "cp %s/*.spool %s/copy", spool_dir, f->dir);
    ck_assert_int_eq(system(command), 0);
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    export_all();
    run_until(state_says("retired "));
    source_fixture_stop();
    ck_assert_uint_eq(spool_files(), 0);
    snprintf(command, sizeof(command), "mv %s/copy %s/00000001.spool", f->dir, spool_dir);
    ck_assert_int_eq(system(command), 0);
    source_fixture_start();
    ck_assert_uint_eq(spooled(), 0);
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER);
    ck_assert_uint_eq(source_fixture_snapshot().committed, 2 * QUARTER);
}

TEST(a_file_whose_end_cannot_be_noted_is_kept_until_it_can)
{
    char path[160];
    spool_some(2 * QUARTER);
    snprintf(path, sizeof(path), "%s/" TOTALS_FILE ".new", f->dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    outage(false);
    f->submitted = DELIVERY_ON_WIRE;
    export_all();
    source_fixture_run_for_a_tick();
    source_fixture_run_for_a_tick();
    ck_assert(!state_says("retired "));
    ck_assert_uint_ge(spool_files(), 1);
    ck_assert_int_eq(rmdir(path), 0);
    run_until(state_says("retired "));
    ck_assert_uint_eq(exported_spans(), 2 * QUARTER);
}

/* ---- the end ---- */

TEST(at_the_end_what_was_not_read_goes_to_the_spool_too)
{
    f->room = 2;
    source_fixture_start();
    write_spans(10 * SPANS);
    run_until(f->held_count == 2);
    source_drain(f->source);
    source_fixture_run_for(20);
    ck_assert_uint_gt(source_fixture_snapshot().unread, 0);
    source_rest(f->source);
    run_until(source_drained(f->source));
    ck_assert_uint_eq(spooled(), 10 * SPANS);
}

TEST(at_the_end_a_record_on_the_wire_has_its_attempt)
{
    spool_some(2 * QUARTER);
    settle_live();
    batch_delivery(f->held[0])->state = DELIVERY_ON_WIRE;
    source_drain(f->source);
    ck_assert_uint_eq(f->held_count, 1);
    ck_assert(batch_delivery(f->held[0])->spooled);
    uint64_t before = spooled(), spans = batch_span_count(f->held[0]);
    source_fixture_finish(0, &exported);
    ck_assert_uint_eq(spooled(), before - spans);
    run_until(source_drained(f->source));
}

TEST(at_the_end_everything_goes_to_the_spool)
{
    f->config.flush_interval_ms = 60000;
    source_fixture_start();
    write_spans(3 * SPANS + 1);
    run_until(f->held_count == 3);
    source_drain(f->source);
    run_until(f->held_count == 4);
    source_fixture_run_for(20);
    ck_assert(!source_drained(f->source));
    source_rest(f->source);
    run_until(source_drained(f->source));
    ck_assert_uint_eq(spooled(), 3 * SPANS + 1);
    ck_assert_uint_eq(source_fixture_snapshot().in_flight, 0);
    kill_and_start();
    export_all();
    ck_assert_uint_eq(exported_spans(), 3 * SPANS + 1);
}

TEST(at_the_end_the_spool_sends_nothing_more)
{
    spool_some(2 * QUARTER);
    settle_live();
    source_drain(f->source);
    ck_assert_uint_eq(f->held_count, 0); /* it waited, and was taken back */
    source_fixture_run_for(50);
    ck_assert_uint_eq(f->held_count, 0);
    run_until(source_drained(f->source));
}
