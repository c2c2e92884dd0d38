/* SPDX-License-Identifier: MIT
 *
 * The sidecar's half of ParentBased(TraceIDRatioBased(p)): it publishes p, and drops the spans whose root
 * decided against them.
 */
#ifndef SAMPLER_H
#define SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

/* p in [0, 1] as a threshold for `big_endian_u64(trace_id[8..16]) >> 1 < threshold`: p x 2^63, truncated. */
uint64_t sampler_threshold(double probability);

/* From the record's enum aistrace_sampling flags. */
bool sampler_keep(uint16_t flags);

#endif
