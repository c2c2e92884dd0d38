/* SPDX-License-Identifier: MIT */
#include "sampler.h"

#include "span_format.h"

uint64_t sampler_threshold(double probability)
{
    if (probability >= 1)
        return UINT64_C(1) << 63;
    if (!(probability > 0)) /* NaN keeps nothing too */
        return 0;
    return (uint64_t)(probability * 0x1p63);
}

bool sampler_keep(uint16_t flags)
{
    return flags & (AISTRACE_SAMPLED | AISTRACE_UNDECIDED);
}
