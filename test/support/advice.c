/* SPDX-License-Identifier: MIT */
#include "advice.h"

#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* -> what `look` says of a page with this advice in a forked child */
static bool in_child(int advice, bool (*look)(const uint8_t *page))
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status = -1;
    ck_assert_ptr_ne(page, MAP_FAILED);
    *page = 1;
    if (madvise(page, bytes, advice) == 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(look(page) ? 0 : 1);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
    }
    munmap(page, bytes);
    return status == 0;
}

static bool is_wiped(const uint8_t *page)
{
    return *page == 0;
}

/* The kernel looks for us: a load would kill. */
static bool is_gone(const uint8_t *page)
{
    int ends[2];
    return pipe(ends) == 0 && write(ends[1], page, 1) < 0;
}

bool advice_wipes_on_fork(void)
{
    return in_child(MADV_WIPEONFORK, is_wiped);
}

/* Of a file that is empty that cannot be. */
bool advice_populates(void)
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    int fd = memfd_create("empty", MFD_CLOEXEC);
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
    bool is_told = madvise(page, bytes, MADV_POPULATE_WRITE) < 0 && errno == EFAULT;
    munmap(page, bytes);
    close(fd);
    return is_told;
}

bool advice_drops_on_fork(void)
{
    return in_child(MADV_DONTFORK, is_gone);
}
