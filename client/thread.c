/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include <errno.h>
#include <pthread.h>

#include "debug.h"
#include "lock.h"
#include "process.h"

enum { SPANS_BETWEEN_ATTEMPTS = 1024 }; /* of a thread that found no free slot: another thread may have ended */

_Thread_local struct aistrace__thread aistrace__thread;
static pthread_key_t exit_key;
static bool has_exit_key;

static bool disabled(const struct shmring_control *control)
{
    return atomic_load_explicit(&control->flags, memory_order_relaxed) & SHMRING_CONTROL_DISABLED;
}

/* ---- set-up ---- */

static int attach(struct aistrace__thread *thread)
{
    struct shmring_writer *writer = NULL;
    int err = shmring_attach(aistrace__tracer.ring, &writer);
    if (!err && (err = -pthread_setspecific(exit_key, thread)) != 0) {
        /* At the thread's end nothing would give the slot back. */
        shmring_detach(aistrace__tracer.ring, writer);
        writer = NULL;
    }
    if (thread->generation != aistrace__process.generation)
        aistrace__ids_seed(&thread->ids);
    if (err)
        aistrace__debug(AISTRACE__CAUSE_ATTACH, "a thread has no ring, its spans are dropped", err);
    thread->refusal = err == -ENFILE ? SHMRING_DROP_NO_SLOT : SHMRING_DROP_NO_MEMORY;
    thread->slotless = 0;
    thread->writer = writer;
    thread->generation = aistrace__process.generation;
    return err;
}

/* In a handler of this thread's fork the mutex is not to be had: the span goes without a slot. */
static int refuse_for_now(struct aistrace__thread *thread)
{
    uint32_t generation = aistrace__generation();
    if (generation == 0)
        return -ENODEV;
    if (thread->generation != generation) {
        aistrace__ids_seed(&thread->ids);
        thread->writer = NULL;
        thread->refusal = SHMRING_DROP_NO_SLOT;
        thread->slotless = SPANS_BETWEEN_ATTEMPTS - 2; /* the next span looks for one */
        thread->generation = generation;
    }
    return -EAGAIN;
}

static int set_up(struct aistrace__thread *thread, bool even_if_disabled)
{
    int err = 0, saved_errno = errno; /* a span between a call and a look at errno must not change it */
    struct aistrace__hold hold;
    if (!aistrace__lock(&hold))
        err = refuse_for_now(thread);
    else if (!aistrace__segment())
        err = -ENODEV;
    else if (thread->generation != aistrace__process.generation || (!thread->writer && even_if_disabled)) {
        if (even_if_disabled || !disabled(aistrace__tracer.control))
            err = attach(thread);
    }
    aistrace__unlock(&hold);
    errno = saved_errno;
    return err;
}

const struct shmring_control *aistrace__set_up(struct aistrace__thread *thread)
{
    /* Stands for the real page, which may be enabled in between: the caller would then go on without set-up. */
    static const struct shmring_control off = {.flags = SHMRING_CONTROL_DISABLED};
    /* As much as possible without the mutex: these cases may come at every span. */
    if (!atomic_load(&aistrace__process.started) || !aistrace__retry_is_due(&aistrace__process.retry))
        return NULL;
    if (aistrace__generation() != 0 && disabled(aistrace__tracer.control))
        return &off;
    if (set_up(thread, false) == -ENODEV)
        return NULL;
    return thread->generation == aistrace__generation() ? aistrace__tracer.control : &off;
}

int aistrace_thread_attach(void)
{
    struct aistrace__thread *thread = &aistrace__thread;
    uint32_t generation = aistrace__generation();
    if (generation != 0 && generation == thread->generation && thread->writer)
        return 0;
    return set_up(thread, true);
}

/* ---- spans without a slot ---- */

void aistrace__count_slotless(struct aistrace__thread *thread)
{
    shmring_count_drop(aistrace__tracer.ring, (enum shmring_drop)thread->refusal);
    if (++thread->slotless % SPANS_BETWEEN_ATTEMPTS == 0 && thread->refusal == SHMRING_DROP_NO_SLOT)
        set_up(thread, true);
}

/* ---- exit ---- */

static void thread_exits(void *argument)
{
    struct aistrace__thread *thread = argument;
    struct aistrace__hold hold;
    if (aistrace__lock(&hold) && thread->writer && thread->generation == aistrace__generation())
        shmring_detach(aistrace__tracer.ring, thread->writer);
    thread->writer = NULL;
    thread->generation = 0;
    aistrace__unlock(&hold);
}

int aistrace__watch_threads(void)
{
    int err = has_exit_key ? 0 : -pthread_key_create(&exit_key, thread_exits);
    has_exit_key = !err;
    return err;
}
