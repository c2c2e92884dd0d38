/* SPDX-License-Identifier: MIT */
#include "thread.h"

#include <errno.h>
#include <pthread.h>

#include "debug.h"
#include "lock.h"
#include "process.h"

enum { SPANS_BETWEEN_TELLING = 1024 }; /* of a thread without slot: so many its segment may not know of */

enum { STOPPED_MEANWHILE = 1 }; /* beside 0 and negative errnos */

static pthread_key_t exit_key;
static _Atomic bool has_exit_key; /* also read without the mutex */

static bool disabled(const struct shmring_control *control)
{
    return atomic_load_explicit(&control->flags, memory_order_relaxed) & SHMRING_CONTROL_DISABLED;
}

/* ---- set-up ---- */

/* The ring's pages are populated without the mutex, so that threads that make their first spans at the same time do not
 * wait for each other. -> 0, -errno or STOPPED_MEANWHILE: the tracer was */
static int take_slot(struct aistrace__hold *hold, struct shmring_writer **out)
{
    struct shmring *ring = aistrace__tracer.ring;
    uint32_t generation = aistrace__process.generation;
    struct shmring_writer *taken;
    int err = shmring_slot_take(ring, &taken);
    if (err)
        return err;
    aistrace__lend_lock(hold);
    err = shmring_slot_populate(ring, taken);
    aistrace__lock_again(hold);
    if (aistrace__generation() != generation)
        return STOPPED_MEANWHILE;
    return shmring_slot_publish(ring, taken, err, out);
}

/* -> how that is counted */
static enum shmring_drop tell_why(const char *what, int err)
{
    struct shmring_refusal refusal = shmring_refusal(err);
    aistrace__debug_why((enum aistrace__cause)(AISTRACE__CAUSE_ATTACH + refusal.drop), what, refusal.text);
    return refusal.drop;
}

/* Under the mutex. -> 0 or why the thread has no slot; STOPPED_MEANWHILE: nothing has changed */
static int attach(struct aistrace__thread *thread, struct aistrace__hold *hold)
{
    struct shmring_writer *writer = NULL;
    /* At the thread's end nothing else would give the slot back. */
    int err = -pthread_setspecific(exit_key, thread);
    if (!err)
        err = take_slot(hold, &writer);
    if (err == STOPPED_MEANWHILE)
        return err;
    if (thread->generation != aistrace__process.generation) {
        aistrace__ids_seed(&thread->ids);
        aistrace__retry_reset(&thread->retry);
        thread->slotless = 0;
    }
    if (err) {
        thread->refusal = (uint8_t)tell_why("a thread has no ring, its spans are dropped", err);
        aistrace__retry_later(&thread->retry, err);
    }
    thread->writer = writer;
    thread->generation = aistrace__process.generation;
    return err;
}

/* In a handler of this thread's fork the mutex cannot be taken: the span goes without a slot, the next looks for
 * one. */
static int refuse_for_now(struct aistrace__thread *thread)
{
    uint32_t generation = aistrace__generation();
    if (generation == 0)
        return -ENODEV;
    if (thread->generation != generation) {
        aistrace__ids_seed(&thread->ids);
        aistrace__retry_reset(&thread->retry);
        thread->writer = NULL;
        thread->refusal = SHMRING_DROP_NO_SLOT;
        thread->generation = generation;
    }
    return -EAGAIN;
}

static int set_up_in_segment(struct aistrace__thread *thread, bool even_if_disabled, struct aistrace__hold *hold)
{
    if (!aistrace__segment())
        return -ENODEV;
    bool is_due = thread->generation != aistrace__process.generation || (!thread->writer && even_if_disabled);
    if (!is_due || (disabled(aistrace__control()) && !even_if_disabled))
        return 0;
    return attach(thread, hold);
}

static int set_up(struct aistrace__thread *thread, bool even_if_disabled)
{
    int err, saved_errno = errno; /* a span between a call and a look at errno must not change it */
    struct aistrace__hold hold;
    if (aistrace__lock(&hold))
        do
            err = set_up_in_segment(thread, even_if_disabled, &hold);
        while (err == STOPPED_MEANWHILE);
    else
        err = refuse_for_now(thread);
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
    if (aistrace__generation() != 0 && disabled(aistrace__control()))
        return &off;
    if (set_up(thread, false) == -ENODEV)
        return NULL;
    return thread->generation == aistrace__generation() ? aistrace__control() : &off;
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

/* NULL: the thread can have none. */
static struct aistrace__tally *tally_of(struct aistrace__thread *thread)
{
    struct aistrace__tally *own = atomic_load_explicit(&thread->tally, memory_order_relaxed), *tally = NULL;
    if (own)
        return own;
    int saved_errno = errno;
    /* Without a note of the thread's end nothing would give the tally back. */
    if (has_exit_key && !thread->exiting && pthread_setspecific(exit_key, thread) == 0)
        tally = aistrace__tally_take();
    if (tally && !atomic_compare_exchange_strong(&thread->tally, &own, tally)) {
        aistrace__tally_release(tally); /* a signal handler has taken one meanwhile */
        tally = own;
    }
    errno = saved_errno;
    return tally;
}

void aistrace__count_first(struct aistrace__thread *thread, unsigned reason)
{
    struct aistrace__tally *tally = tally_of(thread);
    if (tally)
        aistrace__tally_add(tally, reason);
    else
        aistrace__tally_count_shared(reason);
}

/* What only the daemon waits for must not make a span wait: where the mutex is held, the next time will do. */
static void tell(struct aistrace__tally *tally)
{
    struct aistrace__hold hold;
    if (aistrace__try_lock(&hold) && aistrace__generation() != 0)
        aistrace__tally_tell(tally, aistrace__tracer.ring);
    aistrace__unlock(&hold);
}

static void count_drop(struct aistrace__thread *thread, enum shmring_drop reason)
{
    struct aistrace__tally *tally = tally_of(thread);
    if (!tally)
        aistrace__tally_count_shared(reason);
    else if (aistrace__tally_add(tally, reason) % SPANS_BETWEEN_TELLING == 0)
        tell(tally);
}

void aistrace__count_disabled(struct aistrace__thread *thread)
{
    aistrace__hold_slot(thread);
    struct shmring_writer *writer = thread->writer;
    if (aistrace__generation() == 0)
        aistrace__count_no_segment(thread);
    else if (writer && aistrace__is_set_up(thread))
        shmring_writer_count_drop(writer, SHMRING_DROP_DISABLED);
    else
        count_drop(thread, SHMRING_DROP_DISABLED);
    aistrace__let_slot_go(thread);
}

/* For the same reason as tell: the mutex is not waited for. */
static void try_again(struct aistrace__thread *thread)
{
    int saved_errno = errno;
    struct aistrace__hold hold;
    if (aistrace__try_lock(&hold) && aistrace__is_set_up(thread) && !thread->writer)
        attach(thread, &hold);
    aistrace__unlock(&hold);
    errno = saved_errno;
}

/* By time, and after 1, 2, 4, 8, ... spans: a thread in a hurry finds soon what another thread has left. */
void aistrace__count_slotless(struct aistrace__thread *thread)
{
    count_drop(thread, (enum shmring_drop)thread->refusal);
    uint32_t spans = ++thread->slotless;
    if ((spans & (spans - 1)) == 0 || aistrace__retry_is_due(&thread->retry))
        try_again(thread);
}

void aistrace__take_another_slot(struct aistrace__thread *thread)
{
    int saved_errno = errno;
    struct aistrace__hold hold;
    if (aistrace__lock(&hold) && thread->writer && thread->generation == aistrace__generation()) {
        int err = shmring_attach_beside(aistrace__tracer.ring, &thread->writer);
        if (err)
            tell_why("a thread left a write by a jump, and there is no other ring", err);
    }
    aistrace__unlock(&hold);
    errno = saved_errno;
}

/* ---- detach and exit ---- */

/* The next span sets the thread up anew. */
static void leave(struct aistrace__thread *thread)
{
    struct aistrace__tally *tally = atomic_load_explicit(&thread->tally, memory_order_relaxed);
    struct aistrace__hold hold;
    if (aistrace__lock(&hold)) {
        if (aistrace__generation() != 0) {
            if (thread->generation == aistrace__generation())
                shmring_detach(aistrace__tracer.ring, thread->writer);
            if (tally)
                aistrace__tally_tell(tally, aistrace__tracer.ring);
        }
        thread->writer = NULL;
        thread->generation = 0;
    }
    aistrace__unlock(&hold);
}

void aistrace_thread_detach(void)
{
    int saved_errno = errno;
    if (aistrace__thread.holds == 0)
        leave(&aistrace__thread);
    errno = saved_errno;
}

static void thread_exits(void *argument)
{
    struct aistrace__thread *thread = argument;
    thread->exiting = true;
    leave(thread);
    aistrace__tally_release(atomic_exchange(&thread->tally, NULL));
}

/* Before any thread can make a span: spans count from the first on, also of programs that never start the tracer. */
__attribute__((constructor)) static void threads_begin(void)
{
    (void)aistrace__watch_threads();
}

int aistrace__watch_threads(void)
{
    int err = has_exit_key ? 0 : -pthread_key_create(&exit_key, thread_exits);
    has_exit_key = !err;
    return err;
}

void aistrace__forget_threads(void)
{
    if (has_exit_key)
        pthread_key_delete(exit_key);
    has_exit_key = false;
}
