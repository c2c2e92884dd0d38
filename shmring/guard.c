/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#include "shmring.h"

/* Static, because a signal handler is given no context. */
static struct shmring__guarded registry[SHMRING_GUARD_MAX];
static struct sigaction previous;

struct shmring__guarded *shmring__guard_add(void *memory, size_t bytes)
{
    for (size_t i = 0; i < SHMRING_GUARD_MAX; i++) {
        struct shmring__guarded *guarded = &registry[i];
        bool taken = false;
        if (!atomic_compare_exchange_strong(&guarded->taken, &taken, true))
            continue;
        atomic_store(&guarded->poisoned, false);
        atomic_store(&guarded->bytes, bytes);
        atomic_store(&guarded->begin, (uintptr_t)memory); /* last: the handler looks at this field */
        return guarded;
    }
    return NULL;
}

void shmring__guard_remove(struct shmring__guarded *guarded)
{
    if (!guarded)
        return;
    atomic_store(&guarded->begin, 0);
    atomic_store(&guarded->taken, false);
}

/* The begin is read twice, so that an entry that is given to another mapping meanwhile is never read half and half. The
 * entry that the address belongs to does not change: its user waits in this handler. */
static bool contains(struct shmring__guarded *guarded, uintptr_t address, uintptr_t *begin, size_t *bytes)
{
    *begin = atomic_load(&guarded->begin);
    *bytes = atomic_load(&guarded->bytes);
    return *begin != 0 && atomic_load(&guarded->begin) == *begin && address - *begin < *bytes;
}

static bool cover(uintptr_t address)
{
    size_t bytes;
    uintptr_t begin;
    for (size_t i = 0; i < SHMRING_GUARD_MAX; i++) {
        if (!contains(&registry[i], address, &begin, &bytes))
            continue;
        atomic_store(&registry[i].poisoned, true);
        return mmap((void *)begin, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
    }
    return false;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    bool sent = info->si_code <= 0; /* by a process, not by an access */
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
    } else if (!sent || previous.sa_handler == SIG_DFL) {
        struct sigaction fatal = {.sa_handler = SIG_DFL};
        sigaction(number, &fatal, NULL); /* the access is repeated on return, and kills */
        if (sent)
            raise(number);
    }
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code <= 0 || !cover((uintptr_t)info->si_addr))
        pass_on(number, info, context);
    errno = saved;
}

int shmring_guard_install(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction found;
    if (sigaction(SIGBUS, NULL, &found) < 0)
        return -errno;
    if ((found.sa_flags & SA_SIGINFO) && found.sa_sigaction == on_sigbus)
        return 0;
    previous = found; /* before the handler can run */
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}
