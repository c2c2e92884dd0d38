/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

/* aistrace__fork_page.life. The kernel makes it 0 in a child, however the child came to be. */
enum { FORKED = 0, ADOPTING, IN_LIFE };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(pthread_t) holder; /* 0: nobody */
static struct aistrace__hold fork_hold;
static unsigned nested_forks; /* begun by a fork handler, while its thread held the mutex */
static int watch_err;         /* of watch */

/* ---- a child's first call ---- */

/* One thread does it, whoever comes first; the others wait. In the child of a raw clone no handler has run, and a
 * thread that does not exist here may have held the mutex. -> true: it was this call */
static bool adopt(void)
{
    uint32_t life = FORKED;
    if (atomic_compare_exchange_strong(&aistrace__fork_page.life, &life, ADOPTING)) {
        if (atomic_exchange(&holder, 0) == pthread_self())
            pthread_mutex_unlock(&mutex); /* by before_fork */
        else
            pthread_mutex_init(&mutex, NULL);
        nested_forks = 0;
        aistrace__become_child();
        atomic_store(&aistrace__fork_page.life, IN_LIFE);
        return true;
    }
    while (atomic_load(&aistrace__fork_page.life) != IN_LIFE)
        nanosleep(&(struct timespec){0, 100000}, NULL);
    return false;
}

/* ---- lock ---- */

/* -> false: this thread holds the mutex */
static bool prepare(struct aistrace__hold *hold)
{
    sigset_t all;
    sigfillset(&all);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &hold->cancel_state);
    pthread_sigmask(SIG_BLOCK, &all, &hold->signals);
    aistrace__watch_forks();
    if (atomic_load(&aistrace__fork_page.life) != IN_LIFE)
        adopt();
    hold->taken = false;
    return atomic_load(&holder) != pthread_self();
}

bool aistrace__lock(struct aistrace__hold *hold)
{
    if (!prepare(hold))
        return false;
    pthread_mutex_lock(&mutex);
    atomic_store(&holder, pthread_self());
    return hold->taken = true;
}

bool aistrace__try_lock(struct aistrace__hold *hold)
{
    if (!prepare(hold) || pthread_mutex_trylock(&mutex) != 0)
        return false;
    atomic_store(&holder, pthread_self());
    return hold->taken = true;
}

static void put_back(const struct aistrace__hold *hold)
{
    int unused;
    pthread_sigmask(SIG_SETMASK, &hold->signals, NULL);
    pthread_setcancelstate(hold->cancel_state, &unused);
}

void aistrace__unlock(const struct aistrace__hold *hold)
{
    if (hold->taken) {
        atomic_store(&holder, 0);
        pthread_mutex_unlock(&mutex);
    }
    put_back(hold);
}

void aistrace__lend_lock(const struct aistrace__hold *hold)
{
    if (!hold->taken)
        return;
    atomic_store(&holder, 0);
    pthread_mutex_unlock(&mutex);
}

void aistrace__lock_again(const struct aistrace__hold *hold)
{
    if (!hold->taken)
        return;
    pthread_mutex_lock(&mutex);
    atomic_store(&holder, pthread_self());
}

/* ---- fork ---- */

static void before_fork(void)
{
    struct aistrace__hold hold;
    if (aistrace__lock(&hold)) {
        fork_hold = hold;
        aistrace__note_published();
    } else {
        nested_forks++;
        aistrace__unlock(&hold);
    }
}

static void after_fork_in_parent(void)
{
    struct aistrace__hold hold = fork_hold;
    if (nested_forks > 0) {
        nested_forks--;
        return;
    }
    aistrace__forget_published();
    aistrace__unlock(&hold);
}

static void after_fork_in_child(void)
{
    struct shmring *ring = atomic_load(&aistrace__tracer.ring);
    /* Nobody has adopted this child yet; where the page is not wiped, it does not say so itself. */
    if (atomic_load(&holder) == pthread_self())
        atomic_store(&aistrace__fork_page.life, FORKED);
    /* Another library's handler may have begun a span before: then the state and the ring are this process's. */
    if (adopt())
        shmring_abandon(ring);
    put_back(&fork_hold);
}

static void watch(void)
{
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t page = (uintptr_t)&aistrace__fork_page.generation & ~(page_bytes - 1);
    atomic_store(&aistrace__fork_page.life, IN_LIFE);
    aistrace__process.pid = getpid();
    /* Where the kernel refuses, before 4.14, and under emulators that do nothing, fork is still covered by the
     * handlers; only a raw clone is not. */
    if (page_bytes <= AISTRACE__PAGE_MAX)
        (void)madvise((void *)page, page_bytes, MADV_WIPEONFORK);
    watch_err = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int aistrace__watch_forks(void)
{
    pthread_once(&once, watch);
    return watch_err;
}

/* So that no fork begins before the handlers are registered and ends when the mutex is in use. */
__attribute__((constructor)) static void library_loads(void)
{
    aistrace__watch_forks();
}
