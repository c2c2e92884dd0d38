/* SPDX-License-Identifier: MIT
 *
 * The source against real segments of this process and an exporter that the test plays (source_fixture.h).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmring.h"
#include "source/source.h"
#include "span/sampler.h"
#include "span_format.h"
#include "support/source_fixture.h"
#include "support/test.h"

static struct source_fixture *const f = &source_fixture;

SOURCE_FIXTURE_PLAYS_EXPORTER

static const struct batch_outcome exported = {.exported = true};

/* ---- tests ---- */

FIXTURE(source_fixture_init, source_fixture_done);

static void close_ring(void)
{
    shmring_close(f->ring);
    f->ring = NULL;
}

TEST(spans_written_before_the_daemon_are_read)
{
    source_fixture_write_spans(5, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(f->held_count == 1);
    ck_assert_uint_eq(batch_span_count(f->held[0]), 5);
    source_fixture_finish_all();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 5);
}

TEST(segment_that_comes_later_is_found)
{
    shmring_close(f->ring);
    source_fixture_start();
    source_fixture_run_until(source_fixture_segment_files() == 0);
    source_fixture_start_producer();
    source_fixture_write_spans(3, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 1);
    source_fixture_finish_all();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 3);
}

TEST(batch_never_exceeds_the_count_limit)
{
    source_fixture_write_spans(95, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(f->held_count == 10);
    for (size_t i = 0; i < f->held_count; i++)
        ck_assert_uint_le(batch_span_count(f->held[i]), 10);
    source_fixture_finish_all();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 95);
}

TEST(unsampled_spans_are_counted_and_released_without_a_request)
{
    source_fixture_write_spans(20, 0);
    source_fixture_start();
    source_fixture_run_until(source_fixture_snapshot().outcome.sampled_out == 20);
    ck_assert_uint_eq(f->held_count, 0);
}

TEST(undecided_spans_are_kept)
{
    source_fixture_write_spans(1, AISTRACE_SAMPLED | AISTRACE_UNDECIDED);
    source_fixture_start();
    source_fixture_run_until(f->held_count == 1);
}

TEST(invalid_record_is_counted_and_its_neighbours_are_sent)
{
    source_fixture_write_spans(1, AISTRACE_SAMPLED);
    ck_assert_ptr_nonnull(memset(shmring_reserve(f->writer, 40, AISTRACE_RECORD_SPAN, AISTRACE_SAMPLED), 0xff, 40));
    shmring_commit(f->writer);
    source_fixture_write_spans(1, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(f->held_count == 1);
    source_fixture_finish_all();
    struct stats_snapshot s = source_fixture_snapshot();
    ck_assert_uint_eq(s.outcome.exported, 2);
    ck_assert_uint_eq(s.outcome.dropped[DROP_INVALID], 1);
}

TEST(nothing_is_released_before_its_batch_is_settled)
{
    source_fixture_start();
    while (source_fixture_write("name", AISTRACE_SAMPLED)) /* fills the ring */
        continue;
    source_fixture_run_until(source_fixture_snapshot().unread == 0);
    ck_assert(!source_fixture_write("name", AISTRACE_SAMPLED));
    source_fixture_finish(f->held_count - 1, &exported); /* the youngest: those before it still hold the ring */
    ck_assert(!source_fixture_write("name", AISTRACE_SAMPLED));
    source_fixture_finish(0, &exported);
    ck_assert(source_fixture_write("name", AISTRACE_SAMPLED));
}

TEST(reading_stops_when_the_exporter_has_no_room)
{
    f->room = 2;
    source_fixture_write_spans(95, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(f->held_count >= 2);
    for (int i = 0; i < 20; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    ck_assert_uint_le(f->held_count, 4);
    for (uint64_t i = 0; i < 100 && source_fixture_snapshot().outcome.exported < 95; i++) {
        source_fixture_run_until(f->held_count > 0);
        source_fixture_finish_all();
    }
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 95);
    ck_assert_uint_eq(source_fixture_snapshot().committed, 95);
}

TEST(dead_owner_leaves_final_figures_and_no_file)
{
    source_fixture_write_spans(7, AISTRACE_SAMPLED);
    source_fixture_start();
    close_ring();
    source_fixture_run_until(f->held_count == 1);
    ck_assert_uint_eq(source_fixture_segment_files(), 1);
    source_fixture_finish_all();
    source_fixture_run_until(source_fixture_segment_files() == 0);
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 7);
    ck_assert_uint_eq(source_fixture_snapshot().segments, 0);

    source_fixture_stop();
    source_fixture_start(); /* the state file carries them over */
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 7);
}

TEST(a_record_that_its_owner_did_not_finish_is_counted)
{
    source_fixture_write_spans(2, AISTRACE_SAMPLED);
    ck_assert_ptr_nonnull(shmring_reserve(f->writer, 40, AISTRACE_RECORD_SPAN, AISTRACE_SAMPLED));
    source_fixture_start();
    close_ring();
    source_fixture_run_until((source_fixture_finish_all(), source_fixture_snapshot().segments == 0));
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 2);
    ck_assert_uint_eq(source_fixture_snapshot().producer_dropped[PRODUCER_INTERRUPTED], 1);
}

TEST(restarted_daemon_reads_again_what_was_not_settled)
{
    source_fixture_write_spans(20, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(f->held_count == 2);
    source_fixture_finish(0, &exported);
    f->held_count = 0; /* the second batch dies with the daemon */
    source_fixture_stop();

    source_fixture_start();
    source_fixture_run_until(f->held_count == 1);
    ck_assert_uint_eq(batch_span_count(f->held[0]), 10);
    source_fixture_finish_all();
    struct stats_snapshot s = source_fixture_snapshot();
    ck_assert_uint_eq(s.outcome.exported, 20);
    ck_assert_uint_eq(s.committed, 20);
}

TEST(only_one_daemon_per_directory)
{
    struct source *second;
    source_fixture_start();
    ck_assert_int_eq(source_open(&f->loop, &f->config, &f->stats, f->log, &second), -EWOULDBLOCK);
}

TEST(partial_success_is_charged_as_rejected)
{
    static const struct batch_outcome partial = {.exported = true, .rejected = 3};
    source_fixture_write_spans(8, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(f->held_count == 1);
    source_fixture_finish(0, &partial);
    struct stats_snapshot s = source_fixture_snapshot();
    ck_assert_uint_eq(s.outcome.exported, 5);
    ck_assert_uint_eq(s.outcome.rejected, 3);
}

TEST(disabled_daemon_drops_with_its_reason_and_tells_producers)
{
    f->config.enabled = false;
    source_fixture_write_spans(4, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(source_fixture_snapshot().outcome.dropped[DROP_DISABLED] == 4);
    ck_assert_uint_eq(atomic_load(&shmring_control(f->ring)->flags),
                      SHMRING_CONTROL_PUBLISHED | SHMRING_CONTROL_DISABLED);
    ck_assert_uint_eq(f->held_count, 0);
}

TEST(probability_is_published)
{
    f->config.probability = 0.25;
    source_fixture_start();
    source_fixture_run_until(atomic_load(&shmring_control(f->ring)->flags) == SHMRING_CONTROL_PUBLISHED);
    ck_assert_uint_eq(atomic_load(&shmring_control(f->ring)->sampling_threshold), sampler_threshold(0.25));
}

TEST(loop_gets_its_turn_between_passes)
{
    struct shmring_options options = {.dir = f->dir, .trusted_uid = (uid_t)-1, .slot_count = 1, .ring_bytes = 8 << 20};
    unsigned written = 0;
    shmring_close(f->ring);
    ck_assert_int_eq(shmring_create(&options, &f->ring), 0);
    ck_assert_int_eq(shmring_attach(f->ring, &f->writer), 0);
    while (source_fixture_write("name", 0)) /* unsampled: the exporter has no part in it */
        written++;
    source_fixture_start();
    source_fixture_run_until(source_fixture_snapshot().committed > 0 && source_fixture_snapshot().unread < written);
    ck_assert_uint_gt(source_fixture_snapshot().unread, 0);
    source_fixture_run_until(source_fixture_snapshot().outcome.sampled_out == written);
}

TEST(drain_ends_although_the_producer_goes_on)
{
    f->config.flush_interval_ms = 60000;
    source_fixture_start();
    source_fixture_write_spans(5, AISTRACE_SAMPLED);
    source_drain(f->source);
    source_fixture_write_spans(5, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count > 0);
    source_fixture_finish_all();
    source_fixture_run_until(source_drained(f->source));
    ck_assert_uint_ge(source_fixture_snapshot().outcome.exported, 5);
}

TEST(drain_takes_leave_of_an_owner_that_died_a_moment_before)
{
    source_fixture_start();
    source_fixture_write_spans(5, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count > 0);
    source_fixture_finish_all();
    close_ring();
    source_drain(f->source);
    source_fixture_run_until(source_drained(f->source));
    ck_assert_uint_eq(source_fixture_segment_files(), 0);
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 5);
}

/* ---- owners that die, files that stay ---- */

TEST(last_words_are_heard_although_the_exporter_has_no_room)
{
    source_fixture_start();
    source_fixture_write_spans(1, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 1);
    source_fixture_finish_all();
    f->room = 0;
    source_fixture_write_spans(5, AISTRACE_SAMPLED);
    struct shmring *first = f->ring;
    source_fixture_start_producer();
    source_fixture_run_until(source_fixture_snapshot().segments == 2);
    shmring_close(first);
    close_ring(); /* nothing of this is unread, so it goes: the other's end has been seen by then */
    source_fixture_run_until(source_fixture_snapshot().segments == 1);
    ck_assert_uint_eq(source_fixture_segment_files(), 1);
    ck_assert_uint_eq(source_fixture_snapshot().unread, 5);
    f->room = SOURCE_BATCHES_MAX;
    source_fixture_run_until(f->held_count == 1);
    source_fixture_finish_all();
    source_fixture_run_until(source_fixture_segment_files() == 0);
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 6);
}

TEST(segment_that_cannot_be_unlinked_counts_once)
{
    char path[128];
    NEEDS(geteuid() == 0, "root");
    snprintf(path, sizeof(path), "%s/%s", f->dir, shmring_name(f->ring));
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_int_eq(chmod(f->dir, 01777), 0); /* in it only a file's owner removes the file */
    ck_assert_int_eq(seteuid(65534), 0);
    source_fixture_start();
    source_fixture_write_spans(7, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 1);
    source_fixture_finish_all();
    close_ring();
    source_fixture_run_until(source_fixture_snapshot().segments == 0);
    source_fixture_run_for_a_tick(); /* the directory is read, and the file found again */
    source_fixture_run_for_a_tick();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 7);
    source_fixture_stop();
    source_fixture_start();
    source_fixture_run_for_a_tick();
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 7);
    ck_assert_uint_eq(f->stats.segments_skipped, 0); /* a finished segment is a sound one */
    ck_assert_int_eq(seteuid(0), 0);
    snprintf(path, sizeof(path), "%s/news", f->dir); /* has the directory read: removing is tried again */
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    source_fixture_run_until(source_fixture_segment_files() == 0);
}

TEST(threads_take_turns_when_room_is_scarce)
{
    enum { THREADS = 3 };
    struct shmring_writer *writers[THREADS] = {f->writer};
    for (size_t i = 1; i < THREADS; i++)
        ck_assert_int_eq(shmring_attach(f->ring, &writers[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        f->writer = writers[i];
        while (source_fixture_write("name", AISTRACE_SAMPLED))
            continue;
    }
    f->room = 1;
    f->config.flush_interval_ms = 60000;
    source_fixture_start();
    for (size_t i = 0; i < 4 * THREADS; i++) {
        source_fixture_run_until(f->held_count > 0);
        source_fixture_finish_all();
    }
    for (size_t i = 0; i < THREADS; i++) {
        f->writer = writers[i];
        ck_assert(source_fixture_write("name", AISTRACE_SAMPLED));
    }
}

TEST(segments_leave_descriptors_to_others_and_take_turns)
{
    enum { RINGS = 40 };
    struct shmring *rings[RINGS];
    struct shmring_options options = {
        .dir = f->dir, .trusted_uid = (uid_t)-1, .slot_count = 4, .ring_bytes = SOURCE_RING_BYTES};
    for (size_t i = 0; i < RINGS; i++) {
        ck_assert_int_eq(shmring_create(&options, &rings[i]), 0);
        ck_assert_int_eq(shmring_attach(rings[i], &f->writer), 0);
        source_fixture_write_spans(1, AISTRACE_SAMPLED);
    }
    struct rlimit few = {.rlim_cur = 40, .rlim_max = 40};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    source_fixture_start();
    source_fixture_run_until(source_fixture_snapshot().segments > 0 && source_fixture_snapshot().unread == 0);
    ck_assert_uint_lt(source_fixture_snapshot().segments, RINGS);
    for (int i = 0; i < 4; i++) /* as connections would */
        ck_assert_int_ge(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
    source_fixture_finish_all();
    for (size_t i = 0; i < RINGS; i++)
        shmring_close(rings[i]);
    close_ring();
    source_fixture_run_until((source_fixture_finish_all(), source_fixture_snapshot().outcome.exported == RINGS));
    source_fixture_run_until(source_fixture_segment_files() == 0);
}

TEST(directory_made_anew_is_read)
{
    source_fixture_start();
    source_fixture_write_spans(2, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 1);
    test_directory_remove(f->dir);
    close_ring();
    source_fixture_finish_all();
    source_fixture_start_producer();
    source_fixture_write_spans(3, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 1);
    source_fixture_finish_all();
    source_fixture_run_until(source_fixture_snapshot().segments ==
                             1); /* the other is taken leave of in the new directory */
    ck_assert_uint_eq(source_fixture_snapshot().outcome.exported, 5);
    ck_assert_int_eq(source_open(&f->loop, &f->config, &f->stats, f->log, &(struct source *){NULL}), -EWOULDBLOCK);
}

TEST(name_that_was_no_segment_is_remembered_only_while_it_is_there)
{
    char name[128], hidden[128];
    snprintf(name, sizeof(name), "%s/%s", f->dir, shmring_name(f->ring));
    snprintf(hidden, sizeof(hidden), "%s/hidden", f->dir);
    ck_assert_int_eq(rename(name, hidden), 0);
    int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, f->dir, sizeof(f->dir)), sizeof(f->dir));
    close(fd);
    source_fixture_write_spans(1, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(f->stats.segments_skipped == 1);
    ck_assert_int_eq(unlink(name), 0);
    source_fixture_run_for_a_tick();
    ck_assert_int_eq(rename(hidden, name), 0);
    source_fixture_run_until(f->held_count == 1);
}

TEST(lock_file_removed_by_hand_comes_back)
{
    char name[128];
    struct source *second;
    source_fixture_start();
    snprintf(name, sizeof(name), "%s/aistraced.lock", f->dir);
    ck_assert_int_eq(unlink(name), 0);
    source_fixture_run_until(access(name, F_OK) == 0);
    ck_assert_int_eq(source_open(&f->loop, &f->config, &f->stats, f->log, &second), -EWOULDBLOCK);
}

static void write_one_span_a_pass(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        source_fixture_write_spans(1, AISTRACE_SAMPLED);
        source_fixture_run_until(source_fixture_snapshot().unread == 0);
    }
}

static void hold_a_third_of_the_ring(void)
{
    f->config.max_batch_spans = 100000;
    f->config.flush_interval_ms = 60000;
    source_fixture_start();
    source_fixture_write_spans(SOURCE_RING_BYTES / 3 / 112, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 1);
}

TEST(ring_that_waits_does_not_cut_the_batches_of_others)
{
    hold_a_third_of_the_ring();
    ck_assert_int_eq(shmring_attach(f->ring, &f->writer), 0);
    write_one_span_a_pass(20);
    ck_assert_uint_eq(f->held_count, 1);
}

TEST(ring_under_pressure_is_not_sent_in_crumbs)
{
    hold_a_third_of_the_ring();
    write_one_span_a_pass(20);
    ck_assert_uint_eq(f->held_count, 1);
    source_fixture_write_spans(SOURCE_RING_BYTES / 8 / 112, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 2);
}
