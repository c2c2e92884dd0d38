/* SPDX-License-Identifier: MIT
 *
 * The line through counter and clock, on machines made up: every reading is compared with their true time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "support/single_step.h"
#include "support/span_model.h"
#include "support/test.h"
#include "ticks.h"

enum { READINGS = 200000, MOST_ERROR_NS = 400 };

struct machine {
    struct aistrace__ticks lines;
    struct model_random random;
    double ghz;
    double ppm;         /* by which the clock runs fast at present */
    double ticks;       /* true counter */
    double ns;          /* true CLOCK_MONOTONIC */
    double width_ticks; /* longest of a reading */
    double read_ns;     /* true time when `read` took place */
    size_t by_line;
    double worst_ns; /* error of a reading */
    uint64_t last_ns;
};

static double below(struct machine *m, double bound)
{
    return (double)(model_next(&m->random) >> 11) * 0x1p-53 * bound;
}

static struct machine machine(uint64_t seed, double ghz)
{
    return (struct machine){
        .random = {seed}, .ghz = ghz, .ticks = 1e9 * ghz, .ns = 5e9, .width_ticks = AISTRACE__TICKS_WIDTH_MAX};
}

static void pass_ns(struct machine *m, double ns)
{
    m->ticks += ns * m->ghz;
    m->ns += ns * (1 + m->ppm * 1e-6);
}

static const struct aistrace__line *line(const struct machine *m)
{
    return aistrace__ticks_line(&m->lines, m->lines.current);
}

static bool by_line(const struct machine *m, uint64_t current, uint64_t ticks, uint64_t *ns)
{
    return aistrace__ticks_to_ns(&m->lines, current, aistrace__ticks_window(&m->lines, current), ticks, ns);
}

static void renew(struct machine *m)
{
    uint64_t before = (uint64_t)m->ticks, ns;
    double width_ns = below(m, m->width_ticks / m->ghz), at_ns = below(m, width_ns);

    pass_ns(m, at_ns);
    ns = (uint64_t)m->ns;
    m->read_ns = m->ns;
    pass_ns(m, width_ns - at_ns);
    uint64_t width = (uint64_t)m->ticks - before;
    struct aistrace__reading reading = {before + width / 2, ns, width};
    m->last_ns = aistrace__ticks_renew(&m->lines, m->lines.current, &reading);
}

/* As clock.c does it. */
static void read_time(struct machine *m)
{
    m->read_ns = m->ns;
    if (by_line(m, m->lines.current, (uint64_t)m->ticks, &m->last_ns))
        m->by_line++;
    else if (!aistrace__ticks_is_due(&m->lines, (uint64_t)m->ns))
        m->last_ns = (uint64_t)m->ns;
    else
        renew(m);
    double error_ns = (double)m->last_ns - m->read_ns;
    error_ns = error_ns < 0 ? -error_ns : error_ns;
    if (error_ns > m->worst_ns)
        m->worst_ns = error_ns;
}

static void run(struct machine *m, size_t readings, double most_apart_ns)
{
    for (size_t i = 0; i < readings; i++) {
        pass_ns(m, below(m, most_apart_ns));
        read_time(m);
    }
}

static const double clocks_ghz[] = {1.0, 2.1, 2.596, 5.7};
enum { CLOCKS = COUNT(clocks_ghz) };

LOOP_TEST(a_steady_machine_is_read_by_the_line_and_right, CLOCKS)
{
    struct machine m = machine(1 + (uint64_t)_i, clocks_ghz[_i]);

    run(&m, READINGS, 10000);
    ck_assert_uint_gt(m.by_line, READINGS * 9 / 10);
    ck_assert_double_lt(m.worst_ns, MOST_ERROR_NS);
}

LOOP_TEST(nothing_is_reckoned_before_the_rate_was_measured_twice, CLOCKS)
{
    struct machine m = machine(11, clocks_ghz[_i]);

    while (m.ns < 5e9 + 2 * AISTRACE__TICKS_MEASURE_NS) {
        run(&m, 1, 10000);
        ck_assert_uint_eq(m.by_line, 0);
    }
}

LOOP_TEST(rates_that_change_as_much_as_ntp_may_keep_the_bound, CLOCKS)
{
    struct machine m = machine(21 + (uint64_t)_i, clocks_ghz[_i]);

    for (int change = 0; change < 2000; change++) {
        m.ppm = below(&m, 1000) - 500;
        run(&m, 1 + (size_t)below(&m, 200), 1 + below(&m, 200000));
    }
    ck_assert_uint_gt(m.by_line, 20000);
    ck_assert_double_lt(m.worst_ns, MOST_ERROR_NS);
}

LOOP_TEST(long_silence_keeps_the_bound, CLOCKS)
{
    struct machine m = machine(31, clocks_ghz[_i]);

    for (int burst = 0; burst < 2000; burst++) {
        run(&m, 30, 10000);
        m.ppm = below(&m, 1000) - 500;
        pass_ns(&m, below(&m, 10e9));
    }
    ck_assert_uint_gt(m.by_line, 2000);
    ck_assert_double_lt(m.worst_ns, MOST_ERROR_NS);
}

/* The clock stands still meanwhile; the counter goes on, or begins again. */
LOOP_TEST(a_machine_that_was_suspended_keeps_the_bound, CLOCKS)
{
    struct machine m = machine(41, clocks_ghz[_i]);

    for (int sleep = 0; sleep < 500; sleep++) {
        run(&m, 2000, 10000);
        if (sleep % 3 == 0)
            m.ticks = 1000 + below(&m, 1e9);
        else
            m.ticks += 1e6 + below(&m, 1e13);
    }
    ck_assert_uint_gt(m.by_line, 2000 * 250);
    ck_assert_double_lt(m.worst_ns, MOST_ERROR_NS);
}

LOOP_TEST(the_steepest_slew_spoils_one_window_and_no_more, CLOCKS)
{
    struct machine m = machine(51, clocks_ghz[_i]);

    for (int slew = 0; slew < 50; slew++) {
        m.worst_ns = 0;
        m.ppm = slew % 2 ? 0 : (slew % 4 ? 1e5 : -1e5);
        double end_ns = m.ns + 1.2 * AISTRACE__TICKS_WINDOW_NS;
        while (m.ns < end_ns)
            run(&m, 1, 2000);
        ck_assert_double_lt(m.worst_ns, 0.112 * AISTRACE__TICKS_WINDOW_NS + MOST_ERROR_NS);
        m.worst_ns = 0;
        size_t by_line = m.by_line;
        run(&m, 10000, 2000);
        ck_assert_double_lt(m.worst_ns, MOST_ERROR_NS);
        ck_assert_uint_gt(m.by_line, by_line + 2000); /* it holds again, at the new rate */
    }
}

LOOP_TEST(readings_that_took_long_are_not_believed, CLOCKS)
{
    struct machine m = machine(61, clocks_ghz[_i]);

    m.width_ticks = 20 * AISTRACE__TICKS_WIDTH_MAX;
    run(&m, READINGS, 5000);
    ck_assert_uint_gt(m.by_line, READINGS / 50);
    ck_assert_double_lt(m.worst_ns, MOST_ERROR_NS);
}

LOOP_TEST(who_reads_seldom_renews_nothing, CLOCKS)
{
    struct machine m = machine(91, clocks_ghz[_i]);

    for (int i = 0; i < 1000; i++) {
        pass_ns(&m, 2 * AISTRACE__TICKS_WINDOW_NS);
        run(&m, 2, 100); /* start and end of a span */
    }
    ck_assert_uint_eq(m.lines.current, 0);
    run(&m, READINGS, 3000);
    uint64_t busy = m.lines.current;
    size_t by_line = m.by_line;
    ck_assert_uint_gt(busy, 0);
    for (int i = 0; i < 1000; i++) {
        pass_ns(&m, 2 * AISTRACE__TICKS_WINDOW_NS);
        run(&m, 2, 100);
        ck_assert_uint_eq(line(&m)->window_ticks, 0); /* the counter is not even read */
    }
    ck_assert_uint_eq(m.lines.current, busy);
    ck_assert_uint_eq(m.by_line, by_line);
    run(&m, 100, 100);
    ck_assert_uint_gt(m.by_line, by_line + 90);
    ck_assert_double_lt(m.worst_ns, MOST_ERROR_NS);
}

LOOP_TEST(time_does_not_go_back, CLOCKS)
{
    struct machine m = machine(71, clocks_ghz[_i]);
    size_t back = 0;

    run(&m, READINGS, 3000);
    for (int i = 0; i < 5 * READINGS; i++) {
        uint64_t before_ns = m.last_ns;
        if (i % 1000 == 0)
            m.ppm = below(&m, 1000) - 500;
        run(&m, 1, 60);
        back += m.last_ns < before_ns;
    }
    ck_assert_uint_eq(back, 0);
    ck_assert_double_lt(m.worst_ns, MOST_ERROR_NS);
}

/* What NTP may do at once: from one end of its range to the other. */
LOOP_TEST(time_does_not_go_back_while_the_rate_changes_by_1000_ppm, CLOCKS)
{
    struct machine m = machine(121, clocks_ghz[_i]);
    size_t back = 0;

    m.ppm = 500;
    run(&m, READINGS, 3000);
    for (int i = 0; i < 10 * READINGS; i++) {
        uint64_t before_ns = m.last_ns;
        if (i % 200000 == 0)
            m.ppm = -m.ppm;
        run(&m, 1, 60);
        back += m.last_ns < before_ns;
    }
    ck_assert_uint_eq(back, 0);
    ck_assert_double_lt(m.worst_ns, MOST_ERROR_NS);
}

/* Somebody read the clock, and was held up until another had renewed the line. */
LOOP_TEST(a_reading_from_before_the_renewal_leaves_the_line_open, CLOCKS)
{
    struct machine m = machine(101, clocks_ghz[_i]);

    run(&m, READINGS, 3000);
    uint64_t before_ns = (uint64_t)m.ns;
    pass_ns(&m, 1000);
    renew(&m);
    ck_assert_uint_gt(line(&m)->base_ns, before_ns);
    aistrace__ticks_is_due(&m.lines, before_ns);
    ck_assert_uint_ne(line(&m)->window_ticks, 0);
}

LOOP_TEST(a_line_that_was_replaced_or_has_ended_is_not_used, CLOCKS)
{
    struct machine m = machine(81, clocks_ghz[_i]);
    uint64_t ns;

    run(&m, READINGS, 3000);
    uint64_t before = m.lines.current;
    renew(&m);
    ck_assert(by_line(&m, m.lines.current, (uint64_t)m.ticks, &ns));
    ck_assert(!by_line(&m, before, (uint64_t)m.ticks, &ns));
    ck_assert(!by_line(&m, m.lines.current, line(&m)->base_ticks - 1, &ns));
    ck_assert(!by_line(&m, m.lines.current, line(&m)->base_ticks + line(&m)->window_ticks, &ns));
}

/* Of two that renew at once. */
LOOP_TEST(the_first_renewal_holds, CLOCKS)
{
    struct machine m = machine(111, clocks_ghz[_i]);

    run(&m, READINGS, 3000);
    uint64_t before = m.lines.current;
    renew(&m);
    uint64_t first = m.lines.current, base_ticks = line(&m)->base_ticks;
    pass_ns(&m, 50);
    struct aistrace__reading late = {(uint64_t)m.ticks, (uint64_t)m.ns, 20};
    ck_assert_uint_eq(aistrace__ticks_renew(&m.lines, before, &late), late.ns);
    ck_assert_uint_eq(m.lines.current, first);
    ck_assert_uint_eq(line(&m)->base_ticks, base_ticks);
}

/* ---- a renewal that is interrupted ---- */

static struct machine interrupted;

/* As clock.c does it: first which line is in force, then the reading. */
struct renewal {
    uint64_t current;
    struct aistrace__reading reading;
};

static struct renewal begin_renewal(void)
{
    pass_ns(&interrupted, 1000);
    return (struct renewal){interrupted.lines.current, {(uint64_t)interrupted.ticks, (uint64_t)interrupted.ns, 20}};
}

static void finish_renewal(void *argument)
{
    const struct renewal *renewal = argument;

    aistrace__ticks_renew(&interrupted.lines, renewal->current, &renewal->reading);
}

static void renew_in_handler(void *unused)
{
    struct renewal renewal = begin_renewal();

    (void)unused;
    finish_renewal(&renewal);
}

/* -> whether a line has an owner beside the one in force: then nobody takes it again, but here it is given back */
static bool has_lost_line(void)
{
    size_t in_force = interrupted.lines.current % sizeof(interrupted.lines.lines) / sizeof(struct aistrace__line);
    bool lost = false;

    for (size_t i = 0; i < AISTRACE__TICKS_LINES; i++) {
        lost |= i != in_force && interrupted.lines.owners[i] != 0;
        if (i != in_force)
            interrupted.lines.owners[i] = 0;
    }
    return lost;
}

static void (*const interruptions[])(void *) = {single_step_jump, renew_in_handler};

/* A jump in the few instructions that put a line in force loses that line; every other one is found again. */
LOOP_TEST(a_renewal_that_is_interrupted_or_left_anywhere_spoils_no_line, COUNT(interruptions))
{
    enum { LOST_MOST = 12, INSTRUCTIONS_MOST = 2000 };
    unsigned at = 1, lost = 0;

    NEEDS_SINGLE_STEP();
    interrupted = machine(131, 2.1);
    run(&interrupted, READINGS, 3000);
    for (bool came = true; came; at++) {
        struct renewal renewal = begin_renewal();
        came = single_step(at, finish_renewal, interruptions[_i], &renewal);
        renewal = begin_renewal();
        single_step(0, finish_renewal, NULL, &renewal); /* in the same frame */
        ck_assert_uint_ne(interrupted.lines.current, renewal.current);
        size_t by_line = interrupted.by_line;
        run(&interrupted, 100, 100);
        ck_assert_uint_gt(interrupted.by_line, by_line + 90);
        ck_assert_double_lt(interrupted.worst_ns, MOST_ERROR_NS);
        lost += has_lost_line();
        ck_assert_uint_lt(at, INSTRUCTIONS_MOST);
    }
    ck_assert_uint_gt(at, 100);
    ck_assert_uint_le(lost, _i == 0 ? LOST_MOST : 0);
    printf("%u instructions, a line was lost at %u\n", at - 1, lost);
}

/* Then every reading is the clock's. */
TEST(where_no_line_is_left_the_last_one_ends)
{
    interrupted = machine(141, 2.1);
    run(&interrupted, READINGS, 3000);
    for (int i = 0; i < AISTRACE__TICKS_LINES; i++)
        interrupted.lines.owners[i] = 1;
    uint64_t before = interrupted.lines.current;
    run(&interrupted, READINGS, 3000);
    ck_assert_uint_eq(interrupted.lines.current, before);
    ck_assert_double_lt(interrupted.worst_ns, MOST_ERROR_NS);
}
