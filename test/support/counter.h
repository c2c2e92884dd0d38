/* SPDX-License-Identifier: MIT
 *
 * The client's clock in tests: which of its two ways is taken must not depend on how fast a test runs.
 */
#ifndef COUNTER_H
#define COUNTER_H

#include <stdbool.h>
#include <stdint.h>

/* After aistrace_start: reads the clock until it goes by the CPU's counter. -> false, said aloud: this machine has none
 * that is sound, or its use was forbidden. */
bool counter_await(void);

/* Whether the line holds at all; for how many ticks after the last reading. */
bool counter_is_used(void);
void counter_set_window(uint32_t ticks);

/* And then no reading goes another way for the next second. */
bool counter_hold(void);

#endif
