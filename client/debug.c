/* SPDX-License-Identifier: MIT */
#include "debug.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Atomic bool wanted;
static _Atomic unsigned printed;

/* Both give constants: no call that may allocate. */
static const char *text_of(int err)
{
#ifdef __GLIBC__
    return strerrordesc_np(err);
#else
    return strerror(err);
#endif
}

void aistrace__debug_init(bool on)
{
    atomic_store(&wanted, on);
}

void aistrace__debug(enum aistrace__cause cause, const char *text, int err)
{
    if (!atomic_load(&wanted) || (atomic_fetch_or(&printed, 1u << cause) & 1u << cause))
        return;
    char line[256];
    int bytes = err ? snprintf(line, sizeof(line), "aistrace: %s: %s\n", text, text_of(-err))
                    : snprintf(line, sizeof(line), "aistrace: %s\n", text);
    if (bytes > 0 && write(STDERR_FILENO, line, (size_t)bytes < sizeof(line) ? (size_t)bytes : sizeof(line) - 1) < 0)
        return;
}
