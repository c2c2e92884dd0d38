/* SPDX-License-Identifier: MIT */
#include "support/single_step.h"

#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

static struct {
    sigjmp_buf back;
    volatile unsigned left; /* instructions up to `there`; 0: not any more */
    volatile bool over;     /* the call is; what follows moves the stack, unknown to whoever unwinds it */
    void (*there)(void *argument);
    void *argument;
} stepped;

/* What goes on behind `there` runs without steps: it may block signals. */
static void trap(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    if (stepped.over || stepped.left == 0 || --stepped.left > 0)
        return;
    stepped.there(stepped.argument);
#if defined(__x86_64__)
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
#endif
}

/* Past the red zone, in which a function that calls nothing may keep its variables. */
static inline void set_trap_flag(void)
{
#if defined(__x86_64__)
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
#endif
}

static inline void clear_trap_flag(void)
{
#if defined(__x86_64__)
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
#endif
}

bool single_step(unsigned at, void (*operate)(void *argument), void (*there)(void *argument), void *argument)
{
    struct sigaction action = {.sa_sigaction = trap, .sa_flags = SA_NODEFER | SA_SIGINFO};

    sigaction(SIGTRAP, &action, NULL);
    stepped.left = at;
    stepped.over = false;
    stepped.there = there;
    stepped.argument = argument;
    if (sigsetjmp(stepped.back, 1) != 0)
        return true;
    if (at > 0)
        set_trap_flag();
    operate(argument);
    stepped.over = true;
    clear_trap_flag();
    bool came = at > 0 && stepped.left == 0;
    stepped.left = 0;
    return came;
}

_Noreturn void single_step_jump(void *unused)
{
    (void)unused;
    siglongjmp(stepped.back, 1);
}
