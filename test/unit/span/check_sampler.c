/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "span/sampler.h"
#include "span_format.h"
#include "support/span_model.h"
#include "support/test.h"

/* AIStore's rule, worked out another way: big-endian digits, division instead of a shift. */
static bool formula_keeps(const uint8_t trace_id[16], double p)
{
    uint64_t low = 0;
    for (size_t i = 8; i < 16; i++)
        low = low * 256 + trace_id[i];
    if (p >= 1)
        return true;
    return p > 0 && low / 2 < (uint64_t)floorl((long double)p * 9223372036854775808.0L);
}

static bool threshold_keeps(const uint8_t trace_id[16], uint64_t threshold)
{
    uint64_t low;
    memcpy(&low, trace_id + 8, sizeof(low));
    return __builtin_bswap64(low) >> 1 < threshold;
}

TEST(the_threshold_is_the_formula)
{
    static const double probabilities[] = {0, 0.1, 0.25, 0.5, 1};
    struct model_random random = {.state = 7};
    size_t kept[5] = {0};
    for (size_t n = 0; n < 100000; n++) {
        uint8_t id[16];
        for (size_t i = 0; i < 16; i++)
            id[i] = (uint8_t)model_next(&random);
        for (size_t p = 0; p < 5; p++) {
            bool keeps = threshold_keeps(id, sampler_threshold(probabilities[p]));
            ck_assert_int_eq(keeps, formula_keeps(id, probabilities[p]));
            kept[p] += keeps;
        }
    }
    for (size_t p = 0; p < 5; p++)
        ck_assert_double_eq_tol((double)kept[p], 100000 * probabilities[p], 1000);
    ck_assert_uint_eq(kept[0], 0);
    ck_assert_uint_eq(kept[4], 100000);
}

TEST(ids_beside_the_threshold)
{
    static const double probabilities[] = {0.1, 0.25, 0.5};
    for (size_t p = 0; p < 3; p++) {
        uint64_t threshold = sampler_threshold(probabilities[p]);
        for (uint64_t step = 0; step < 6; step++) {
            uint64_t low = __builtin_bswap64(2 * threshold - 3 + step);
            uint8_t id[16] = {0};
            memcpy(id + 8, &low, sizeof(low));
            ck_assert_int_eq(threshold_keeps(id, threshold), step < 3);
            ck_assert_int_eq(formula_keeps(id, probabilities[p]), step < 3);
        }
    }
}

TEST(the_ends_and_what_is_no_probability)
{
    ck_assert_uint_eq(sampler_threshold(1), UINT64_C(1) << 63);
    ck_assert_uint_eq(sampler_threshold(2), UINT64_C(1) << 63);
    ck_assert_uint_eq(sampler_threshold(0), 0);
    ck_assert_uint_eq(sampler_threshold(-1), 0);
    ck_assert_uint_eq(sampler_threshold(NAN), 0);
    ck_assert_uint_eq(sampler_threshold(0.5), UINT64_C(1) << 62);
    ck_assert_uint_lt(sampler_threshold(nextafter(1, 0)), UINT64_C(1) << 63);
}

TEST(records_are_kept_as_their_root_decided)
{
    ck_assert(sampler_keep(AISTRACE_SAMPLED));
    ck_assert(sampler_keep(AISTRACE_SAMPLED | AISTRACE_REMOTE_DECIDED | AISTRACE_REMOTE_PARENT));
    ck_assert(sampler_keep(AISTRACE_UNDECIDED));
    ck_assert(!sampler_keep(0));
    ck_assert(!sampler_keep(AISTRACE_REMOTE_DECIDED | AISTRACE_REMOTE_PARENT));
}
