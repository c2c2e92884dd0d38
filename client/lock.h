/* SPDX-License-Identifier: MIT
 *
 * The library's mutex, and what fork does with it: start, stop, attach, detach and fork exclude each other.
 */
#ifndef AISTRACE_LOCK_H
#define AISTRACE_LOCK_H

#include <signal.h>

/* Signals are blocked, so that no handler runs while its own thread holds the mutex. mask: what unlock puts back. */
void aistrace__lock(sigset_t *mask);
void aistrace__unlock(const sigset_t *mask);

/* Registers the fork handlers, which hold the mutex over the fork. Once. -> 0 or -errno */
int aistrace__watch_forks(void);

#endif
