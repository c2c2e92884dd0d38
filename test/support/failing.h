/* SPDX-License-Identifier: MIT
 *
 * For a test that includes the sources it tests, behind this header: calls of theirs that fail when told, and an account
 * of the memory they hold.
 *
 *     #include <system headers of the sources>
 *     #include "support/failing.h"
 *     #include "segment.c"
 *
 *     fail_call("mmap", 1, ENOMEM);           the second mmap from here on, once
 *     ck_assert(failed());               there was one
 *     fail_call("mmap", 1, DIES);             the second mmap is this process's end, by SIGKILL
 */
#ifndef FAILING_H
#define FAILING_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { FAILING_MAX = 2, DIES = -1 };

static struct failing {
    struct {
        const char *name; /* NULL: none, or it has failed */
        unsigned after;   /* calls of this name that still succeed */
        int err;
    } calls[FAILING_MAX];
    long held; /* pieces of memory that were taken and not freed */
} failing;

/* Up to FAILING_MAX at a time, of different names. */
static inline void fail_call(const char *name, unsigned after, int err)
{
    size_t i = 0;
    while (i < FAILING_MAX - 1 && failing.calls[i].name)
        i++;
    failing.calls[i].name = name;
    failing.calls[i].after = after;
    failing.calls[i].err = err;
}

/* All that were told to have failed. */
static inline bool failed(void)
{
    return !failing.calls[0].name && !failing.calls[1].name;
}

/* True: this call of `name` fails, and errno says how. */
static inline bool fails(const char *name)
{
    for (size_t i = 0; i < FAILING_MAX; i++) {
        if (!failing.calls[i].name || strcmp(failing.calls[i].name, name) != 0 || failing.calls[i].after-- > 0)
            continue;
        if (failing.calls[i].err == DIES)
            kill(getpid(), SIGKILL);
        failing.calls[i].name = NULL;
        errno = failing.calls[i].err;
        return true;
    }
    return false;
}

static inline void *held(void *memory)
{
    failing.held += memory != NULL;
    return memory;
}

static inline void *freed(void *memory)
{
    failing.held -= memory != NULL;
    return memory;
}

/* A macro is not replaced within its own text. Those that look like a call leave members of the same name alone. */
#define malloc(bytes)        (fails("malloc") ? NULL : held(malloc(bytes)))
#define calloc(count, bytes) (fails("calloc") ? NULL : held(calloc(count, bytes)))
#define aligned_alloc(...)   (fails("aligned_alloc") ? NULL : held(aligned_alloc(__VA_ARGS__)))
#define realloc(old, bytes)  (fails("realloc") ? NULL : held(realloc(freed(old), bytes)))
#define strdup(text)         (fails("strdup") ? NULL : (char *)held(strdup(text)))
#define realpath(...)        (fails("realpath") ? NULL : (char *)held(realpath(__VA_ARGS__)))
#define free(memory)         free(freed(memory))

#define mmap(...)            (fails("mmap") ? MAP_FAILED : mmap(__VA_ARGS__))
#define mprotect(...)        (fails("mprotect") ? -1 : mprotect(__VA_ARGS__))
#define madvise(...)         (fails("madvise") ? -1 : madvise(__VA_ARGS__))
#define open(...)            (fails("open") ? -1 : open(__VA_ARGS__))
#define openat(...)          (fails("openat") ? -1 : openat(__VA_ARGS__))
#define mkdir(...)           (fails("mkdir") ? -1 : mkdir(__VA_ARGS__))
#define fstat(...)           (fails("fstat") ? -1 : fstat(__VA_ARGS__))
#define statvfs(...)         (fails("statvfs") ? -1 : statvfs(__VA_ARGS__))
#define opendir(path)        (fails("opendir") ? NULL : opendir(path))
#define mremap(...)          (fails("mremap") ? MAP_FAILED : mremap(__VA_ARGS__))
#define access(...)          (fails("access") ? -1 : access(__VA_ARGS__))
#define flock(...)           (fails("flock") ? -1 : flock(__VA_ARGS__))
#define ftruncate(...)       (fails("ftruncate") ? -1 : ftruncate(__VA_ARGS__))
#define posix_fallocate(...) (fails("posix_fallocate") ? errno : posix_fallocate(__VA_ARGS__))
#define linkat(...)          (fails("linkat") ? -1 : linkat(__VA_ARGS__))
#define renameat(...)        (fails("renameat") ? -1 : renameat(__VA_ARGS__))
#define lseek(...)           (fails("lseek") ? -1 : lseek(__VA_ARGS__))
#define prctl(...)           (fails("prctl") ? -1 : prctl(__VA_ARGS__))
#define sigaction(...)       (fails("sigaction") ? -1 : sigaction(__VA_ARGS__))
#define gethostname(...)     (fails("gethostname") ? -1 : gethostname(__VA_ARGS__))
#define read(...)            (fails("read") ? -1 : read(__VA_ARGS__))

/* err 0: not all that was asked for */
#define pread(fd, out, bytes, at)                                                                                      \
    (fails("pread") ? errno ? -1 : pread(fd, out, ((bytes) + 1) / 2, at) : pread(fd, out, bytes, at))
#define getrandom(out, bytes, flags)                                                                                   \
    (fails("getrandom") ? errno ? -1 : getrandom(out, (bytes) / 2, flags) : getrandom(out, bytes, flags))

#define pthread_key_create(...)  (fails("pthread_key_create") ? errno : pthread_key_create(__VA_ARGS__))
#define pthread_atfork(...)      (fails("pthread_atfork") ? errno : pthread_atfork(__VA_ARGS__))
#define pthread_setspecific(...) (fails("pthread_setspecific") ? errno : pthread_setspecific(__VA_ARGS__))

#endif
