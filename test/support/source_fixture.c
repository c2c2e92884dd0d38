/* SPDX-License-Identifier: MIT */
#include "source_fixture.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct source_fixture source_fixture;
static struct source_fixture *const f = &source_fixture;

void source_fixture_submit(struct batch *batch)
{
    ck_assert_uint_gt(batch_span_count(batch), 0);
    ck_assert_uint_lt(f->held_count, SOURCE_BATCHES_MAX);
    f->held[f->held_count++] = batch;
    *batch_delivery(batch) = (struct delivery){.state = f->submitted};
}

static size_t held_at(const struct batch *batch)
{
    size_t i = 0;
    while (i < f->held_count && f->held[i] != batch)
        i++;
    return i;
}

static struct batch *unhold(size_t index)
{
    struct batch *batch = f->held[index];
    memmove(f->held + index, f->held + index + 1, (--f->held_count - index) * sizeof(*f->held));
    return batch;
}

struct batch *source_fixture_oldest(void)
{
    return f->held_count > 0 ? f->held[0] : NULL;
}

struct batch *source_fixture_next(const struct batch *batch)
{
    size_t next = held_at(batch) + 1;
    return next < f->held_count ? f->held[next] : NULL;
}

bool source_fixture_withdraw(struct batch *batch)
{
    ck_assert_uint_lt(held_at(batch), f->held_count);
    if (batch_delivery(batch)->state == DELIVERY_ON_WIRE)
        return false;
    unhold(held_at(batch));
    return true;
}

bool source_fixture_has_room(void)
{
    return f->held_count < f->room;
}

void source_fixture_start(void)
{
    ck_assert_int_eq(source_open(&f->loop, &f->config, &f->stats, f->log, &f->source), 0);
    ck_assert_int_eq(source_start(f->source), 0);
    source_attach_exporter(f->source, (struct exporter *)&f->held);
}

void source_fixture_start_producer(void)
{
    struct shmring_options options = {
        .dir = f->dir, .trusted_uid = (uid_t)-1, .slot_count = 4, .ring_bytes = SOURCE_RING_BYTES};
    ck_assert_int_eq(shmring_create(&options, &f->ring), 0);
    ck_assert_int_eq(shmring_attach(f->ring, &f->writer), 0);
}

void source_fixture_close_producer(void)
{
    shmring_close(f->ring);
    f->ring = NULL;
}

void source_fixture_init(void)
{
    *f = (struct source_fixture){.room = SOURCE_BATCHES_MAX, .submitted = DELIVERY_ON_WIRE};
    test_directory(f->dir, "source");
    f->config = (struct config){.enabled = true,
                                .service_prefix = "aistore",
                                .probability = 1,
                                .ring_dir = f->dir,
                                .flush_interval_ms = 5,
                                .max_batch_spans = 10,
                                .max_batch_bytes = 1 << 20};
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
    ck_assert_int_eq(log_new(STDERR_FILENO, &f->log), 0);
    source_fixture_start_producer();
}

static void closed(void *user)
{
    *(bool *)user = true;
}

void source_fixture_stop(void)
{
    bool done = false;
    source_close(f->source, closed, &done);
    LOOP_UNTIL(&f->loop, done);
    f->source = NULL;
}

void source_fixture_done(void)
{
    if (f->source)
        source_fixture_stop();
    uv_run(&f->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    shmring_close(f->ring);
    log_free(f->log);
    test_directory_remove(f->dir);
}

void source_fixture_run_for(uint64_t ms)
{
    loop_run_for(&f->loop, ms);
}

/* The lock file, which nobody removes otherwise, comes back with the tick. */
void source_fixture_run_for_a_tick(void)
{
    char lock[TEST_DIRECTORY_BYTES + 16];
    snprintf(lock, sizeof(lock), "%s/aistraced.lock", f->dir);
    ck_assert_int_eq(unlink(lock), 0);
    source_fixture_run_until(access(lock, F_OK) == 0);
}

bool source_fixture_write(const char name[4], uint16_t flags)
{
    static uint64_t id;
    struct aistrace_item item = {.tag = AISTRACE_ITEM_NAME, .value_bytes = 4};
    struct aistrace_span_record span = {.kind = 1, .start_unix_ns = 1, .duration_ns = 1};
    span.trace_id[0] = span.span_id[0] = 1;
    id++;
    memcpy(span.span_id + 1, &id, 7);
    uint32_t bytes = sizeof(span) + sizeof(item) + 4;
    uint8_t *at = shmring_reserve(f->writer, bytes, AISTRACE_RECORD_SPAN, flags);
    if (!at)
        return false;
    memcpy(at, &span, sizeof(span));
    memcpy(at + sizeof(span), &item, sizeof(item));
    memcpy(at + sizeof(span) + sizeof(item), name, 4);
    shmring_commit(f->writer);
    return true;
}

void source_fixture_write_spans(unsigned count, uint16_t flags)
{
    for (unsigned i = 0; i < count; i++)
        ck_assert(source_fixture_write("name", flags));
}

struct stats_snapshot source_fixture_snapshot(void)
{
    struct stats_snapshot s;
    source_snapshot(f->source, &s);
    ck_assert_uint_eq(s.committed, outcome_sum(&s.outcome) + s.in_flight + s.unread + s.spooled_now);
    ck_assert_uint_eq(s.spool_written, outcome_sum(&s.spool) + s.spooled_now);
    return s;
}

void source_fixture_finish(size_t index, const struct batch_outcome *outcome)
{
    source_batch_finished(f->source, unhold(index), outcome);
}

void source_fixture_finish_all(void)
{
    static const struct batch_outcome exported = {.exported = true};
    while (f->held_count > 0)
        source_fixture_finish(0, &exported);
}

unsigned source_fixture_segment_files(void)
{
    unsigned n = 0;
    DIR *d = opendir(f->dir);
    for (struct dirent *entry; (entry = readdir(d));)
        n += strstr(entry->d_name, SHMRING_SUFFIX) != NULL;
    closedir(d);
    return n;
}
