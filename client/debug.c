/* SPDX-License-Identifier: MIT */
#include "debug.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmring.h"

static _Atomic bool wanted;
static _Atomic unsigned printed;
static struct stat at_start; /* of descriptor 2 */

/* Both give constants: no call that may allocate. */
static const char *text_of(int err)
{
    if (err == EDQUOT || err == ENOSPC || err == ENOMEM)
        return shmring_refusal(-err).text;
    if (err == EPERM)
        return "the ring directory is another user's; AIS_TRACING_RING_UID names who may own it";
    if (err == EFBIG)
        return "the limit of file sizes (RLIMIT_FSIZE) is below a segment's size";
#ifdef __GLIBC__
    return strerrordesc_np(err);
#else
    return strerror(err);
#endif
}

void aistrace__debug_init(bool on)
{
    atomic_store(&wanted, on && fstat(STDERR_FILENO, &at_start) == 0);
}

static bool is_still_stderr(void)
{
    struct stat now;
    return fstat(STDERR_FILENO, &now) == 0 && now.st_dev == at_start.st_dev && now.st_ino == at_start.st_ino;
}

void aistrace__debug_why(enum aistrace__cause cause, const char *text, const char *why)
{
    if (!atomic_load(&wanted) || (atomic_fetch_or(&printed, 1u << cause) & 1u << cause) || !is_still_stderr())
        return;
    char line[256];
    int bytes = snprintf(line, sizeof(line), "aistrace: %s%s%s\n", text, why ? ": " : "", why ? why : "");
    if (bytes > 0 && write(STDERR_FILENO, line, (size_t)bytes < sizeof(line) ? (size_t)bytes : sizeof(line) - 1) < 0)
        return;
}

void aistrace__debug(enum aistrace__cause cause, const char *text, int err)
{
    aistrace__debug_why(cause, text, err ? text_of(-err) : NULL);
}
