/* SPDX-License-Identifier: MIT
 *
 * Timers whose exact time does not matter fire at multiples of their period. So timers of 100, 500 and 1000 ms wake the
 * process together, ten times a second and not twice as often.
 */
#ifndef TIMER_GRID_H
#define TIMER_GRID_H

#include <stdint.h>

/* From now to the next multiple: 1 ... period_ms. */
static inline uint64_t timer_grid_ms(uint64_t now_ms, uint64_t period_ms)
{
    return period_ms - now_ms % period_ms;
}

#endif
