/* SPDX-License-Identifier: MIT */
#include "ids.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

void aistrace__ids_seed(struct aistrace__ids *ids)
{
    uint64_t seed[2] = {0};
    if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed)) {
        /* Early in boot, or forbidden by a filter: time, process and thread have to do. */
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed[0] ^= ((uint64_t)now.tv_sec << 30) ^ (uint64_t)now.tv_nsec ^ ((uint64_t)gettid() << 44);
        seed[1] ^= (uint64_t)(uintptr_t)ids ^ ((uint64_t)getpid() << 40) ^ ((uint64_t)now.tv_nsec << 13);
    }
    ids->state = seed[0];
    ids->step = seed[1] | 1;
}

#if defined(__x86_64__)

__attribute__((target("rdrnd"))) static uint64_t read_random(void)
{
    unsigned long long value;
    return __builtin_ia32_rdrand64_step(&value) ? value : 0;
}

uint64_t aistrace__ids_cpu_random(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_RDRND) ? read_random() : 0;
}

#else

uint64_t aistrace__ids_cpu_random(void)
{
    return 0;
}

#endif
