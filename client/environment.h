/* SPDX-License-Identifier: MIT
 *
 * What the process's environment says to the library: each variable is read here and nowhere else.
 */
#ifndef AISTRACE_ENVIRONMENT_H
#define AISTRACE_ENVIRONMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* AIS_TRACING_DEBUG=1. */
bool aistrace__environment_debug(void);

/* AIS_TRACING_CLOCK=system. */
bool aistrace__environment_system_clock(void);

/* AIS_TRACING_RING_DIR. Never NULL or "". */
const char *aistrace__environment_ring_dir(void);

/* AIS_TRACING_RING_SIZE in bytes. 0: not given, or not a size (debug line). */
uint64_t aistrace__environment_ring_bytes(void);

/* AIS_TRACING_THREAD_SLOTS. 0: not given, or not a number from 1 to 1024 (debug line). */
uint32_t aistrace__environment_thread_slots(void);

/* AIS_TRACING_RING_UID. 0, root, is trusted in any case, and so means nobody else; also not given, or not a number. */
uid_t aistrace__environment_ring_uid(void);

/* MY_POD. May be NULL. */
const char *aistrace__environment_pod(void);

#endif
