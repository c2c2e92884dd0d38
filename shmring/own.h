/* SPDX-License-Identifier: MIT
 *
 * Counters with one writer.
 */
#ifndef SHMRING_OWN_H
#define SHMRING_OWN_H

#include <stdint.h>

/* Adds to a counter that one thread writes; others may read it at any time. -> its value before. A signal handler of
 * the same thread may come at any point and add as well, so the addition is one instruction; no other thread is
 * concerned, so that it needs no lock prefix. */
static inline uint64_t shmring__own_add(volatile uint64_t *counter, uint64_t value)
{
#if defined(__x86_64__)
    __asm__ volatile("xaddq %0, %1" : "+r"(value), "+m"(*counter)::"cc");
    return value;
#else
    return __atomic_fetch_add(counter, value, __ATOMIC_RELAXED);
#endif
}

#endif
