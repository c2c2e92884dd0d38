/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "source/losses.h"
#include "support/test.h"

enum { SECOND = 1000 };

static struct log *sink;
static int fd;
static struct stats stats;
static struct stats_snapshot now;
static struct losses losses;

static void setup(void)
{
    fd = memfd_create("log", 0);
    ck_assert_int_eq(log_new(fd, &sink), 0);
    memset(&stats, 0, sizeof(stats));
    memset(&losses, 0, sizeof(losses));
    now = (struct stats_snapshot){.now_ms = 100 * SECOND, .stats = &stats};
}

static void teardown(void)
{
    log_free(sink);
    close(fd);
}

FIXTURE(setup, teardown);

/* -> all that has been written since the last call */
static const char *written(void)
{
    static char text[4096];
    memset(text, 0, sizeof(text));
    ck_assert_int_ge(pread(fd, text, sizeof(text) - 1, 0), 0);
    ck_assert_int_eq(ftruncate(fd, 0), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    return text;
}

/* A second passes. -> what is written then */
static const char *tick(void)
{
    now.now_ms += SECOND;
    losses_tell_outage(&losses, &now, "localhost:4317", &stats, sink);
    return written();
}

static void begin_outage(void)
{
    if (!stats.outage_began_ms)
        stats.outage_began_ms = now.now_ms;
    stats.outage_ended_ms = 0;
}

static void end_outage(void)
{
    stats.outage_ended_ms = now.now_ms + 500;
}

TEST(an_outage_without_loss_says_so)
{
    now.producer_dropped[SHMRING_DROP_RING_FULL] = 1000; /* long ago */
    ck_assert_str_eq(tick(), "");
    begin_outage();
    for (int i = 0; i < 12; i++)
        ck_assert_str_eq(tick(), "");
    end_outage();
    const char *text = tick();
    ck_assert_msg(strstr(text, " info recovered after 12.5 s: localhost:4317 can be reached; nothing was lost\n"), "%s",
                  text);
    ck_assert_str_eq(tick(), "");
    ck_assert_uint_eq(stats.outage_began_ms, 0);
}

TEST(what_was_lost_is_told_by_whom_and_why)
{
    now.producer_dropped[SHMRING_DROP_RING_FULL] = 5;
    now.outcome.dropped[DROP_REFUSED] = 7;
    tick();
    begin_outage();
    now.producer_dropped[SHMRING_DROP_RING_FULL] = 205;
    tick();
    now.outcome.dropped[DROP_REFUSED] = 10;
    now.producer_dropped[SHMRING_DROP_DISABLED] = 99;
    now.outcome.dropped[DROP_DISABLED] = 99;
    end_outage();
    const char *text = tick();
    ck_assert_msg(strstr(text, "spans lost meanwhile: 200 by programs (ring_full), 3 by aistraced (refused)\n"), "%s",
                  text);
}

/* As when a slot is quarantined: what its producer claims counts no longer. */
TEST(a_count_that_falls_is_no_loss)
{
    now.producer_dropped[SHMRING_DROP_RING_FULL] = 100;
    now.outcome.dropped[DROP_REFUSED] = 7;
    tick();
    begin_outage();
    now.producer_dropped[SHMRING_DROP_RING_FULL] = 40;
    now.outcome.dropped[DROP_REFUSED] = 3;
    end_outage();
    const char *text = tick();
    ck_assert_msg(strstr(text, "; nothing was lost\n"), "%s", text);
}

TEST(an_outage_between_two_looks_is_told)
{
    tick();
    begin_outage();
    now.producer_dropped[SHMRING_DROP_RING_FULL] = 1;
    end_outage();
    const char *text = tick();
    ck_assert_msg(strstr(text, "recovered after 0.5 s") && strstr(text, "1 by programs (ring_full)"), "%s", text);
}

TEST(a_flapping_endpoint_is_a_line_an_interval_and_no_loss_is_forgotten)
{
    unsigned lines = 0;
    char last[4096] = "";
    tick();
    for (int i = 0; i < 25; i++) {
        begin_outage();
        now.producer_dropped[SHMRING_DROP_RING_FULL] += 10;
        end_outage();
        const char *text = tick();
        lines += *text != '\0';
        if (*text)
            snprintf(last, sizeof(last), "%s", text);
    }
    ck_assert_uint_eq(lines, 3);
    ck_assert_msg(strstr(last, "100 by programs (ring_full)"), "%s", last);
}

static const char *drops_at(uint64_t now_ms)
{
    now.now_ms = now_ms;
    losses_tell_drops(&losses, &now, sink);
    return written();
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

TEST(drops_of_programs_are_told_once_per_reason_and_interval)
{
    uint64_t *counts = now.producer_dropped;
    counts[SHMRING_DROP_RING_FULL] = 7;
    losses_init(&losses, counts);
    ck_assert_str_eq(drops_at(1000), "");
    counts[SHMRING_DROP_DISABLED] = 5;
    ck_assert_str_eq(drops_at(1000), "");
    counts[SHMRING_DROP_RING_FULL] = 10;
    counts[PRODUCER_INTERRUPTED] = 1;
    const char *text = drops_at(2000);
    ck_assert_uint_eq(lines_of(text), 2);
    ck_assert_ptr_nonnull(strstr(text, "programs dropped 3 spans (ring_full): "));
    ck_assert_ptr_nonnull(strstr(text, "programs dropped 1 spans (interrupted): "));
    counts[SHMRING_DROP_RING_FULL] = 20;
    ck_assert_str_eq(drops_at(2000 + LOG_INTERVAL_MS - 1), "");
    counts[SHMRING_DROP_RING_FULL] = 30;
    text = drops_at(2000 + LOG_INTERVAL_MS);
    ck_assert_uint_eq(lines_of(text), 1);
    ck_assert_ptr_nonnull(strstr(text, "programs dropped 20 spans (ring_full): "));
    ck_assert_str_eq(drops_at(2000 + 9 * LOG_INTERVAL_MS), "");
}

TEST(drops_after_a_count_fell_are_told)
{
    uint64_t *counts = now.producer_dropped;
    counts[SHMRING_DROP_NESTED] = 100;
    losses_init(&losses, counts);
    counts[SHMRING_DROP_NESTED] = 40;
    ck_assert_str_eq(drops_at(1000), "");
    counts[SHMRING_DROP_NESTED] = 42;
    const char *text = drops_at(2000);
    ck_assert_msg(strstr(text, "programs dropped 2 spans (nested): "), "%s", text);
}
