/* SPDX-License-Identifier: MIT */
#include "tracer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "debug.h"
#include "resource.h"

#define DEFAULT_RING_DIR "/dev/shm/aistrace"
enum { SPANS_BETWEEN_ATTEMPTS = 1024 }; /* of a thread that found no free slot: another thread may have ended */

_Thread_local struct aistrace__thread aistrace__thread;
struct aistrace__fork_page aistrace__fork_page;
struct aistrace__tracer aistrace__tracer;

/* What creating a segment needs, kept for the children of a fork. Under the mutex, except `started` and `refused`. */
static struct {
    _Atomic bool started;
    _Atomic bool refused; /* this process's segment could not be created; not tried again */
    uint32_t generation;  /* last in force, in this process or one it descends from */
    char *ring_dir;
    uint64_t ring_bytes;
    uint32_t thread_slots;
    uid_t ring_uid;
    struct aistrace__resource resource;
    struct aistrace_counters last; /* at aistrace_stop */
    pthread_key_t exit_key;
    int process_err; /* of set_up_process */
    bool forking;    /* between the fork handlers; the mutex is held */
} tracer;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* start, stop, attach, detach, fork */
static sigset_t fork_mask;                                /* of the thread that forks, while it holds the mutex */

/* In the child of a raw clone: no fork handler has run. */
static bool is_raw_clone_child(void)
{
    return aistrace__generation() == 0 && atomic_load(&aistrace__tracer.ring);
}

/* Signals are blocked, so that no handler runs while its own thread holds the mutex. */
static void lock(sigset_t *mask)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, mask);
    if (is_raw_clone_child())
        pthread_mutex_init(&mutex, NULL); /* a thread that does not exist here may have held it */
    pthread_mutex_lock(&mutex);
}

static void unlock(const sigset_t *mask)
{
    pthread_mutex_unlock(&mutex);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/* ---- fork ---- */

static void become_child(void)
{
    atomic_store(&aistrace__tracer.ring, NULL);
    aistrace__tracer.control = NULL;
    atomic_store(&aistrace__tracer.no_segment, 0);
    atomic_store(&tracer.refused, false);
    tracer.generation++;
    memset(&tracer.last, 0, sizeof(tracer.last));
    aistrace__clock_forget();
    aistrace__resource_set_pid(&tracer.resource);
}

static void before_fork(void)
{
    sigset_t mask;
    lock(&mask);
    fork_mask = mask;
    tracer.forking = true;
}

static void after_fork_in_parent(void)
{
    sigset_t mask = fork_mask;
    tracer.forking = false;
    unlock(&mask);
}

static void after_fork_in_child(void)
{
    struct shmring *ring = atomic_load(&aistrace__tracer.ring);
    /* Another library's handler may have begun a span before: then the mutex is free and the ring is this process's. */
    if (tracer.forking) {
        tracer.forking = false;
        atomic_store(&aistrace__fork_page.generation, 0);
        become_child();
        shmring_abandon(ring);
        pthread_mutex_unlock(&mutex);
    }
    pthread_sigmask(SIG_SETMASK, &fork_mask, NULL);
}

/* ---- segment ---- */

static int create(void)
{
    struct shmring_options options = {
        .dir = tracer.ring_dir,
        .trusted_uid = tracer.ring_uid,
        .slot_count = tracer.thread_slots,
        .ring_bytes = tracer.ring_bytes,
        .resource = tracer.resource.data,
        .resource_bytes = tracer.resource.bytes,
    };
    struct shmring *ring;
    int err = shmring_create(&options, &ring);

    if (err) {
        atomic_store(&tracer.refused, true);
        aistrace__debug(AISTRACE__CAUSE_SEGMENT, "no segment, spans are not recorded", err);
        return err;
    }
    if (++tracer.generation == 0)
        tracer.generation = 1;
    aistrace__tracer.control = shmring_control(ring);
    atomic_store_explicit(&aistrace__fork_page.generation, tracer.generation, memory_order_release);
    atomic_store(&aistrace__tracer.ring, ring);
    return 0;
}

/* ---- threads ---- */

static bool disabled(const struct shmring_control *control)
{
    return atomic_load_explicit(&control->flags, memory_order_relaxed) & SHMRING_CONTROL_DISABLED;
}

static int attach(struct aistrace__thread *thread)
{
    struct shmring_writer *writer = NULL;
    int err = shmring_attach(aistrace__tracer.ring, &writer);
    if (!err && (err = -pthread_setspecific(tracer.exit_key, thread)) != 0) {
        /* At the thread's end nothing would give the slot back. */
        shmring_detach(aistrace__tracer.ring, writer);
        writer = NULL;
    }
    if (thread->generation != tracer.generation)
        aistrace__ids_seed(&thread->ids);
    if (err)
        aistrace__debug(AISTRACE__CAUSE_ATTACH, "a thread has no ring, its spans are dropped", err);
    thread->refusal = err == -ENFILE ? SHMRING_DROP_NO_SLOT : SHMRING_DROP_NO_MEMORY;
    thread->slotless = 0;
    thread->writer = writer;
    thread->generation = tracer.generation;
    return err;
}

/* Under the mutex: the segment in force, created if this is a child that has none yet; NULL: it cannot be. */
static struct shmring *segment(void)
{
    if (!atomic_load(&tracer.started))
        return NULL;
    /* The parent's handle is leaked: a thread that does not exist here may hold the allocator's locks. */
    if (is_raw_clone_child()) {
        tracer.forking = false;
        become_child();
    }
    if (!aistrace__tracer.ring && !atomic_load(&tracer.refused))
        create();
    return aistrace__tracer.ring;
}

static int set_up(struct aistrace__thread *thread, bool even_if_disabled)
{
    int err = 0, saved_errno = errno; /* a span between a call and a look at errno must not change it */
    sigset_t mask;
    lock(&mask);
    if (!segment())
        err = -ENODEV;
    else if (thread->generation != tracer.generation || (!thread->writer && even_if_disabled)) {
        if (even_if_disabled || !disabled(aistrace__tracer.control))
            err = attach(thread);
    }
    unlock(&mask);
    errno = saved_errno;
    return err;
}

const struct shmring_control *aistrace__set_up(struct aistrace__thread *thread)
{
    /* Stands for the real page, which may be enabled in between: the caller would then go on without set-up. */
    static const struct shmring_control off = {.flags = SHMRING_CONTROL_DISABLED};
    /* As much as possible without the mutex: these cases may come at every span. */
    if (!atomic_load(&tracer.started) || atomic_load(&tracer.refused))
        return NULL;
    if (aistrace__generation() != 0 && disabled(aistrace__tracer.control))
        return &off;
    if (set_up(thread, false) == -ENODEV)
        return NULL;
    return thread->generation == aistrace__generation() ? aistrace__tracer.control : &off;
}

void aistrace__count_slotless(struct aistrace__thread *thread)
{
    shmring_count_drop(aistrace__tracer.ring, (enum shmring_drop)thread->refusal);
    if (++thread->slotless % SPANS_BETWEEN_ATTEMPTS == 0 && thread->refusal == SHMRING_DROP_NO_SLOT)
        set_up(thread, true);
}

int aistrace_thread_attach(void)
{
    struct aistrace__thread *thread = &aistrace__thread;
    uint32_t generation = aistrace__generation();
    if (generation != 0 && generation == thread->generation && thread->writer)
        return 0;
    return set_up(thread, true);
}

static void thread_exits(void *argument)
{
    struct aistrace__thread *thread = argument;
    sigset_t mask;
    lock(&mask);
    if (thread->writer && thread->generation == aistrace__generation())
        shmring_detach(aistrace__tracer.ring, thread->writer);
    thread->writer = NULL;
    thread->generation = 0;
    unlock(&mask);
}

/* ---- process ---- */

static void set_up_process(void)
{
    /* Where the kernel refuses, fork is still covered by the handlers; only a raw clone is not. */
    (void)madvise(&aistrace__fork_page, sizeof(aistrace__fork_page), MADV_WIPEONFORK);
    tracer.process_err = -pthread_key_create(&tracer.exit_key, thread_exits);
    if (!tracer.process_err)
        tracer.process_err = -pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* The number that text begins with, and what follows. -> false: there is none, or it is too large */
static bool leading_number(const char *text, unsigned long long *value, char **rest)
{
    errno = 0;
    *value = strtoull(text, rest, 10);
    return *text >= '0' && *text <= '9' && !errno;
}

static uint64_t ring_bytes_of_environment(void)
{
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    const char *text = getenv("AIS_TRACING_RING_SIZE");
    if (!text || !*text)
        return 0;
    unsigned long long value;
    char *rest;
    bool is_number = leading_number(text, &value, &rest);
    for (size_t i = 0; i < sizeof(units) / sizeof(*units) && is_number; i++) {
        if (strcmp(rest, units[i].suffix) == 0 && value <= SHMRING_RING_MAX >> units[i].shift &&
            value << units[i].shift >= SHMRING_RING_MIN)
            return value << units[i].shift;
    }
    aistrace__debug(AISTRACE__CAUSE_RING_SIZE, "AIS_TRACING_RING_SIZE ignored: not a size from 4KiB to 1GiB", 0);
    return 0;
}

/* 0, root, is trusted in any case, and so means nobody else. */
static uid_t ring_uid_of_environment(void)
{
    const char *text = getenv("AIS_TRACING_RING_UID");
    if (!text || !*text)
        return 0;
    unsigned long long value;
    char *rest;
    if (leading_number(text, &value, &rest) && !*rest && value < (uid_t)-1)
        return (uid_t)value;
    aistrace__debug(AISTRACE__CAUSE_RING_UID, "AIS_TRACING_RING_UID ignored: not the number of a user", 0);
    return 0;
}

static int start(const struct aistrace_options *options)
{
    const char *dir = options->ring_dir ? options->ring_dir : getenv("AIS_TRACING_RING_DIR");
    if (atomic_load(&tracer.started))
        return -EALREADY;
    int err = aistrace__resource_compose(options, &tracer.resource);
    if (err)
        return err;
    free(tracer.ring_dir);
    tracer.ring_dir = strdup(dir && *dir ? dir : DEFAULT_RING_DIR);
    if (!tracer.ring_dir)
        return -ENOMEM;
    tracer.ring_bytes = options->ring_bytes ? options->ring_bytes : ring_bytes_of_environment();
    tracer.thread_slots = options->thread_slots;
    tracer.ring_uid = options->ring_uid ? options->ring_uid : ring_uid_of_environment();
    atomic_store(&tracer.refused, false);
    atomic_store(&aistrace__tracer.no_segment, 0);
    memset(&tracer.last, 0, sizeof(tracer.last));
    aistrace__clock_start();
    err = create();
    if (err)
        return err;
    atomic_store(&tracer.started, true);
    return 0;
}

int aistrace_start(const struct aistrace_options *options)
{
    int saved_errno = errno;
    if (!options)
        return -EINVAL;
    pthread_once(&once, set_up_process);
    if (tracer.process_err)
        return tracer.process_err;
    sigset_t mask;
    lock(&mask);
    aistrace__debug_init();
    int err = start(options);
    unlock(&mask);
    errno = saved_errno;
    return err;
}

/* Under the mutex. */
static void count(struct aistrace_counters *out)
{
    struct shmring_totals totals;
    if (!aistrace__tracer.ring || aistrace__generation() == 0) {
        *out = tracer.last;
    } else {
        shmring_totals(aistrace__tracer.ring, &totals);
        out->ring_full = totals.dropped[SHMRING_DROP_RING_FULL];
        out->oversize = totals.dropped[SHMRING_DROP_OVERSIZE];
        out->nested = totals.dropped[SHMRING_DROP_NESTED];
        out->disabled = totals.dropped[SHMRING_DROP_DISABLED];
        out->no_slot = totals.dropped[SHMRING_DROP_NO_SLOT];
        out->no_memory = totals.dropped[SHMRING_DROP_NO_MEMORY];
        out->committed = totals.begun - out->ring_full - out->oversize;
        out->attempted = totals.begun + out->nested + out->disabled + out->no_slot + out->no_memory;
    }
    out->no_segment = atomic_load(&aistrace__tracer.no_segment);
    out->attempted += out->no_segment;
}

void aistrace_counters_read(struct aistrace_counters *out)
{
    sigset_t mask;
    lock(&mask);
    count(out);
    unlock(&mask);
}

void aistrace_stop(void)
{
    int saved_errno = errno;
    sigset_t mask;
    lock(&mask);
    if (atomic_load(&tracer.started)) {
        struct aistrace_counters last;
        count(&last);
        last.attempted -= last.no_segment; /* it goes on counting */
        tracer.last = last;
        atomic_store(&tracer.started, false);
        struct shmring *ring = is_raw_clone_child() ? NULL : atomic_load(&aistrace__tracer.ring);
        atomic_store(&aistrace__tracer.ring, NULL);
        atomic_store(&aistrace__fork_page.generation, 0);
        aistrace__tracer.control = NULL;
        shmring_close(ring);
        aistrace__thread.writer = NULL;
        aistrace__thread.generation = 0;
        free(tracer.ring_dir);
        tracer.ring_dir = NULL;
    }
    unlock(&mask);
    errno = saved_errno;
}
