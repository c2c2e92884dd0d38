/* SPDX-License-Identifier: MIT
 *
 * When a silent connection gets a PING, and when it is taken for dead (gRFC A8). On the loop's thread.
 */
#ifndef KEEPALIVE_H
#define KEEPALIVE_H

#include <stdbool.h>
#include <uv.h>

struct keepalive {
    uv_timer_t timer;
    uint64_t interval_ms;
    uint64_t answer_ms;
    bool heard; /* since the timer was started */
    bool asked;
    void (*ask_cb)(void *user);  /* send a PING */
    void (*dead_cb)(void *user); /* no byte came back; called once */
    void *user;
};

/* interval_ms 0: never asks. answer_ms: how long a PING waits for its answer, or any other byte. The owner
 * closes the timer (uv_close). */
void keepalive_init(uv_loop_t *loop, struct keepalive *keepalive, uint64_t interval_ms, uint64_t answer_ms,
                    void (*ask_cb)(void *user), void (*dead_cb)(void *user), void *user);
void keepalive_start(struct keepalive *keepalive);
void keepalive_heard(struct keepalive *keepalive); /* bytes have come in; costs little */
void keepalive_stop(struct keepalive *keepalive);

#endif
