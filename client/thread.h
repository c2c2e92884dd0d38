/* SPDX-License-Identifier: MIT
 *
 * A thread's set-up, from its first span to its exit. What spans call is in tracer.h.
 */
#ifndef AISTRACE_THREAD_H
#define AISTRACE_THREAD_H

/* Has each thread that is set up give its slot back when it exits. Under the mutex; again: does
 * nothing. -> 0 or -errno */
int aistrace__watch_threads(void);

#endif
