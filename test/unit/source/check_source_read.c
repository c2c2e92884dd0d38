/* SPDX-License-Identifier: MIT
 *
 * Reading when memory is missing, when a record is too large or no record at all, and what else the source meets at its start.
 * Includes the source it tests, so that its calls can be made to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/source_read.h"
#include "support/failing.h"
#include "support/source_fixture.h"
#include "support/test.h"

#define batch_open(...)  (fails("batch_open") ? -ENOMEM : batch_open(__VA_ARGS__))
#define batch_claim(...) (fails("batch_claim") ? NULL : batch_claim(__VA_ARGS__))
#define batch_add(...)   (fails("batch_add") ? BATCH_NO_MEMORY : batch_add(__VA_ARGS__))
static bool sealing_fails; /* as long as it is set */
#define batch_seal(...) (sealing_fails || fails("batch_seal") ? -ENOMEM : batch_seal(__VA_ARGS__))
#include "source/source_read.c"

SOURCE_FIXTURE_PLAYS_EXPORTER

static struct source_fixture *const f = &source_fixture;
static int log_fd;

static void set_up(void)
{
    source_fixture_init();
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

static uint64_t exported_spans(void)
{
    return source_fixture_snapshot().outcome.exported;
}

static void export_all(uint64_t spans)
{
    for (int i = 0; i < 1000 && exported_spans() < spans; i++) {
        source_fixture_run_until(f->held_count > 0);
        source_fixture_finish_all();
    }
    ck_assert_uint_eq(exported_spans(), spans);
    ck_assert_uint_eq(source_fixture_snapshot().committed, spans);
}

/* ---- memory ---- */

static const struct {
    const char *call;
    unsigned after;
} allocations[] = {
    {"batch_open", 0}, {"batch_open", 1}, {"batch_claim", 0}, {"batch_claim", 3}, {"batch_add", 0},
    {"batch_add", 14}, {"batch_seal", 0}, {"batch_seal", 1},  {"batch_seal", 2},
};

/* 25 spans make two full batches, and one that is sealed by its time. */
LOOP_TEST(spans_wait_in_their_ring_for_memory, COUNT(allocations))
{
    source_fixture_write_spans(25, AISTRACE_SAMPLED);
    source_fixture_start();
    fail_call(allocations[_i].call, allocations[_i].after, ENOMEM);
    export_all(25);
    ck_assert(failed());
    ck_assert(was_logged("no memory"));
}

TEST(full_batch_that_cannot_be_sealed_keeps_nobody_waiting)
{
    sealing_fails = true;
    source_fixture_write_spans(25, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(was_logged("no memory to seal a batch"));
    ck_assert_uint_eq(f->held_count, 0);
    sealing_fails = false;
    export_all(25);
}

/* ---- records that are not sent ---- */

/* A span with a name of so many bytes. */
static void write_named(uint32_t name_bytes)
{
    struct aistrace_item item = {.tag = AISTRACE_ITEM_NAME, .value_bytes = name_bytes};
    struct aistrace_span_record span = {.kind = 1, .start_unix_ns = 1, .duration_ns = 1};
    memset(span.trace_id, 1, sizeof(span.trace_id));
    memset(span.span_id, 1, sizeof(span.span_id));
    uint8_t *at = shmring_reserve(f->writer, (uint32_t)(sizeof(span) + sizeof(item) + name_bytes), AISTRACE_RECORD_SPAN,
                                  AISTRACE_SAMPLED);
    ck_assert_ptr_nonnull(at);
    memcpy(at, &span, sizeof(span));
    memcpy(at + sizeof(span), &item, sizeof(item));
    memset(at + sizeof(span) + sizeof(item), 'n', name_bytes);
    shmring_commit(f->writer);
}

TEST(oversize_span_is_counted_and_its_neighbours_are_sent)
{
    f->config.max_batch_bytes = 1500;
    source_fixture_write_spans(2, AISTRACE_SAMPLED);
    write_named(1600);
    source_fixture_write_spans(3, AISTRACE_SAMPLED);
    write_named(1600);
    source_fixture_start();
    struct stats_snapshot s;
    do {
        source_fixture_run_until(f->held_count > 0 || (s = source_fixture_snapshot(), outcome_sum(&s.outcome) == 7));
        source_fixture_finish_all();
        s = source_fixture_snapshot();
    } while (outcome_sum(&s.outcome) < 7);
    ck_assert_uint_eq(s.outcome.exported, 5);
    ck_assert_uint_eq(s.outcome.dropped[DROP_OVERSIZE], 2);
    ck_assert_uint_eq(s.committed, 7);
    ck_assert(was_logged("larger than aistraced.max_batch_bytes (1500)"));
}

static uint8_t *map_ring(size_t *bytes)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", f->dir, shmring_name(f->ring));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    uint8_t *memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    close(fd);
    *bytes = (size_t)st.st_size;
    return memory;
}

TEST(what_was_read_before_a_damaged_record_is_sent)
{
    size_t bytes;
    source_fixture_write_spans(12, AISTRACE_SAMPLED);
    uint8_t *memory = map_ring(&bytes);
    const struct shmring_header *header = (const struct shmring_header *)(const void *)memory;
    struct shmring_record *record = (struct shmring_record *)(void *)(memory + header->data_offset);
    for (unsigned i = 0; i < 4; i++)
        record = (struct shmring_record *)(void *)((uint8_t *)record + record->length);
    ck_assert_uint_eq(record->ordinal, 4);
    record->ordinal = 5;
    munmap(memory, bytes);
    source_fixture_start();
    source_fixture_run_until(f->held_count == 1);
    ck_assert_uint_eq(batch_span_count(f->held[0]), 4);
    source_fixture_finish_all();
    ck_assert_uint_eq(f->stats.segments_quarantined, 1);
    ck_assert_uint_gt(f->stats.unreadable_bytes, 0);
    ck_assert_uint_eq(exported_spans(), 4);
    ck_assert(was_logged("slot quarantined"));
    source_fixture_run_for(20);
    ck_assert_uint_eq(f->stats.segments_quarantined, 1); /* counted once */
}

/* ---- the start ---- */

static void write_file(const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

TEST(damaged_state_file_is_told_and_counting_begins_at_zero)
{
    write_file(TOTALS_FILE, "aistraced totals 1\nexported 7\n"); /* no end */
    source_fixture_write_spans(3, AISTRACE_SAMPLED);
    source_fixture_start();
    ck_assert(was_logged("is damaged; counting of finished segments begins at zero"));
    export_all(3);
}

TEST(state_file_that_cannot_be_read_ends_the_start)
{
    struct source *source = NULL;
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", f->dir, TOTALS_FILE);
    ck_assert_int_eq(symlink(path, path), 0);
    ck_assert_int_eq(source_open(&f->loop, &f->config, &f->stats, f->log, &source), -ELOOP);
    ck_assert_ptr_null(source);
    ck_assert_int_eq(unlink(path), 0);
    source_fixture_start(); /* nothing of the first attempt holds the directory */
}

TEST(segment_of_another_version_is_left_alone_and_told)
{
    size_t bytes;
    uint8_t *memory = map_ring(&bytes);
    ((struct shmring_header *)(void *)memory)->abi_major++;
    source_fixture_write_spans(3, AISTRACE_SAMPLED);
    source_fixture_start();
    source_fixture_run_until(f->stats.segments_skipped == 1);
    ck_assert(was_logged("is of a version or mode this daemon does not know"));
    source_fixture_run_for(20);
    ck_assert_uint_eq(source_fixture_snapshot().segments, 0);
    ck_assert_uint_eq(source_fixture_segment_files(), 1);
    munmap(memory, bytes);
}

TEST(segment_whose_resource_passes_a_limit_is_left_alone_and_told_which)
{
    struct {
        struct aistrace_item item;
        uint16_t key;
    } __attribute__((packed)) attributes[AISTRACE_MAX_ATTRIBUTES + 1];
    struct shmring_options options = {.dir = f->dir,
                                      .trusted_uid = (uid_t)-1,
                                      .slot_count = 1,
                                      .ring_bytes = SOURCE_RING_BYTES,
                                      .resource = attributes,
                                      .resource_bytes = sizeof(attributes)};
    struct shmring *other;

    for (uint16_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        attributes[i].item = (struct aistrace_item){AISTRACE_ITEM_ATTRIBUTE, AISTRACE_VALUE_STRING, sizeof(i), 0};
        attributes[i].key = i;
    }
    ck_assert_int_eq(shmring_create(&options, &other), 0);
    source_fixture_start();
    source_fixture_run_until(f->stats.segments_skipped == 1);
    ck_assert(was_logged("is not a sound segment (more than 128 attributes); ignored"));
    shmring_close(other);
}

/* ---- the directory goes ---- */

TEST(directory_that_cannot_be_opened_anew_is_told_and_tried_again)
{
    char command[256];
    source_fixture_start();
    source_fixture_close_producer();
    snprintf(command, sizeof(command), "rm -rf %s && touch %s", f->dir, f->dir);
    ck_assert_int_eq(system(command), 0);
    source_fixture_run_until(was_logged("was removed, and a new one cannot be opened: Not a directory"));
    ck_assert_int_eq(unlink(f->dir), 0);
    source_fixture_start_producer();
    source_fixture_write_spans(3, AISTRACE_SAMPLED);
    source_fixture_run_until(f->held_count == 1);
}

TEST(lock_that_cannot_be_made_anew_is_told_and_tried_again)
{
    char lock[160];
    struct source *second;
    snprintf(lock, sizeof(lock), "%s/aistraced.lock", f->dir);
    source_fixture_start();
    ck_assert_int_eq(unlink(lock), 0);
    ck_assert_int_eq(mkdir(lock, 0700), 0);
    source_fixture_run_until(was_logged("cannot be made anew: Is a directory"));
    ck_assert_int_eq(rmdir(lock), 0);
    source_fixture_run_until(access(lock, F_OK) == 0);
    ck_assert_int_eq(source_open(&f->loop, &f->config, &f->stats, f->log, &second), -EWOULDBLOCK);
}
