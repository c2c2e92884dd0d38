/* SPDX-License-Identifier: MIT
 *
 * How a test waits: it turns a loop until a condition holds. UV_RUN_ONCE alone may wait for ever: a timer that is due runs,
 * the condition holds from there on, and the same turn then waits for the loop's next event. So a timer ticks meanwhile.
 *
 *     LOOP_UNTIL(&loop, bench.done > 0);
 *     LOOP_UNTIL_OR(&loop, bench.done > 0, "trouble: %s", bench.trouble);
 */
#ifndef TEST_LOOP_H
#define TEST_LOOP_H

#include <check.h>
#include <stdbool.h>
#include <uv.h>

enum { LOOP_DEADLINE_MS = 60000 }; /* ends a test that hangs; no test passes or fails by it otherwise */

#define LOOP_UNTIL(loop, condition) LOOP_UNTIL_OR(loop, condition, "%s", #condition)

/* The condition is evaluated once before each turn, and not again when it has held. */
#define LOOP_UNTIL_OR(loop, condition, ...)                                                                            \
    do {                                                                                                               \
        struct loop_wait loop_wait;                                                                                    \
        bool loop_held;                                                                                                \
        loop_wait_begin(&loop_wait, loop);                                                                             \
        while (!(loop_held = (condition)) && loop_wait_turn(&loop_wait))                                               \
            continue;                                                                                                  \
        loop_wait_end(&loop_wait);                                                                                     \
        if (!loop_held)                                                                                                \
            ck_abort_msg("not within the deadline: " __VA_ARGS__);                                                     \
    } while (0)

/* Some turns; each waits for an event, but for no longer than a tick. */
void loop_turns(uv_loop_t *loop, unsigned count);

/* For what must not happen: a busy machine then shows less of it, and fails nothing. */
void loop_run_for(uv_loop_t *loop, uint64_t ms);

/* ---- what the macros are made of ---- */

struct loop_wait {
    uv_timer_t *ticker;
    uint64_t until_ns;
};

void loop_wait_begin(struct loop_wait *wait, uv_loop_t *loop);
bool loop_wait_turn(struct loop_wait *wait); /* -> false: the deadline is over */
void loop_wait_end(struct loop_wait *wait);  /* turns nothing; the ticker is closed by the loop's next turn */

#endif
