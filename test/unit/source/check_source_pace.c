/* SPDX-License-Identifier: MIT
 *
 * When the source looks at the rings. Includes the source, to see which pace is in force.
 */
#include "source/source.c"

#include "support/source_fixture.h"
#include "support/test.h"

SOURCE_FIXTURE_PLAYS_EXPORTER

static struct source_fixture *const f = &source_fixture;

FIXTURE(source_fixture_init, source_fixture_done);

/* A program that begins writes at once: what it writes first must not wait for an idle daemon's next look. */
TEST(a_new_segment_ends_the_idle_pace)
{
    struct shmring *first = f->ring;
    source_fixture_start();
    source_fixture_run_until(f->source->poll_ms == POLL_PACE_IDLE_MAX_MS);
    source_fixture_start_producer();
    source_fixture_run_until(source_fixture_snapshot().segments == 2);
    ck_assert_uint_lt(f->source->poll_ms, POLL_PACE_BUSY_MAX_MS);
    shmring_close(first);
}
