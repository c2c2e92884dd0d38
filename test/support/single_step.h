/* SPDX-License-Identifier: MIT
 *
 * A signal handler at any one instruction of a call, in the thread that makes the call: the CPU's trap flag has each
 * instruction followed by SIGTRAP. x86-64 only; not under ThreadSanitizer, whose own locks a jump would leave held.
 */
#ifndef SINGLE_STEP_H
#define SINGLE_STEP_H

#include <stdbool.h>

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#define SINGLE_STEP true
#else
#define SINGLE_STEP false
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SINGLE_STEP_STRIDE 29 /* ten times as many instructions: then not every one is tried */
#else
#define SINGLE_STEP_STRIDE 1
#endif
#define NEEDS_SINGLE_STEP() NEEDS(SINGLE_STEP, "a CPU's trap flag, and no ThreadSanitizer")

/* Calls operate(argument), and after its instruction `at`, from 1, there(argument) in a handler of SIGTRAP: that may
 * return, end the thread, or call single_step_jump. at 0: no handler comes. The first and the last are this function's
 * own. -> true: `there` was called and has returned or jumped; false: the call has no such instruction,
 * or at was 0. The call has the same frame whichever `at` is. One thread at a time. */
bool single_step(unsigned at, void (*operate)(void *argument), void (*there)(void *argument), void *argument);

/* Leaves the call by siglongjmp. For `there`, or as `there`. */
_Noreturn void single_step_jump(void *unused);

#endif
