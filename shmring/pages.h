/* SPDX-License-Identifier: MIT
 *
 * Pages of the kernel: 4 to 64 KiB. The format knows pages of 4 KiB only, so nothing in a file is aligned to more, and
 * what is mapped, protected, populated or given back is rounded here.
 */
#ifndef SHMRING_PAGES_H
#define SHMRING_PAGES_H

#include <stdint.h>
#include <unistd.h>

/* Of the page that holds offset. */
static inline uint64_t shmring__page_begin(uint64_t offset)
{
    return offset & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);
}

/* The first page's begin that is not before offset. */
static inline uint64_t shmring__page_end(uint64_t offset)
{
    return shmring__page_begin(offset + (uint64_t)sysconf(_SC_PAGESIZE) - 1);
}

#endif
