/* SPDX-License-Identifier: MIT
 *
 * Takes the place of the C library's clock_gettime, in the program that includes this: the coarse clock goes on only when
 * a test says so. For one source of a program.
 */
#ifndef COARSE_CLOCK_H
#define COARSE_CLOCK_H

#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t coarse_clock_shift_ms;

int clock_gettime(clockid_t clock, struct timespec *out)
{
    if (clock != CLOCK_MONOTONIC_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, out);
    *out = (struct timespec){1000 + coarse_clock_shift_ms / 1000, coarse_clock_shift_ms % 1000 * 1000000};
    return 0;
}

#endif
