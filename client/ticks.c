/* SPDX-License-Identifier: MIT */
#include "ticks.h"

#define RATE_ONE         0x1p32
#define RATE_CHANGE_MAX  500e-6 /* the most that the kernel lets NTP change */
#define READING_ERROR_NS 500.0  /* of two readings together */

/* Release: after the sequence became odd. */
#define SET(field, value) atomic_store_explicit(&line->field, value, memory_order_release)
#define GET(field)        atomic_load_explicit(&line->field, memory_order_relaxed)

static bool is_on_line(const struct aistrace__ticks *line, const struct aistrace__reading *reading)
{
    double ticks = (double)(int64_t)(reading->ticks - GET(base_ticks));
    double seen_ns = (double)(int64_t)(reading->ns - GET(base_ns));
    double expected_ns = ticks * (double)GET(rate) / RATE_ONE;
    double room_ns = READING_ERROR_NS + RATE_CHANGE_MAX * expected_ns;
    return ticks >= 0 && seen_ns - expected_ns <= room_ns && expected_ns - seen_ns <= room_ns;
}

/* The latest time the line may have given by now. */
static uint64_t given_ns(const struct aistrace__ticks *line, uint64_t ticks)
{
    uint64_t elapsed = ticks - GET(base_ticks), window = GET(window_ticks);
    return GET(base_ns) + ((elapsed < window ? elapsed : window) * GET(rate) >> 32);
}

static void start_over(struct aistrace__ticks *line, const struct aistrace__reading *reading)
{
    line->steady = false;
    SET(window_ticks, 0);
    SET(rate, 0);
    SET(base_ticks, reading->ticks);
    SET(base_ns, reading->ns);
    SET(renew_at_ns, reading->ns + AISTRACE__TICKS_MEASURE_NS);
    line->origin_ticks = reading->ticks;
    line->origin_ns = reading->ns;
}

/* The line begins to hold with the second measurement: is_on_line has compared it with the first. */
static void measure(struct aistrace__ticks *line, const struct aistrace__reading *reading)
{
    double ns = (double)(reading->ns - line->origin_ns), ticks = (double)(reading->ticks - line->origin_ticks);
    uint64_t rate = (uint64_t)(ns / ticks * RATE_ONE);
    line->steady = GET(rate) != 0 && rate != 0;
    SET(rate, rate);
    line->origin_ticks = reading->ticks;
    line->origin_ns = reading->ns;
}

/* Threads may overwrite each other's counts; then a few more readings are needed. */
bool aistrace__ticks_is_due(struct aistrace__ticks *line, uint64_t ns)
{
    uint32_t readings = 1;
    if (ns < GET(renew_at_ns))
        return false;
    /* The difference is negative when another thread has renewed the line since the reading. */
    if (GET(window_ticks) != 0 && (int64_t)(ns - GET(base_ns)) < AISTRACE__TICKS_WINDOW_NS + AISTRACE__TICKS_LATE_NS)
        return true;
    if (ns - GET(busy_since_ns) < AISTRACE__TICKS_WINDOW_NS)
        readings = GET(busy_readings) + 1;
    else
        SET(busy_since_ns, ns);
    SET(busy_readings, readings);
    if (readings >= AISTRACE__TICKS_BUSY)
        return true;
    if (GET(window_ticks) != 0)
        SET(window_ticks, 0);
    return false;
}

uint64_t aistrace__ticks_renew(struct aistrace__ticks *line, const struct aistrace__reading *reading)
{
    uint64_t given = given_ns(line, reading->ticks);
    uint64_t ns = reading->ns > given ? reading->ns : given;
    if (reading->width_ticks > AISTRACE__TICKS_WIDTH_MAX) {
        SET(window_ticks, 0);
        SET(renew_at_ns, reading->ns + AISTRACE__TICKS_WINDOW_NS);
        return reading->ns;
    }
    if (line->origin_ns == 0 || reading->ticks <= line->origin_ticks || reading->ns <= line->origin_ns ||
        (GET(rate) != 0 && !is_on_line(line, reading))) {
        start_over(line, reading);
        return reading->ns;
    }
    if (reading->ns - line->origin_ns >= AISTRACE__TICKS_MEASURE_NS)
        measure(line, reading);
    SET(base_ticks, reading->ticks);
    SET(base_ns, ns);
    SET(renew_at_ns, line->steady ? 0 : line->origin_ns + AISTRACE__TICKS_MEASURE_NS);
    SET(busy_readings, 0);
    if (line->steady)
        SET(window_ticks, (uint32_t)(((uint64_t)AISTRACE__TICKS_WINDOW_NS << 32) / GET(rate)));
    return ns;
}
