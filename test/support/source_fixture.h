/* SPDX-License-Identifier: MIT
 *
 * For tests of the source: a ring directory, a producer of this process in it, a loop, and an exporter that the test
 * plays: SOURCE_FIXTURE_PLAYS_EXPORTER, in the test's own file, takes the place of the daemon's. Failures abort the
 * calling test (libcheck).
 */
#ifndef SOURCE_FIXTURE_H
#define SOURCE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "batch/delivery.h"
#include "shmring.h"
#include "source/source.h"
#include "span_format.h"
#include "support/directory.h"
#include "support/loop.h"

enum { SOURCE_BATCHES_MAX = 1024, SOURCE_RING_BYTES = 64 << 10 };

struct source_fixture {
    char dir[TEST_DIRECTORY_BYTES];
    uv_loop_t loop;
    struct config config;
    struct stats stats;
    struct log *log;
    struct source *source;
    struct shmring *ring;
    struct shmring_writer *writer;          /* who writes the spans below */
    struct batch *held[SOURCE_BATCHES_MAX]; /* what the exporter was given and the test has not settled */
    size_t held_count;
    size_t room;                   /* how many it holds before it has none */
    enum delivery_state submitted; /* what becomes of a batch at once */
    const char *trouble;
    bool answers; /* the trouble is what is answered */
};
extern struct source_fixture source_fixture;

/* Everything but the source, which the test starts when it likes. */
void source_fixture_init(void);
void source_fixture_done(void);

void source_fixture_start(void);
void source_fixture_stop(void);
void source_fixture_start_producer(void);
void source_fixture_close_producer(void);

/* One span of a name of four letters. -> false: dropped. */
bool source_fixture_write(const char name[4], uint16_t flags);
void source_fixture_write_spans(unsigned count, uint16_t flags);

void source_fixture_submit(struct batch *batch);
bool source_fixture_has_room(void);
struct batch *source_fixture_oldest(void);
struct batch *source_fixture_next(const struct batch *batch);
bool source_fixture_withdraw(struct batch *batch);
#define SOURCE_FIXTURE_PLAYS_EXPORTER                                                                                  \
    void exporter_submit(struct exporter *exporter, struct batch *batch)                                               \
    {                                                                                                                  \
        (void)exporter;                                                                                                \
        source_fixture_submit(batch);                                                                                  \
    }                                                                                                                  \
    bool exporter_has_room(const struct exporter *exporter)                                                            \
    {                                                                                                                  \
        (void)exporter;                                                                                                \
        return source_fixture_has_room();                                                                              \
    }                                                                                                                  \
    struct batch *exporter_oldest(const struct exporter *exporter)                                                     \
    {                                                                                                                  \
        (void)exporter;                                                                                                \
        return source_fixture_oldest();                                                                                \
    }                                                                                                                  \
    struct batch *exporter_next(const struct batch *batch)                                                             \
    {                                                                                                                  \
        return source_fixture_next(batch);                                                                             \
    }                                                                                                                  \
    bool exporter_withdraw(struct exporter *exporter, struct batch *batch)                                             \
    {                                                                                                                  \
        (void)exporter;                                                                                                \
        return source_fixture_withdraw(batch);                                                                         \
    }                                                                                                                  \
    void exporter_mark_spooled(struct batch *batch)                                                                    \
    {                                                                                                                  \
        batch_delivery(batch)->spooled = true;                                                                         \
    }                                                                                                                  \
    size_t exporter_held(const struct exporter *exporter)                                                              \
    {                                                                                                                  \
        (void)exporter;                                                                                                \
        return source_fixture.held_count;                                                                              \
    }                                                                                                                  \
    const char *exporter_trouble(const struct exporter *exporter)                                                      \
    {                                                                                                                  \
        (void)exporter;                                                                                                \
        return source_fixture.trouble;                                                                                 \
    }                                                                                                                  \
    bool exporter_away(const struct exporter *exporter)                                                                \
    {                                                                                                                  \
        (void)exporter;                                                                                                \
        return source_fixture.trouble && !source_fixture.answers;                                                      \
    }

/* Settles the batch at that place, or all. */
void source_fixture_finish(size_t index, const struct batch_outcome *outcome);
void source_fixture_finish_all(void);

/* The figures, after a look whether they add up. */
struct stats_snapshot source_fixture_snapshot(void);

unsigned source_fixture_segment_files(void);

/* Runs the loop for that long, or for a second's work of the source: the directory has been read anew, and what follows
 * from that. Or until the condition holds. */
void source_fixture_run_for(uint64_t ms);
void source_fixture_run_for_a_tick(void);
#define source_fixture_run_until(condition) LOOP_UNTIL(&source_fixture.loop, condition)

#endif
