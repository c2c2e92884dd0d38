/* SPDX-License-Identifier: MIT
 *
 * A thread's set-up, from its first span to its exit. What spans call is in tracer.h.
 */
#ifndef AISTRACE_THREAD_H
#define AISTRACE_THREAD_H

#include "lock.h"

/* Has each thread give its slot and its tally back when it exits. The library does so when it is loaded, and tries
 * again here, under the mutex, if that failed. -> 0 or -errno */
int aistrace__watch_threads(void);

/* From here on no thread's exit calls the library, which is about to be unloaded. Under the mutex. */
void aistrace__forget_threads(void);

#endif
