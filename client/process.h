/* SPDX-License-Identifier: MIT
 *
 * What start, threads and fork share: what creating a segment needs, and the segment in force. Under the mutex (lock.h)
 * except where it says otherwise.
 */
#ifndef AISTRACE_PROCESS_H
#define AISTRACE_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "aistrace.h"
#include "resource.h"
#include "retry.h"
#include "shmring.h"
#include "tracer.h"

struct aistrace__process {
    _Atomic bool started;         /* also read without the mutex */
    struct aistrace__retry retry; /* likewise; of the segment, which this process has not or could not create */
    pid_t pid;                    /* whose state this is */
    uint32_t generation;          /* last in force, in this process or one it descends from */
    char *ring_dir;
    uint64_t ring_bytes;
    uint32_t thread_slots;
    uid_t ring_uid;
    struct aistrace__resource resource;
    uint64_t control_flags; /* with sampling_threshold: in the parent when it forked; 0: not told */
    uint64_t sampling_threshold;
    struct aistrace_counters last; /* at aistrace_stop */
};

extern struct aistrace__process aistrace__process;

/* Makes the state that was copied from the parent this process's own; the segment comes with the first use. The
 * parent's handle is left as it is: a thread that does not exist here may hold the allocator's locks. */
void aistrace__become_child(void);

/* Around a fork: what the daemon has published is the child's as well, until the daemon has found the child's
 * segment. */
void aistrace__note_published(void);
void aistrace__forget_published(void);

/* Creates the segment and puts it in force. -> 0, or -errno: spans will try again */
int aistrace__create(void);

/* The segment in force, created if there is none and an attempt is due. NULL: not started, or it cannot be now. */
struct shmring *aistrace__segment(void);

#endif
