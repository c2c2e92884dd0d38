/* SPDX-License-Identifier: MIT
 *
 * For programs that test producers: a log of what each process attempts, and a hold on its segment. Both outlive it.
 */
#ifndef ATTEMPT_LOG_H
#define ATTEMPT_LOG_H

#include <sys/types.h>

#include "aistrace.h"
#include "shmring_format.h"

/* Opens for appending; any number of processes may. -> descriptor or -errno */
int attempt_log_open(const char *path);

/* A line `PID SPAN_ID`, in one write, before the span is ended. pid: the calling process. -> 0 or -errno. */
int attempt_log_write(int log, pid_t pid, const struct aistrace_span *span);

/* Links the segment of process pid in ring_dir into held_dir as well, where it stays when the daemon has removed it.
 * The process must be alive and not yet have removed its segment. -> 0 or -errno (-ENOENT: none). */
int held_segment_link(const char *ring_dir, const char *held_dir, pid_t pid);

/* As held_segment_link, and maps slot 0's producer part for reading. -> NULL when there is none */
const struct shmring_producer *held_segment_map(const char *ring_dir, const char *held_dir, pid_t pid);
void held_segment_unmap(const struct shmring_producer *slot);

#endif
