/* SPDX-License-Identifier: MIT */
#include "ticks.h"

#include <stddef.h>

#define RATE_ONE         0x1p32
#define RATE_CHANGE_MAX  1000e-6 /* the most that the kernel lets NTP change: from 500 ppm slow to 500 ppm fast */
#define READING_ERROR_NS 500.0   /* of two readings together */

#define GET(object, field) atomic_load_explicit(&(object)->field, memory_order_relaxed)
/* Release: whoever still reads a line that is written anew, and sees it, also sees that it is not in force any more. */
#define SET(object, field, value) atomic_store_explicit(&(object)->field, value, memory_order_release)

/* ---- a line and the one after it ---- */

static bool is_on_line(const struct aistrace__line *line, const struct aistrace__reading *reading)
{
    double ticks = (double)(int64_t)(reading->ticks - GET(line, base_ticks));
    double seen_ns = (double)(int64_t)(reading->ns - GET(line, seen_ns));
    double expected_ns = ticks * (double)GET(line, rate) / RATE_ONE;
    double room_ns = READING_ERROR_NS + RATE_CHANGE_MAX * expected_ns;
    return ticks >= 0 && seen_ns - expected_ns <= room_ns && expected_ns - seen_ns <= room_ns;
}

/* The latest time the line may have given by now. */
static uint64_t given_ns(const struct aistrace__line *line, uint64_t ticks)
{
    uint64_t elapsed = ticks - GET(line, base_ticks), window = GET(line, window_ticks);
    return GET(line, base_ns) + ((elapsed < window ? elapsed : window) * GET(line, slope) >> 32);
}

static void start_over(struct aistrace__line *line, const struct aistrace__reading *reading)
{
    SET(line, window_ticks, 0);
    SET(line, steady, 0);
    SET(line, slope, 0);
    SET(line, rate, 0);
    SET(line, base_ticks, reading->ticks);
    SET(line, base_ns, reading->ns);
    SET(line, seen_ns, reading->ns);
    SET(line, origin_ticks, reading->ticks);
    SET(line, origin_ns, reading->ns);
}

/* The line begins to hold with the second measurement: is_on_line has compared it with the first. */
static void measure(struct aistrace__line *line, const struct aistrace__reading *reading)
{
    double ns = (double)(reading->ns - GET(line, origin_ns)),
           ticks = (double)(reading->ticks - GET(line, origin_ticks));
    uint64_t rate = (uint64_t)(ns / ticks * RATE_ONE);
    SET(line, steady, GET(line, rate) != 0 && rate != 0);
    SET(line, rate, rate);
    SET(line, origin_ticks, reading->ticks);
    SET(line, origin_ns, reading->ns);
}

/* The line begins at the reading, or ahead of it at ns, and meets the clock at its end. */
static void begin_at(struct aistrace__line *line, const struct aistrace__reading *reading, uint64_t ns)
{
    uint64_t lead_ns = ns - reading->ns, rate = GET(line, rate);
    SET(line, base_ticks, reading->ticks);
    SET(line, base_ns, ns);
    SET(line, seen_ns, reading->ns);
    SET(line, slope, lead_ns < AISTRACE__TICKS_WINDOW_NS ? rate - rate * lead_ns / AISTRACE__TICKS_WINDOW_NS : 0);
    if (GET(line, steady))
        SET(line, window_ticks, (uint32_t)(((uint64_t)AISTRACE__TICKS_WINDOW_NS << 32) / rate));
}

/* ---- putting a line in force ---- */

/* An owner is 0: nobody; IN_FORCE; or the frame of the renewal that writes the line. Two renewals that both go on never
 * have the same frame, so a line of one's own frame was left by a renewal that a jump has ended. Only a renewal that is
 * left within the dozen instructions that put a line in force loses one for good; when all are lost, time is the
 * clock's. */
enum { IN_FORCE = 1 };

static struct aistrace__line *take_line(struct aistrace__ticks *ticks, uint64_t current, uintptr_t frame)
{
    uint64_t in_force = current % sizeof(ticks->lines) / sizeof(ticks->lines[0]);
    for (uint64_t i = 0; i < AISTRACE__TICKS_LINES; i++) {
        uintptr_t nobody = 0;
        if (i != in_force &&
            (GET(ticks, owners[i]) == frame || atomic_compare_exchange_strong(&ticks->owners[i], &nobody, frame)))
            return &ticks->lines[i];
    }
    return NULL;
}

static void put_in_force(struct aistrace__ticks *ticks, uint64_t current, const struct aistrace__line *line)
{
    uint64_t old = current % sizeof(ticks->lines) / sizeof(*line), own = (uint64_t)(line - ticks->lines);
    uint64_t next = current - current % sizeof(ticks->lines) + sizeof(ticks->lines) + own * sizeof(*line);
    SET(ticks, owners[own], IN_FORCE);
    bool is_first = atomic_compare_exchange_strong(&ticks->current, &current, next);
    SET(ticks, owners[is_first ? old : own], 0);
}

static void copy(struct aistrace__line *to, const struct aistrace__line *from)
{
    SET(to, base_ticks, GET(from, base_ticks));
    SET(to, base_ns, GET(from, base_ns));
    SET(to, slope, GET(from, slope));
    SET(to, steady, GET(from, steady));
    SET(to, seen_ns, GET(from, seen_ns));
    SET(to, rate, GET(from, rate));
    SET(to, origin_ticks, GET(from, origin_ticks));
    SET(to, origin_ns, GET(from, origin_ns));
    SET(to, window_ticks, GET(from, window_ticks));
}

/* ---- renewing ---- */

/* Threads may overwrite each other's counts; then a few more readings are needed. */
bool aistrace__ticks_is_due(struct aistrace__ticks *ticks, uint64_t ns)
{
    const struct aistrace__line *line = aistrace__ticks_line(ticks, GET(ticks, current));
    uint32_t readings = 1;
    if (ns < GET(ticks, renew_at_ns))
        return false;
    /* The difference is negative when another thread has renewed the line since the reading. */
    if (GET(line, window_ticks) != 0 &&
        (int64_t)(ns - GET(line, base_ns)) < AISTRACE__TICKS_WINDOW_NS + AISTRACE__TICKS_LATE_NS)
        return true;
    if (ns - GET(ticks, busy_since_ns) < AISTRACE__TICKS_WINDOW_NS)
        readings = GET(ticks, busy_readings) + 1;
    else
        SET(ticks, busy_since_ns, ns);
    SET(ticks, busy_readings, readings);
    if (readings >= AISTRACE__TICKS_BUSY)
        return true;
    if (GET(line, window_ticks) != 0)
        aistrace__ticks_close(ticks);
    return false;
}

/* -> the time of the reading, and in *line the line from there on; *renew_at_ns: when it is due at the earliest */
static uint64_t next_line(struct aistrace__line *line, const struct aistrace__reading *reading, uint64_t *renew_at_ns)
{
    uint64_t given = given_ns(line, reading->ticks), ns = reading->ns > given ? reading->ns : given;
    if (reading->width_ticks > AISTRACE__TICKS_WIDTH_MAX) {
        SET(line, window_ticks, 0);
        *renew_at_ns = reading->ns + AISTRACE__TICKS_WINDOW_NS;
        return reading->ns;
    }
    if (GET(line, origin_ns) == 0 || reading->ticks <= GET(line, origin_ticks) || reading->ns <= GET(line, origin_ns) ||
        (GET(line, rate) != 0 && !is_on_line(line, reading))) {
        start_over(line, reading);
        *renew_at_ns = reading->ns + AISTRACE__TICKS_MEASURE_NS;
        return reading->ns;
    }
    if (reading->ns - GET(line, origin_ns) >= AISTRACE__TICKS_MEASURE_NS)
        measure(line, reading);
    begin_at(line, reading, ns);
    *renew_at_ns = GET(line, steady) ? 0 : GET(line, origin_ns) + AISTRACE__TICKS_MEASURE_NS;
    return ns;
}

uint64_t aistrace__ticks_renew(struct aistrace__ticks *ticks, uint64_t current, const struct aistrace__reading *reading)
{
    struct aistrace__line next, *line;
    uint64_t renew_at_ns;
    copy(&next, aistrace__ticks_line(ticks, current));
    atomic_thread_fence(memory_order_acquire); /* current is looked at after the line */
    if (GET(ticks, current) != current)
        return reading->ns;
    uint64_t ns = next_line(&next, reading, &renew_at_ns);
    line = take_line(ticks, current, (uintptr_t)__builtin_frame_address(0));
    if (!line)
        return reading->ns;
    copy(line, &next);
    put_in_force(ticks, current, line);
    SET(ticks, renew_at_ns, renew_at_ns);
    SET(ticks, busy_readings, 0);
    return ns;
}
