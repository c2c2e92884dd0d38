/* SPDX-License-Identifier: MIT */
#include "support/steps.h"

#include <check.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_TRACED = 77 };

static void nothing(void *arg)
{
    (void)arg;
}

static uint64_t step(void (*run)(void *arg), void *arg)
{
    pid_t pid = fork();
    uint64_t steps = 0;
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(NOT_TRACED);
        raise(SIGSTOP);
        run(arg);
        raise(SIGSTOP);
        _exit(3);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_TRACED)
        return 0;
    for (; WIFSTOPPED(status) && (steps == 0 || WSTOPSIG(status) == SIGTRAP); steps++) {
        ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    }
    ck_assert_msg(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "the child ended with %x", (unsigned)status);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return steps;
}

uint64_t steps_of(void (*run)(void *arg), void *arg)
{
    uint64_t around = step(nothing, NULL);
    uint64_t steps = around ? step(run, arg) : 0;
    return steps ? steps - around + 1 : 0; /* a first call may have to be linked, and is then the dearer */
}
