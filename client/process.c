/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <string.h>

#include "clock.h"
#include "debug.h"

struct aistrace__fork_page aistrace__fork_page;
struct aistrace__tracer aistrace__tracer;
struct aistrace__process aistrace__process;

void aistrace__become_child(void)
{
    struct aistrace__process *process = &aistrace__process;
    atomic_store(&aistrace__fork_page.generation, 0);
    atomic_store(&aistrace__tracer.ring, NULL);
    aistrace__tracer.control = NULL;
    aistrace__tallies_restart(aistrace__thread.tally);
    aistrace__retry_reset(&process->retry);
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
    };
    struct shmring *ring;
    int err = shmring_create(&options, &ring);

    if (err) {
        aistrace__retry_later(&process->retry, err);
        aistrace__debug(AISTRACE__CAUSE_SEGMENT, "no segment, spans are not recorded until there is one", err);
        return err;
    }
    if (++process->generation == 0)
        process->generation = 1;
    aistrace__tracer.control = shmring_control(ring);
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
