/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include <stdlib.h>

enum { TICK_MS = 2 };

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void loop_wait_begin(struct loop_wait *wait, uv_loop_t *loop)
{
    *wait = (struct loop_wait){.ticker = malloc(sizeof(*wait->ticker)),
                               .until_ns = uv_hrtime() + LOOP_DEADLINE_MS * 1000000ull};
    ck_assert_ptr_nonnull(wait->ticker);
    uv_update_time(loop);
    ck_assert_int_eq(uv_timer_init(loop, wait->ticker), 0);
    ck_assert_int_eq(uv_timer_start(wait->ticker, on_tick, TICK_MS, TICK_MS), 0);
}

bool loop_wait_turn(struct loop_wait *wait)
{
    uv_run(wait->ticker->loop, UV_RUN_ONCE);
    return uv_hrtime() < wait->until_ns;
}

void loop_wait_end(struct loop_wait *wait)
{
    uv_close((uv_handle_t *)wait->ticker, on_closed);
}

void loop_turns(uv_loop_t *loop, unsigned count)
{
    LOOP_UNTIL(loop, count-- == 0);
}

void loop_run_for(uv_loop_t *loop, uint64_t ms)
{
    uint64_t end_ns = uv_hrtime() + ms * 1000000;
    LOOP_UNTIL(loop, uv_hrtime() >= end_ns);
}
