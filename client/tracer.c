/* SPDX-License-Identifier: MIT */
#include "tracer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "debug.h"
#include "environment.h"
#include "lock.h"
#include "process.h"
#include "thread.h"

/* ---- start ---- */

/* A child may be elsewhere when it looks for the directory. -> 0 or -errno */
static int make_absolute(const char *dir, char **out)
{
    char *here = *dir == '/' ? NULL : getcwd(NULL, 0);
    if (*dir != '/' && !here)
        return -errno;
    if (!here)
        *out = strdup(dir);
    else if (asprintf(out, "%s/%s", here, dir) < 0)
        *out = NULL;
    free(here);
    return *out ? 0 : -ENOMEM;
}

static int start(const struct aistrace_options *options)
{
    struct aistrace__process *process = &aistrace__process;
    const char *dir = options->ring_dir && *options->ring_dir ? options->ring_dir : aistrace__environment_ring_dir();
    if (atomic_load(&process->started) && !aistrace__retry_is_waiting(&process->retry))
        return -EALREADY;
    int err = aistrace__watch_forks();
    if (!err)
        err = aistrace__watch_threads();
    if (err)
        return err;
    char *own_dir = NULL;
    err = make_absolute(dir, &own_dir);
    if (!err)
        err = aistrace__resource_compose(options, &process->resource);
    if (err) {
        free(own_dir);
        return err;
    }
    free(process->ring_dir);
    process->ring_dir = own_dir;
    process->ring_bytes = options->ring_bytes ? options->ring_bytes : aistrace__environment_ring_bytes();
    process->thread_slots = options->thread_slots ? options->thread_slots : aistrace__environment_thread_slots();
    process->ring_uid = options->ring_uid ? options->ring_uid : aistrace__environment_ring_uid();
    aistrace__retry_reset(&process->retry);
    process->control_flags = process->sampling_threshold = 0;
    aistrace__tallies_begin();
    memset(&process->last, 0, sizeof(process->last));
    aistrace__clock_start();
    err = aistrace__create();
    /* Whatever else is in the way may go away. */
    atomic_store(&process->started, err != -EINVAL);
    return err;
}

int aistrace_start(const struct aistrace_options *options)
{
    int saved_errno = errno;
    if (!options)
        return -EINVAL;
    struct aistrace__hold hold;
    int err = -EAGAIN;
    if (aistrace__lock(&hold)) {
        aistrace__debug_init(aistrace__environment_debug());
        err = start(options);
    }
    aistrace__unlock(&hold);
    errno = saved_errno;
    return err;
}

/* ---- counters ---- */

/* Under the mutex, as the next. */
static void count_of(struct shmring *ring, struct aistrace_counters *out)
{
    struct shmring_totals totals;
    shmring_totals(ring, &totals);
    *out = (struct aistrace_counters){
        .ring_full = totals.dropped[SHMRING_DROP_RING_FULL],
        .oversize = totals.dropped[SHMRING_DROP_OVERSIZE],
        .nested = totals.dropped[SHMRING_DROP_NESTED],
        .disabled = totals.dropped[SHMRING_DROP_DISABLED],
        .no_slot = totals.dropped[SHMRING_DROP_NO_SLOT],
        .no_memory = totals.dropped[SHMRING_DROP_NO_MEMORY],
        .no_file = totals.dropped[SHMRING_DROP_NO_FILE],
    };
    out->committed = totals.begun - out->ring_full - out->oversize;
    out->attempted = totals.begun + out->nested + out->disabled + out->no_slot + out->no_memory + out->no_file;
}

static void count(struct aistrace_counters *out)
{
    struct shmring *ring = atomic_load(&aistrace__tracer.ring);
    *out = aistrace__process.last;
    if (ring) {
        aistrace__tallies_tell(ring);
        count_of(ring, out);
    }
    out->no_segment = aistrace__tallies_no_segment();
    out->attempted += out->no_segment;
}

void aistrace_counters_read(struct aistrace_counters *out)
{
    struct aistrace__hold hold;
    aistrace__lock(&hold); /* if not, this thread holds the mutex already */
    count(out);
    aistrace__unlock(&hold);
}

/* ---- stop ---- */

/* Other threads may be writing at this moment, populating a ring, and reading the control page: all that stays where it
 * is. */
static void stop(void)
{
    struct aistrace__process *process = &aistrace__process;
    struct shmring *ring = atomic_load(&aistrace__tracer.ring);
    atomic_store(&process->started, false);
    atomic_store(&aistrace__fork_page.generation, 0);
    atomic_store(&aistrace__tracer.ring, NULL);
    aistrace__thread.writer = NULL;
    aistrace__thread.generation = 0;
    free(process->ring_dir);
    process->ring_dir = NULL;
    if (!ring)
        return;
    aistrace__tallies_tell(ring);
    shmring_close(ring);
    count_of(ring, &process->last);
}

void aistrace_stop(void)
{
    int saved_errno = errno;
    struct aistrace__hold hold;
    if (aistrace__lock(&hold) && atomic_load(&aistrace__process.started))
        stop();
    aistrace__unlock(&hold);
    errno = saved_errno;
}

/* ---- the library's end ---- */

/* At exit, after the program's own handlers and destructors, and when a plug-in with a copy of the library is unloaded:
 * threads go on, and may end later. Not in the child of vfork, whose memory is the parent's. */
__attribute__((destructor(101))) static void library_ends(void)
{
    struct aistrace__hold hold;
    if (aistrace__process.pid != getpid())
        return;
    if (aistrace__lock(&hold)) {
        if (atomic_load(&aistrace__process.started))
            stop();
        aistrace__forget_threads();
    }
    aistrace__unlock(&hold);
}
