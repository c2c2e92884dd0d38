/* SPDX-License-Identifier: MIT
 *
 * The mappings that shmring_guard_install() protects; shared by guard.c and reader.c only.
 */
#ifndef SHMRING_GUARD_H
#define SHMRING_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shmring__guarded {
    _Atomic uintptr_t begin; /* 0: none */
    _Atomic size_t bytes;
    _Atomic bool taken;
    _Atomic bool poisoned; /* it is anonymous memory now */
};

/* Registers a mapping, whole pages. Any thread, no lock. -> NULL: SHMRING_GUARD_MAX are registered. */
struct shmring__guarded *shmring__guard_add(void *memory, size_t bytes);

/* Before the mapping goes, or another would be taken for it. Accepts NULL. */
void shmring__guard_remove(struct shmring__guarded *guarded);

#endif
