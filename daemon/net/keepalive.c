/* SPDX-License-Identifier: MIT */
#include "keepalive.h"

static void on_timer(uv_timer_t *timer)
{
    struct keepalive *keepalive = timer->data;
    if (keepalive->heard) {
        keepalive_start(keepalive);
        return;
    }
    if (keepalive->asked) {
        keepalive->dead_cb(keepalive->user);
        return;
    }
    keepalive->asked = true;
    uv_timer_start(timer, on_timer, keepalive->answer_ms, 0);
    keepalive->ask_cb(keepalive->user);
}

void keepalive_init(uv_loop_t *loop, struct keepalive *keepalive, uint64_t interval_ms, uint64_t answer_ms,
                    void (*ask_cb)(void *user), void (*dead_cb)(void *user), void *user)
{
    *keepalive = (struct keepalive){
        .interval_ms = interval_ms, .answer_ms = answer_ms, .ask_cb = ask_cb, .dead_cb = dead_cb, .user = user};
    uv_timer_init(loop, &keepalive->timer);
    keepalive->timer.data = keepalive;
}

void keepalive_start(struct keepalive *keepalive)
{
    keepalive->heard = keepalive->asked = false;
    if (keepalive->interval_ms)
        uv_timer_start(&keepalive->timer, on_timer, keepalive->interval_ms, 0);
}

void keepalive_heard(struct keepalive *keepalive)
{
    keepalive->heard = true;
    if (keepalive->asked)
        keepalive_start(keepalive);
}

void keepalive_stop(struct keepalive *keepalive)
{
    uv_timer_stop(&keepalive->timer);
}
