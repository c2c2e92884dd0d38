/* SPDX-License-Identifier: MIT
 *
 * Why nothing is recorded, on stderr. Only with AIS_TRACING_DEBUG=1: the library is silent otherwise.
 */
#ifndef AISTRACE_DEBUG_H
#define AISTRACE_DEBUG_H

#include <stdbool.h>

enum aistrace__cause {
    AISTRACE__CAUSE_SEGMENT,
    AISTRACE__CAUSE_DISK,
    AISTRACE__CAUSE_RING_SIZE,
    AISTRACE__CAUSE_RING_UID,
    AISTRACE__CAUSE_THREAD_SLOTS,
    AISTRACE__CAUSE_RESOURCE,
    AISTRACE__CAUSE_ATTACH, /* + enum shmring_drop: by why */
};

/* What descriptor 2 is from here on is stderr. When the program makes it something else, a file of its own perhaps,
 * nothing is printed any more. */
void aistrace__debug_init(bool on);

/* Prints the first line of each cause, if asked for at all. err: 0 or -errno; why: NULL or a text. */
void aistrace__debug(enum aistrace__cause cause, const char *text, int err);
void aistrace__debug_why(enum aistrace__cause cause, const char *text, const char *why);

#endif
