/* SPDX-License-Identifier: MIT
 *
 * Linked into aistraced with --wrap, so that the allocations of its own code, and of no library, come here first.
 *
 *   FAIL_ALLOC=N,MS,OUT   the Nth fails; MS 0: that one; else each from then on, for so long. N 0: none, only counted.
 *
 * OUT gets `calls N eligible N failed N` at the end, as helper `inject` writes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t bytes);
int __wrap_asprintf(char **out, const char *format, ...);
int __wrap___asprintf_chk(char **out, int flag, const char *format, ...);

static struct {
    atomic_long calls, failed;
    long number, ms;
    const char *out;
    _Atomic long long until_ns;
} plan;

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void tell(void)
{
    char text[96];
    int n = snprintf(text, sizeof(text), "calls %ld eligible %ld failed %ld\n", plan.calls, plan.calls, plan.failed);
    int fd = open(plan.out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)n) != n)
        abort();
    close(fd);
}

__attribute__((constructor)) static void read_plan(void)
{
    const char *text = getenv("FAIL_ALLOC");
    char *end;
    if (!text)
        return;
    plan.number = strtol(text, &end, 10);
    plan.ms = strtol(end + 1, &end, 10);
    plan.out = end + 1;
    atexit(tell);
}

static bool fails(void)
{
    long call = atomic_fetch_add(&plan.calls, 1) + 1;
    if (plan.number == 0 || call < plan.number)
        return false;
    if (call == plan.number)
        plan.until_ns = now_ns() + plan.ms * 1000000;
    else if (now_ns() >= plan.until_ns)
        return false;
    atomic_fetch_add(&plan.failed, 1);
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t bytes)
{
    return fails() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    return fails() ? NULL : __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, bytes);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t bytes)
{
    return fails() ? NULL : __real_strndup(text, bytes);
}

int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = fails() ? -1 : vasprintf(out, format, arguments);
    va_end(arguments);
    return n;
}

int __wrap___asprintf_chk(char **out, int flag, const char *format, ...)
{
    va_list arguments;
    (void)flag;
    va_start(arguments, format);
    int n = fails() ? -1 : vasprintf(out, format, arguments);
    va_end(arguments);
    return n;
}
