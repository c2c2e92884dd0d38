/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <pthread.h>
#include <sys/mman.h>

#include "process.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sigset_t fork_mask; /* of the thread that forks, while it holds the mutex */

void aistrace__lock(sigset_t *mask)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, mask);
    if (aistrace__is_raw_clone_child())
        pthread_mutex_init(&mutex, NULL); /* a thread that does not exist here may have held it */
    pthread_mutex_lock(&mutex);
}

void aistrace__unlock(const sigset_t *mask)
{
    pthread_mutex_unlock(&mutex);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/* ---- fork ---- */

static void before_fork(void)
{
    sigset_t mask;
    aistrace__lock(&mask);
    fork_mask = mask;
    aistrace__process.forking = true;
}

static void after_fork_in_parent(void)
{
    sigset_t mask = fork_mask;
    aistrace__process.forking = false;
    aistrace__unlock(&mask);
}

static void after_fork_in_child(void)
{
    struct shmring *ring = atomic_load(&aistrace__tracer.ring);
    /* Another library's handler may have begun a span before: then the mutex is free and the ring is this process's. */
    if (aistrace__process.forking) {
        aistrace__process.forking = false;
        atomic_store(&aistrace__fork_page.generation, 0);
        aistrace__become_child();
        shmring_abandon(ring);
        pthread_mutex_unlock(&mutex);
    }
    pthread_sigmask(SIG_SETMASK, &fork_mask, NULL);
}

int aistrace__watch_forks(void)
{
    /* Where the kernel refuses, fork is still covered by the handlers; only a raw clone is not. */
    (void)madvise(&aistrace__fork_page, sizeof(aistrace__fork_page), MADV_WIPEONFORK);
    return -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}
