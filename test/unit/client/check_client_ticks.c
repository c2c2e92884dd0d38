/* SPDX-License-Identifier: MIT
 *
 * The line through counter and clock, on machines made up: every reading is compared with their true time.
 */
#include <stdlib.h>

#include "support/span_model.h"
#include "support/test.h"
#include "ticks.h"

enum { READINGS = 200000, MOST_ERROR_NS = 400 };

struct machine {
    struct aistrace__ticks line;
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

static void renew(struct machine *m)
{
    uint64_t before = (uint64_t)m->ticks, ns;
    double width_ns = below(m, m->width_ticks / m->ghz), at_ns = below(m, width_ns);

    pass_ns(m, at_ns);
    ns = (uint64_t)m->ns;
    m->read_ns = m->ns;
    pass_ns(m, width_ns - at_ns);
    uint64_t width = (uint64_t)m->ticks - before;
    m->line.sequence++;
    m->last_ns = aistrace__ticks_renew(&m->line, &(struct aistrace__reading){before + width / 2, ns, width});
    m->line.sequence++;
}

/* As clock.c does it. */
static void read_time(struct machine *m)
{
    m->read_ns = m->ns;
    if (m->line.window_ticks != 0 && aistrace__ticks_to_ns(&m->line, m->line.sequence, (uint64_t)m->ticks, &m->last_ns))
        m->by_line++;
    else if (!aistrace__ticks_is_due(&m->line, (uint64_t)m->ns))
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
        m.ppm = below(&m, 500) - 250;
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
        m.ppm = below(&m, 500) - 250;
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
    ck_assert_uint_eq(m.line.sequence, 0);
    run(&m, READINGS, 3000);
    uint32_t busy = m.line.sequence;
    size_t by_line = m.by_line;
    ck_assert_uint_gt(busy, 0);
    for (int i = 0; i < 1000; i++) {
        pass_ns(&m, 2 * AISTRACE__TICKS_WINDOW_NS);
        run(&m, 2, 100);
        ck_assert_uint_eq(m.line.window_ticks, 0); /* the counter is not even read */
    }
    ck_assert_uint_eq(m.line.sequence, busy);
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
            m.ppm = below(&m, 500) - 250;
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
    ck_assert_uint_gt(m.line.base_ns, before_ns);
    aistrace__ticks_is_due(&m.line, before_ns);
    ck_assert_uint_ne(m.line.window_ticks, 0);
}

LOOP_TEST(the_line_is_not_used_while_it_is_renewed, CLOCKS)
{
    struct machine m = machine(81, clocks_ghz[_i]);
    uint64_t ns;

    run(&m, READINGS, 3000);
    renew(&m);
    ck_assert(aistrace__ticks_to_ns(&m.line, m.line.sequence, (uint64_t)m.ticks, &ns));
    ck_assert(!aistrace__ticks_to_ns(&m.line, m.line.sequence - 2, (uint64_t)m.ticks, &ns));
    ck_assert(!aistrace__ticks_to_ns(&m.line, m.line.sequence, m.line.base_ticks - 1, &ns));
    ck_assert(!aistrace__ticks_to_ns(&m.line, m.line.sequence, m.line.base_ticks + m.line.window_ticks, &ns));
}
