/* SPDX-License-Identifier: MIT
 *
 * The process's tracer and each thread's part of it. Not installed.
 *
 * A generation is one life of the tracer in one process: aistrace_start, and the first use in a forked child, begin a
 * new one. Threads and spans remember theirs; what belongs to another generation is never used.
 */
#ifndef AISTRACE_TRACER_H
#define AISTRACE_TRACER_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "aistrace.h"
#include "ids.h"
#include "likely.h"
#include "retry.h"
#include "shmring.h"
#include "tally.h"

enum { AISTRACE__PAGE_MAX = 65536 };

/* All of the library's thread-local storage: initial-exec, so at most 64 bytes. */
struct aistrace__thread {
    struct shmring_writer *writer; /* of `generation`; NULL: no slot */
    const struct aistrace_context *current;
    struct aistrace__ids ids;
    _Atomic(struct aistrace__tally *) tally; /* NULL: nothing was dropped yet without a slot */
    struct aistrace__retry retry;            /* for a slot */
    uint32_t generation;                     /* in which this thread was set up; 0: never */
    uint32_t slotless;                       /* spans ended without a slot, in this generation */
    uint8_t refusal;                         /* enum shmring_drop: why there is no writer */
    bool exiting;                            /* its end was noticed, and may not be noticed again */
    uint32_t holds;                          /* calls that may go on in its slot; more, if a jump has left one */
};
static_assert(sizeof(struct aistrace__thread) <= 64, "static TLS is scarce in a program that loads us by dlopen");

extern _Thread_local struct aistrace__thread aistrace__thread;

/* The page that `generation` is in is all its own, whatever the size of pages and the address: the kernel wipes the
 * page in a forked child, however it forked. */
struct aistrace__fork_page {
    uint8_t before[AISTRACE__PAGE_MAX];
    alignas(8) _Atomic uint32_t generation; /* in force; 0: none */
    _Atomic uint32_t life;                  /* of this process: lock.c */
    uint8_t after[AISTRACE__PAGE_MAX - 8];
};

extern struct aistrace__fork_page aistrace__fork_page;

/* In the child of a fork, up to its first call that takes the mutex, `ring` is the parent's, and `generation` is 0. */
struct aistrace__tracer {
    _Atomic(const struct shmring_control *) control; /* of the ring last in force; once set it always can be read */
    _Atomic(struct shmring *) ring;                  /* NULL: none yet in this process, or it cannot be created */
};

extern struct aistrace__tracer aistrace__tracer;

/* Where the generation is not 0, or was not a moment ago: aistrace_stop may come at any time. */
static inline const struct shmring_control *aistrace__control(void)
{
    return atomic_load_explicit(&aistrace__tracer.control, memory_order_relaxed);
}

/* Around what reads thread->writer and then uses the slot. In between a signal handler may stop the tracer, start and
 * attach: thread->writer is read once. It may not detach: what was read is this thread's until the slot is let go. */
static inline void aistrace__hold_slot(struct aistrace__thread *thread)
{
    thread->holds++;
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void aistrace__let_slot_go(struct aistrace__thread *thread)
{
    atomic_signal_fence(memory_order_seq_cst);
    thread->holds--;
}

/* The slow path of aistrace__enter. */
const struct shmring_control *aistrace__set_up(struct aistrace__thread *thread);

/* Counts a span that the thread has no writer for; looks for a slot again once in a while. */
void aistrace__count_slotless(struct aistrace__thread *thread);

/* Counts a span that is not written because tracing is disabled. */
void aistrace__count_disabled(struct aistrace__thread *thread);

/* Counts a dropped span of a thread that has no tally yet. */
void aistrace__count_first(struct aistrace__thread *thread, unsigned reason);

/* For a thread whose spans are refused as nested again and again: its last write may have been left by a jump. Where
 * there is no other slot, the thread keeps the one it has. */
void aistrace__take_another_slot(struct aistrace__thread *thread);

static inline uint32_t aistrace__generation(void)
{
    return atomic_load_explicit(&aistrace__fork_page.generation, memory_order_acquire);
}

static inline bool aistrace__is_set_up(const struct aistrace__thread *thread)
{
    uint32_t generation = aistrace__generation();
    return generation == thread->generation && generation != 0;
}

/* Sets the calling thread up where it is not. -> the control page; NULL: there is no segment. While tracing is disabled
 * the thread may be left without set-up. */
static inline const struct shmring_control *aistrace__enter(struct aistrace__thread *thread)
{
    return likely(aistrace__is_set_up(thread)) ? aistrace__control() : aistrace__set_up(thread);
}

static inline void aistrace__count_no_segment(struct aistrace__thread *thread)
{
    struct aistrace__tally *tally = atomic_load_explicit(&thread->tally, memory_order_relaxed);
    if (likely(tally))
        aistrace__tally_add(tally, AISTRACE__DROP_NO_SEGMENT);
    else
        aistrace__count_first(thread, AISTRACE__DROP_NO_SEGMENT);
}

#endif
