/* SPDX-License-Identifier: MIT
 *
 * The library's mutex, and what fork does with it: start, stop, attach, detach and fork exclude each other.
 */
#ifndef AISTRACE_LOCK_H
#define AISTRACE_LOCK_H

#include <signal.h>
#include <stdbool.h>

/* What unlock puts back. */
struct aistrace__hold {
    sigset_t signals;
    int cancel_state;
    bool taken;
};

/* Takes the mutex, and makes the state that the child of a fork finds this process's own. Until unlock no signal
 * handler runs on this thread, and a request to cancel this thread waits: what is done under the mutex opens files and
 * allocates.
 * -> false: this thread holds the mutex already, because a fork handler of the program calls the library between our
 * own handlers. Then nothing may be changed. unlock is due in either case. */
bool aistrace__lock(struct aistrace__hold *hold);

/* The same, but does not wait. -> false: some thread holds the mutex; unlock is due all the same. */
bool aistrace__try_lock(struct aistrace__hold *hold);

void aistrace__unlock(const struct aistrace__hold *hold);

/* Lets others have a mutex that this thread holds, for as long as something takes. Signals and cancellation go on
 * waiting. Afterwards another thread may have stopped the tracer, or started it anew. */
void aistrace__lend_lock(const struct aistrace__hold *hold);
void aistrace__lock_again(const struct aistrace__hold *hold);

/* Registers the fork handlers, which hold the mutex over the fork. The library does so when it is loaded; again: does
 * nothing. -> 0, or why it could not */
int aistrace__watch_forks(void);

#endif
