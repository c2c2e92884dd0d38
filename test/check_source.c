/* SPDX-License-Identifier: MIT
 *
 * The source against real segments of this process and an exporter that the test plays.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sampler.h"
#include "shmring.h"
#include "source.h"
#include "span_format.h"

enum { BATCHES_MAX = 1024, DEADLINE_MS = 5000, RING = 64 << 10 };

/* ---- the exporter: keeps what it gets until the test settles it ---- */

static struct batch *held[BATCHES_MAX];
static size_t held_count;
static size_t room = BATCHES_MAX;

void exporter_submit(struct exporter *exporter, struct batch *batch)
{
    (void)exporter;
    ck_assert_uint_gt(batch_span_count(batch), 0);
    ck_assert_uint_lt(held_count, BATCHES_MAX);
    held[held_count++] = batch;
}

bool exporter_has_room(const struct exporter *exporter)
{
    (void)exporter;
    return held_count < room;
}

/* Without a spool nobody asks for these. */
bool exporter_withdraw(struct exporter *exporter, struct batch *batch)
{
    (void)exporter, (void)batch;
    return false;
}

void exporter_mark_spooled(struct exporter *exporter, struct batch *batch)
{
    (void)exporter, (void)batch;
}

const char *exporter_trouble(const struct exporter *exporter)
{
    (void)exporter;
    return NULL;
}

size_t exporter_held(const struct exporter *exporter)
{
    (void)exporter;
    return held_count;
}

struct batch *exporter_oldest(const struct exporter *exporter)
{
    (void)exporter;
    return NULL;
}

struct batch *exporter_next(const struct exporter *exporter, const struct batch *batch)
{
    (void)exporter, (void)batch;
    return NULL;
}

/* ---- fixture ---- */

static char dir[] = "/dev/shm/check_source.XXXXXX";
static uv_loop_t loop;
static struct config config;
static struct stats stats;
static struct log *log_sink;
static struct source *source;
static struct shmring *ring;
static struct shmring_writer *writer;

static void start_source(void)
{
    ck_assert_int_eq(source_start(&loop, &config, &stats, log_sink, NULL, &source), 0);
    source_attach_exporter(source, (struct exporter *)&held);
}

static void start_producer(void)
{
    struct shmring_options options = {.dir = dir, .trusted_uid = (uid_t)-1, .slot_count = 4, .ring_bytes = RING};
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
}

static void set_up(void)
{
    ck_assert_ptr_nonnull(mkdtemp(dir));
    config = (struct config){.enabled = true,
                             .service_prefix = "aistore",
                             .probability = 1,
                             .ring_dir = dir,
                             .flush_interval_ms = 5,
                             .max_batch_spans = 10,
                             .max_batch_bytes = 1 << 20};
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(log_new(STDERR_FILENO, &log_sink), 0);
    start_producer();
}

static void closed(void *user)
{
    *(bool *)user = true;
}

static void stop_source(void)
{
    bool done = false;
    source_close(source, closed, &done);
    while (!done)
        uv_run(&loop, UV_RUN_ONCE);
    source = NULL;
}

static void tear_down(void)
{
    if (source)
        stop_source();
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    shmring_close(ring);
    log_free(log_sink);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static void tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Runs the loop until the condition holds; fails after DEADLINE_MS. */
#define run_until(condition)                                                                                           \
    do {                                                                                                               \
        uv_timer_t ticker;                                                                                             \
        uv_timer_init(&loop, &ticker);                                                                                 \
        uv_timer_start(&ticker, tick, 1, 1);                                                                           \
        uv_update_time(&loop);                                                                                         \
        uint64_t until = uv_now(&loop) + DEADLINE_MS;                                                                  \
        while (!(condition) && uv_now(&loop) < until)                                                                  \
            uv_run(&loop, UV_RUN_ONCE);                                                                                \
        uv_close((uv_handle_t *)&ticker, NULL);                                                                        \
        uv_run(&loop, UV_RUN_NOWAIT);                                                                                  \
        ck_assert_msg((condition), "not within the deadline: %s", #condition);                                         \
    } while (0)

static void run_for(uint64_t ms)
{
    uint64_t end_ns = uv_hrtime() + ms * 1000000;
    run_until(uv_hrtime() >= end_ns);
}

static bool write_span(uint16_t flags)
{
    static uint64_t id;
    struct aistrace_item item = {.tag = AISTRACE_ITEM_NAME, .value_bytes = 4};
    struct aistrace_span_record span = {.kind = 1, .start_unix_ns = 1, .duration_ns = 1};
    span.trace_id[0] = span.span_id[0] = 1;
    id++;
    memcpy(span.span_id + 1, &id, 7);
    uint32_t bytes = sizeof(span) + sizeof(item) + 4;
    uint8_t *at = shmring_reserve(writer, bytes, AISTRACE_RECORD_SPAN, flags);
    if (!at)
        return false;
    memcpy(at, &span, sizeof(span));
    memcpy(at + sizeof(span), &item, sizeof(item));
    memcpy(at + sizeof(span) + sizeof(item), "name", 4);
    shmring_commit(writer);
    return true;
}

static void write_spans(unsigned count, uint16_t flags)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert(write_span(flags));
}

static struct stats_snapshot snapshot(void)
{
    struct stats_snapshot s;
    source_snapshot(source, &s);
    ck_assert_uint_eq(s.committed, outcome_sum(&s.outcome) + s.in_flight + s.unread);
    return s;
}

static const struct batch_outcome exported = {.exported = true};

static void finish(size_t index, const struct batch_outcome *outcome)
{
    struct batch *batch = held[index];
    memmove(held + index, held + index + 1, (--held_count - index) * sizeof(*held));
    source_batch_finished(source, batch, outcome);
}

static void finish_all(void)
{
    while (held_count > 0)
        finish(0, &exported);
}

static unsigned segment_files(void)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *entry; (entry = readdir(d));)
        n += strstr(entry->d_name, SHMRING_SUFFIX) != NULL;
    closedir(d);
    return n;
}

/* ---- tests ---- */

START_TEST(spans_written_before_the_daemon_are_read)
{
    write_spans(5, AISTRACE_SAMPLED);
    start_source();
    run_until(held_count == 1);
    ck_assert_uint_eq(batch_span_count(held[0]), 5);
    finish_all();
    ck_assert_uint_eq(snapshot().outcome.exported, 5);
}
END_TEST

START_TEST(segment_that_comes_later_is_found)
{
    shmring_close(ring);
    start_source();
    run_until(segment_files() == 0);
    start_producer();
    write_spans(3, AISTRACE_SAMPLED);
    run_until(held_count == 1);
    finish_all();
    ck_assert_uint_eq(snapshot().outcome.exported, 3);
}
END_TEST

START_TEST(batch_never_exceeds_the_count_limit)
{
    write_spans(95, AISTRACE_SAMPLED);
    start_source();
    run_until(held_count == 10);
    for (size_t i = 0; i < held_count; i++)
        ck_assert_uint_le(batch_span_count(held[i]), 10);
    finish_all();
    ck_assert_uint_eq(snapshot().outcome.exported, 95);
}
END_TEST

START_TEST(unsampled_spans_are_counted_and_released_without_a_request)
{
    write_spans(20, 0);
    start_source();
    run_until(snapshot().outcome.sampled_out == 20);
    ck_assert_uint_eq(held_count, 0);
}
END_TEST

START_TEST(undecided_spans_are_kept)
{
    write_spans(1, AISTRACE_SAMPLED | AISTRACE_UNDECIDED);
    start_source();
    run_until(held_count == 1);
}
END_TEST

START_TEST(invalid_record_is_counted_and_its_neighbours_are_sent)
{
    write_spans(1, AISTRACE_SAMPLED);
    ck_assert_ptr_nonnull(memset(shmring_reserve(writer, 40, AISTRACE_RECORD_SPAN, AISTRACE_SAMPLED), 0xff, 40));
    shmring_commit(writer);
    write_spans(1, AISTRACE_SAMPLED);
    start_source();
    run_until(held_count == 1);
    finish_all();
    struct stats_snapshot s = snapshot();
    ck_assert_uint_eq(s.outcome.exported, 2);
    ck_assert_uint_eq(s.outcome.dropped[DROP_INVALID], 1);
}
END_TEST

START_TEST(nothing_is_released_before_its_batch_is_settled)
{
    start_source();
    while (write_span(AISTRACE_SAMPLED)) /* fills the ring */
        continue;
    run_until(snapshot().unread == 0);
    ck_assert(!write_span(AISTRACE_SAMPLED));
    finish(held_count - 1, &exported); /* the youngest: those before it still hold the ring */
    ck_assert(!write_span(AISTRACE_SAMPLED));
    finish(0, &exported);
    ck_assert(write_span(AISTRACE_SAMPLED));
}
END_TEST

START_TEST(reading_stops_when_the_exporter_has_no_room)
{
    room = 2;
    write_spans(95, AISTRACE_SAMPLED);
    start_source();
    run_until(held_count >= 2);
    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_le(held_count, 4);
    for (uint64_t i = 0; i < 100 && snapshot().outcome.exported < 95; i++) {
        run_until(held_count > 0);
        finish_all();
    }
    ck_assert_uint_eq(snapshot().outcome.exported, 95);
    ck_assert_uint_eq(snapshot().committed, 95);
}
END_TEST

START_TEST(dead_owner_leaves_final_figures_and_no_file)
{
    write_spans(7, AISTRACE_SAMPLED);
    start_source();
    shmring_close(ring);
    ring = NULL;
    run_until(held_count == 1);
    ck_assert_uint_eq(segment_files(), 1);
    finish_all();
    run_until(segment_files() == 0);
    ck_assert_uint_eq(snapshot().outcome.exported, 7);
    ck_assert_uint_eq(snapshot().segments, 0);

    stop_source();
    start_source(); /* the state file carries them over */
    ck_assert_uint_eq(snapshot().outcome.exported, 7);
}
END_TEST

START_TEST(restarted_daemon_reads_again_what_was_not_settled)
{
    write_spans(20, AISTRACE_SAMPLED);
    start_source();
    run_until(held_count == 2);
    finish(0, &exported);
    held_count = 0; /* the second batch dies with the daemon */
    stop_source();

    start_source();
    run_until(held_count == 1);
    ck_assert_uint_eq(batch_span_count(held[0]), 10);
    finish_all();
    struct stats_snapshot s = snapshot();
    ck_assert_uint_eq(s.outcome.exported, 20);
    ck_assert_uint_eq(s.committed, 20);
}
END_TEST

START_TEST(only_one_daemon_per_directory)
{
    struct source *second;
    start_source();
    ck_assert_int_eq(source_start(&loop, &config, &stats, log_sink, NULL, &second), -EWOULDBLOCK);
}
END_TEST

START_TEST(partial_success_is_charged_as_rejected)
{
    static const struct batch_outcome partial = {.exported = true, .rejected = 3};
    write_spans(8, AISTRACE_SAMPLED);
    start_source();
    run_until(held_count == 1);
    finish(0, &partial);
    struct stats_snapshot s = snapshot();
    ck_assert_uint_eq(s.outcome.exported, 5);
    ck_assert_uint_eq(s.outcome.rejected, 3);
}
END_TEST

START_TEST(disabled_daemon_drops_with_its_reason_and_tells_producers)
{
    config.enabled = false;
    write_spans(4, AISTRACE_SAMPLED);
    start_source();
    run_until(snapshot().outcome.dropped[DROP_DISABLED] == 4);
    ck_assert_uint_eq(atomic_load(&shmring_control(ring)->flags), SHMRING_CONTROL_PUBLISHED | SHMRING_CONTROL_DISABLED);
    ck_assert_uint_eq(held_count, 0);
}
END_TEST

START_TEST(probability_is_published)
{
    config.probability = 0.25;
    start_source();
    run_until(atomic_load(&shmring_control(ring)->flags) == SHMRING_CONTROL_PUBLISHED);
    ck_assert_uint_eq(atomic_load(&shmring_control(ring)->sampling_threshold), sampler_threshold(0.25));
}
END_TEST

START_TEST(loop_gets_its_turn_between_passes)
{
    struct shmring_options options = {.dir = dir, .trusted_uid = (uid_t)-1, .slot_count = 1, .ring_bytes = 8 << 20};
    unsigned written = 0;
    shmring_close(ring);
    ck_assert_int_eq(shmring_create(&options, &ring), 0);
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    while (write_span(0)) /* unsampled: the exporter has no part in it */
        written++;
    start_source();
    while (snapshot().committed == 0 || snapshot().unread == written)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_gt(snapshot().unread, 0);
    run_until(snapshot().outcome.sampled_out == written);
}
END_TEST

START_TEST(drain_ends_although_the_producer_goes_on)
{
    config.flush_interval_ms = 60000;
    start_source();
    write_spans(5, AISTRACE_SAMPLED);
    source_drain(source);
    write_spans(5, AISTRACE_SAMPLED);
    run_until(held_count > 0);
    finish_all();
    run_until(source_drained(source));
    ck_assert_uint_ge(snapshot().outcome.exported, 5);
}
END_TEST

START_TEST(drain_takes_leave_of_an_owner_that_died_a_moment_before)
{
    start_source();
    write_spans(5, AISTRACE_SAMPLED);
    run_until(held_count > 0);
    finish_all();
    shmring_close(ring);
    ring = NULL;
    source_drain(source);
    run_until(source_drained(source));
    ck_assert_uint_eq(segment_files(), 0);
    ck_assert_uint_eq(snapshot().outcome.exported, 5);
}
END_TEST

/* ---- owners that die, files that stay ---- */

static void close_ring(void)
{
    shmring_close(ring);
    ring = NULL;
}

START_TEST(last_words_are_heard_although_the_exporter_has_no_room)
{
    start_source();
    write_spans(1, AISTRACE_SAMPLED);
    run_until(held_count == 1);
    finish_all();
    room = 0;
    write_spans(5, AISTRACE_SAMPLED);
    close_ring();
    run_for(1500); /* the owner's end has been seen by then */
    ck_assert_uint_eq(segment_files(), 1);
    ck_assert_uint_eq(snapshot().unread, 5);
    room = BATCHES_MAX;
    run_until(held_count == 1);
    finish_all();
    run_until(segment_files() == 0);
    ck_assert_uint_eq(snapshot().outcome.exported, 6);
}
END_TEST

START_TEST(segment_that_cannot_be_unlinked_counts_once)
{
    char path[128];
    if (geteuid() != 0)
        return;
    snprintf(path, sizeof(path), "%s/%s", dir, shmring_name(ring));
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_int_eq(chmod(dir, 01777), 0); /* in it only a file's owner removes the file */
    ck_assert_int_eq(seteuid(65534), 0);
    start_source();
    write_spans(7, AISTRACE_SAMPLED);
    run_until(held_count == 1);
    finish_all();
    close_ring();
    run_until(snapshot().segments == 0);
    run_for(2500); /* rescans find it again */
    ck_assert_uint_eq(snapshot().outcome.exported, 7);
    stop_source();
    start_source();
    run_for(300);
    ck_assert_uint_eq(snapshot().outcome.exported, 7);
    ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

START_TEST(threads_take_turns_when_room_is_scarce)
{
    enum { THREADS = 3 };
    struct shmring_writer *writers[THREADS] = {writer};
    for (size_t i = 1; i < THREADS; i++)
        ck_assert_int_eq(shmring_attach(ring, &writers[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        writer = writers[i];
        while (write_span(AISTRACE_SAMPLED))
            continue;
    }
    room = 1;
    config.flush_interval_ms = 60000;
    start_source();
    for (size_t i = 0; i < 4 * THREADS; i++) {
        run_until(held_count > 0);
        finish_all();
    }
    for (size_t i = 0; i < THREADS; i++) {
        writer = writers[i];
        ck_assert(write_span(AISTRACE_SAMPLED));
    }
}
END_TEST

START_TEST(segments_leave_descriptors_to_others_and_take_turns)
{
    enum { RINGS = 40 };
    struct shmring *rings[RINGS];
    struct shmring_options options = {.dir = dir, .trusted_uid = (uid_t)-1, .slot_count = 4, .ring_bytes = RING};
    for (size_t i = 0; i < RINGS; i++) {
        ck_assert_int_eq(shmring_create(&options, &rings[i]), 0);
        ck_assert_int_eq(shmring_attach(rings[i], &writer), 0);
        write_spans(1, AISTRACE_SAMPLED);
    }
    struct rlimit few = {.rlim_cur = 40, .rlim_max = 40};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    start_source();
    run_until(snapshot().segments > 0 && snapshot().unread == 0);
    ck_assert_uint_lt(snapshot().segments, RINGS);
    for (int i = 0; i < 4; i++) /* as connections would */
        ck_assert_int_ge(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
    finish_all();
    for (size_t i = 0; i < RINGS; i++)
        shmring_close(rings[i]);
    close_ring();
    for (int i = 0; i < 100 && snapshot().outcome.exported < RINGS; i++) {
        run_for(50);
        finish_all();
    }
    ck_assert_uint_eq(snapshot().outcome.exported, RINGS);
    run_until(segment_files() == 0);
}
END_TEST

START_TEST(directory_made_anew_is_read)
{
    char command[128];
    start_source();
    write_spans(2, AISTRACE_SAMPLED);
    run_until(held_count == 1);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
    close_ring();
    finish_all();
    start_producer();
    write_spans(3, AISTRACE_SAMPLED);
    run_until(held_count == 1);
    finish_all();
    run_until(snapshot().segments == 1); /* the other is taken leave of in the new directory */
    ck_assert_uint_eq(snapshot().outcome.exported, 5);
    ck_assert_int_eq(source_start(&loop, &config, &stats, log_sink, NULL, &(struct source *){NULL}), -EWOULDBLOCK);
}
END_TEST

START_TEST(name_that_was_no_segment_is_remembered_only_while_it_is_there)
{
    char name[128], hidden[128];
    snprintf(name, sizeof(name), "%s/%s", dir, shmring_name(ring));
    snprintf(hidden, sizeof(hidden), "%s/hidden", dir);
    ck_assert_int_eq(rename(name, hidden), 0);
    int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, dir, sizeof(dir)), sizeof(dir));
    close(fd);
    write_spans(1, AISTRACE_SAMPLED);
    start_source();
    run_until(stats.segments_skipped == 1);
    ck_assert_int_eq(unlink(name), 0);
    run_for(1500); /* a tick */
    ck_assert_int_eq(rename(hidden, name), 0);
    run_until(held_count == 1);
}
END_TEST

START_TEST(lock_file_removed_by_hand_comes_back)
{
    char name[128];
    struct source *second;
    start_source();
    snprintf(name, sizeof(name), "%s/aistraced.lock", dir);
    ck_assert_int_eq(unlink(name), 0);
    run_until(access(name, F_OK) == 0);
    ck_assert_int_eq(source_start(&loop, &config, &stats, log_sink, NULL, &second), -EWOULDBLOCK);
}
END_TEST

static void write_one_span_a_pass(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        write_spans(1, AISTRACE_SAMPLED);
        run_until(snapshot().unread == 0);
    }
}

static void hold_a_third_of_the_ring(void)
{
    config.max_batch_spans = 100000;
    config.flush_interval_ms = 60000;
    start_source();
    write_spans(RING / 3 / 112, AISTRACE_SAMPLED);
    run_until(held_count == 1);
}

START_TEST(ring_that_waits_does_not_cut_the_batches_of_others)
{
    hold_a_third_of_the_ring();
    ck_assert_int_eq(shmring_attach(ring, &writer), 0);
    write_one_span_a_pass(20);
    ck_assert_uint_eq(held_count, 1);
}
END_TEST

START_TEST(ring_under_pressure_is_not_sent_in_crumbs)
{
    hold_a_third_of_the_ring();
    write_one_span_a_pass(20);
    ck_assert_uint_eq(held_count, 1);
    write_spans(RING / 8 / 112, AISTRACE_SAMPLED);
    run_until(held_count == 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("source");
    TCase *tcase = tcase_create("source");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, spans_written_before_the_daemon_are_read);
    tcase_add_test(tcase, segment_that_comes_later_is_found);
    tcase_add_test(tcase, batch_never_exceeds_the_count_limit);
    tcase_add_test(tcase, unsampled_spans_are_counted_and_released_without_a_request);
    tcase_add_test(tcase, undecided_spans_are_kept);
    tcase_add_test(tcase, invalid_record_is_counted_and_its_neighbours_are_sent);
    tcase_add_test(tcase, nothing_is_released_before_its_batch_is_settled);
    tcase_add_test(tcase, reading_stops_when_the_exporter_has_no_room);
    tcase_add_test(tcase, dead_owner_leaves_final_figures_and_no_file);
    tcase_add_test(tcase, restarted_daemon_reads_again_what_was_not_settled);
    tcase_add_test(tcase, only_one_daemon_per_directory);
    tcase_add_test(tcase, partial_success_is_charged_as_rejected);
    tcase_add_test(tcase, disabled_daemon_drops_with_its_reason_and_tells_producers);
    tcase_add_test(tcase, probability_is_published);
    tcase_add_test(tcase, loop_gets_its_turn_between_passes);
    tcase_add_test(tcase, drain_ends_although_the_producer_goes_on);
    tcase_add_test(tcase, drain_takes_leave_of_an_owner_that_died_a_moment_before);
    tcase_add_test(tcase, last_words_are_heard_although_the_exporter_has_no_room);
    tcase_add_test(tcase, segment_that_cannot_be_unlinked_counts_once);
    tcase_add_test(tcase, threads_take_turns_when_room_is_scarce);
    tcase_add_test(tcase, ring_that_waits_does_not_cut_the_batches_of_others);
    tcase_add_test(tcase, ring_under_pressure_is_not_sent_in_crumbs);
    tcase_add_test(tcase, segments_leave_descriptors_to_others_and_take_turns);
    tcase_add_test(tcase, directory_made_anew_is_read);
    tcase_add_test(tcase, name_that_was_no_segment_is_remembered_only_while_it_is_there);
    tcase_add_test(tcase, lock_file_removed_by_hand_comes_back);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
