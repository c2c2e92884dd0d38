/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "debug.h"

/* A child that has no use for a segment but to hear that tracing is enabled again: it takes one when it is older. */
enum { DISABLED_CHILD_MS = 100 };

struct aistrace__fork_page aistrace__fork_page;
struct aistrace__tracer aistrace__tracer;
_Thread_local struct aistrace__thread aistrace__thread;
struct aistrace__process aistrace__process;

void aistrace__note_published(void)
{
    struct aistrace__process *process = &aistrace__process;
    const struct shmring_control *control = aistrace__control();
    if (!atomic_load(&aistrace__tracer.ring))
        return; /* this is a child itself, and passes on what it was given */
    /* Acquire: the threshold was stored before the flag that publishes it. */
    process->control_flags = atomic_load_explicit(&control->flags, memory_order_acquire);
    process->sampling_threshold = atomic_load_explicit(&control->sampling_threshold, memory_order_relaxed);
}

void aistrace__forget_published(void)
{
    if (atomic_load(&aistrace__tracer.ring))
        aistrace__process.control_flags = aistrace__process.sampling_threshold = 0;
}

void aistrace__become_child(void)
{
    struct aistrace__process *process = &aistrace__process;
    process->pid = getpid();
    atomic_store(&aistrace__fork_page.generation, 0);
    atomic_store(&aistrace__tracer.ring, NULL);
    aistrace__tallies_begin();
    aistrace__retry_reset(&process->retry);
    if (process->control_flags & SHMRING_CONTROL_DISABLED)
        aistrace__retry_in(&process->retry, DISABLED_CHILD_MS);
    process->generation++;
    memset(&process->last, 0, sizeof(process->last));
    aistrace__clock_forget();
    aistrace__resource_set_pid(&process->resource);
}

int aistrace__create(void)
{
    struct aistrace__process *process = &aistrace__process;
    struct shmring_options options = {
        .dir = process->ring_dir,
        .trusted_uid = process->ring_uid,
        .slot_count = process->thread_slots,
        .ring_bytes = process->ring_bytes,
        .resource = process->resource.data,
        .resource_bytes = process->resource.bytes,
        .control_flags = process->control_flags,
        .sampling_threshold = process->sampling_threshold,
    };
    struct shmring *ring;
    int err = shmring_create(&options, &ring);

    if (err) {
        aistrace__retry_later(&process->retry, err);
        aistrace__debug(AISTRACE__CAUSE_SEGMENT, "no segment, spans are not recorded until there is one", err);
        return err;
    }
    if (!shmring_in_memory(ring))
        aistrace__debug(AISTRACE__CAUSE_DISK, "the ring directory is not in memory: spans may wait for its disk", 0);
    if (++process->generation == 0)
        process->generation = 1;
    atomic_store_explicit(&aistrace__tracer.control, shmring_control(ring), memory_order_relaxed);
    atomic_store_explicit(&aistrace__fork_page.generation, process->generation, memory_order_release);
    atomic_store(&aistrace__tracer.ring, ring);
    aistrace__retry_reset(&process->retry);
    return 0;
}

struct shmring *aistrace__segment(void)
{
    struct aistrace__process *process = &aistrace__process;
    if (!atomic_load(&process->started))
        return NULL;
    if (!aistrace__tracer.ring && aistrace__retry_is_due(&process->retry))
        aistrace__create();
    return aistrace__tracer.ring;
}
