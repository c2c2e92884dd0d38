/* SPDX-License-Identifier: MIT
 *
 * What something costs, in instructions: the same on every machine, however busy.
 */
#ifndef STEPS_H
#define STEPS_H

#include <stdint.h>

/* Runs run(arg) in a child process, one instruction at a time. The caller's memory stays as it was. -> how many; 0: nobody
 * may be traced here. */
uint64_t steps_of(void (*run)(void *arg), void *arg);

#endif
