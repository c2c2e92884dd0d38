/* SPDX-License-Identifier: MIT
 *
 * Which way a condition usually goes, for hot paths: the usual way is then the one without jumps.
 */
#ifndef SHMRING_LIKELY_H
#define SHMRING_LIKELY_H

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#endif
