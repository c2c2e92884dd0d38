/* SPDX-License-Identifier: MIT
 *
 * Kills a program at a chosen point, or makes its system calls fail, from outside: what is tested is what is shipped.
 *
 *   inject OUT MAIN ACTION... -- PROGRAM ARGUMENT...
 *
 *   count                     only counts
 *   kill N                    SIGKILL at the entry of the Nth system call
 *   after OFFSET N            SIGKILL at the entry of the Nth system call after OFFSET has been reached
 *   at OFFSET HIT STEPS       SIGKILL at OFFSET of the program's file, the HITth time, STEPS instructions later
 *   error CALL ERRNO N MS     the Nth call of that name from anywhere fails with that number, and all others for so long
 *   fail N MS                 the Nth system call of the program's own code fails; MS 0: only this call; otherwise each
 *                             call from then on, for so long
 *
 * The process that is started becomes PROGRAM; the tracer is a process beside it. Calls are counted from MAIN on, the
 * offset of main() in the file, in all threads. `fail` counts calls that have a plausible error (table) and come
 * from the program's own code, which the innermost return address outside libc on the stack tells; and calls on sockets,
 * which libuv makes in its name. Written to OUT at the end:
 *
 *   calls N eligible N failed N [last NAME]
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STACK_WORDS = 512, CODE_RANGES = 64, THREADS = 64, STOP_AT_SYSCALL = SIGTRAP | 0x80 };

/* What a call can fail with on a machine in trouble; `on_socket`: also where libuv makes it, on a socket. */
static const struct failure {
    long number;
    int err;
    bool on_socket;
    const char *name;
} failures[] = {
    {SYS_openat, EMFILE, false, "openat"},
    {SYS_openat2, EMFILE, false, "openat2"},
    {SYS_read, EIO, true, "read"},
    {SYS_pread64, EIO, false, "pread64"},
    {SYS_write, ENOSPC, true, "write"},
    {SYS_pwrite64, ENOSPC, false, "pwrite64"},
    {SYS_writev, ENOSPC, true, "writev"},
    {SYS_pwritev, ENOSPC, false, "pwritev"},
    {SYS_mmap, ENOMEM, false, "mmap"},
    {SYS_mremap, ENOMEM, false, "mremap"},
    {SYS_madvise, ENOMEM, false, "madvise"},
    {SYS_flock, ENOLCK, false, "flock"},
    {SYS_fstat, EIO, false, "fstat"},
    {SYS_newfstatat, EIO, false, "newfstatat"},
    {SYS_statfs, EIO, false, "statfs"},
    {SYS_fstatfs, EIO, false, "fstatfs"},
    {SYS_faccessat, EIO, false, "faccessat"},
    {SYS_faccessat2, EIO, false, "faccessat2"},
    {SYS_getdents64, EIO, false, "getdents64"},
    {SYS_mkdir, ENOSPC, false, "mkdir"},
    {SYS_mkdirat, ENOSPC, false, "mkdirat"},
    {SYS_rename, EIO, false, "rename"},
    {SYS_renameat, EIO, false, "renameat"},
    {SYS_renameat2, EIO, false, "renameat2"},
    {SYS_unlink, EIO, false, "unlink"},
    {SYS_unlinkat, EIO, false, "unlinkat"},
    {SYS_ftruncate, ENOSPC, false, "ftruncate"},
    {SYS_fallocate, ENOSPC, false, "fallocate"},
    {SYS_fsync, EIO, false, "fsync"},
    {SYS_fdatasync, EIO, false, "fdatasync"},
    {SYS_inotify_init1, EMFILE, false, "inotify_init1"},
    {SYS_inotify_add_watch, ENOSPC, false, "inotify_add_watch"},
    {SYS_prlimit64, EPERM, false, "prlimit64"},
    {SYS_prctl, EINVAL, false, "prctl"},
    {SYS_getrandom, EIO, false, "getrandom"},
    {SYS_socket, EMFILE, true, "socket"},
    {SYS_connect, ENETUNREACH, true, "connect"},
    {SYS_bind, EADDRINUSE, true, "bind"},
    {SYS_listen, EADDRINUSE, true, "listen"},
    {SYS_accept4, EMFILE, true, "accept4"},
    {SYS_sendto, ECONNRESET, true, "sendto"},
    {SYS_sendmsg, ECONNRESET, true, "sendmsg"},
    {SYS_recvfrom, ECONNRESET, true, "recvfrom"},
    {SYS_recvmsg, ECONNRESET, true, "recvmsg"},
    {SYS_getsockopt, ENOMEM, true, "getsockopt"},
};

enum action { COUNT, KILL, AFTER, AT, FAIL, ERROR };

struct range {
    uint64_t begin, end;
    bool ours;
};

/* A thread whose call has been replaced by none, and shall return this. */
struct pending {
    pid_t thread;
    int err;
};

struct tracer {
    pid_t pid;
    pid_t thread; /* that has stopped */
    const char *program, *out;
    enum action action;
    uint64_t main_offset, offset;
    const char *call; /* of ERROR */
    int err;
    long number, steps, ms; /* number: which call, or hit */
    uint64_t base;          /* of the program's file in memory */
    struct range code[CODE_RANGES];
    size_t code_ranges;
    uint64_t at; /* breakpoint in force, 0: none */
    long saved;  /* the word under it */
    bool in_main;
    long calls, eligible, failed;
    const char *last;
    struct pending pending[THREADS];
    uint64_t until_ns;
};

static void die(const char *what)
{
    fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- where the code lies ---- */

/* Executable mappings but those of libc and the loader, which are looked through. */
static void read_maps(struct tracer *t)
{
    char path[64], line[PATH_MAX + 128];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)t->pid);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return;
    t->code_ranges = 0;
    t->base = 0;
    while (fgets(line, sizeof(line), maps)) {
        struct range range;
        char rights[8], file[PATH_MAX] = "";
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %4095s", &range.begin, &range.end, rights, file) < 3)
            continue;
        range.ours = strcmp(file, t->program) == 0;
        if (range.ours && !t->base)
            t->base = range.begin;
        if (rights[2] == 'x' && t->code_ranges < CODE_RANGES && !strstr(file, "/libc.so") && !strstr(file, "/ld-") &&
            file[0] == '/')
            t->code[t->code_ranges++] = range;
    }
    fclose(maps);
}

/* Is the innermost code outside libc that a return address on the stack points to the program's own? */
static bool called_by_us(const struct tracer *t, uint64_t stack)
{
    uint64_t words[STACK_WORDS];
    struct iovec here = {words, sizeof(words)}, there = {(void *)(uintptr_t)stack, sizeof(words)};
    ssize_t n = process_vm_readv(t->pid, &here, 1, &there, 1, 0);
    for (ssize_t i = 0; i < n / (ssize_t)sizeof(words[0]); i++)
        for (size_t r = 0; r < t->code_ranges; r++)
            if (words[i] >= t->code[r].begin && words[i] < t->code[r].end)
                return t->code[r].ours;
    return false;
}

static bool is_socket(const struct tracer *t, int fd)
{
    char path[64], target[64];
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)t->pid, fd);
    ssize_t n = readlink(path, target, sizeof(target));
    return n > 7 && memcmp(target, "socket:", 7) == 0;
}

/* ---- breakpoints ---- */

static void set_breakpoint(struct tracer *t, uint64_t at)
{
    errno = 0;
    t->saved = ptrace(PTRACE_PEEKTEXT, t->thread, (void *)(uintptr_t)at, NULL);
    if (errno)
        die("no such place in the program");
    t->at = at;
    ptrace(PTRACE_POKETEXT, t->thread, (void *)(uintptr_t)at, (void *)((t->saved & ~0xffl) | 0xcc));
}

/* After its int3 has run: back before it, with the program as it was. */
static void take_breakpoint(struct tracer *t, struct user_regs_struct *regs)
{
    ptrace(PTRACE_POKETEXT, t->thread, (void *)(uintptr_t)t->at, (void *)t->saved);
    regs->rip = t->at;
    ptrace(PTRACE_SETREGS, t->thread, NULL, regs);
    t->at = 0;
}

static void step(const struct tracer *t)
{
    int status;
    ptrace(PTRACE_SINGLESTEP, t->thread, NULL, NULL);
    if (waitpid(t->thread, &status, __WALL) < 0 || !WIFSTOPPED(status))
        _exit(0);
}

static void on_breakpoint(struct tracer *t)
{
    struct user_regs_struct regs;
    ptrace(PTRACE_GETREGS, t->thread, NULL, &regs);
    uint64_t at = t->at;
    if (!at || regs.rip != at + 1)
        return;
    take_breakpoint(t, &regs);
    if (!t->in_main) {
        t->in_main = true;
        read_maps(t);
        if (t->action == AT || t->action == AFTER)
            set_breakpoint(t, t->base + t->offset);
        return;
    }
    if (t->action == AFTER) {
        t->calls = 0;
        t->action = KILL;
        return;
    }
    if (--t->number > 0) {
        step(t);
        set_breakpoint(t, at);
        return;
    }
    for (long i = 0; i < t->steps; i++)
        step(t);
    kill(t->pid, SIGKILL);
}

/* ---- system calls ---- */

static const struct failure *eligible(const struct tracer *t, const struct user_regs_struct *regs)
{
    for (size_t i = 0; i < sizeof(failures) / sizeof(*failures); i++) {
        if (failures[i].number != (long)regs->orig_rax)
            continue;
        if (t->action == ERROR)
            return strcmp(failures[i].name, t->call) == 0 ? &failures[i] : NULL;
        bool on_socket = failures[i].on_socket && (regs->orig_rax == SYS_socket || is_socket(t, (int)regs->rdi));
        return called_by_us(t, regs->rsp) || on_socket ? &failures[i] : NULL;
    }
    return NULL;
}

static bool due(struct tracer *t)
{
    t->eligible++;
    if ((t->action != FAIL && t->action != ERROR) || t->eligible < t->number)
        return false;
    if (t->eligible == t->number)
        t->until_ns = now_ns() + (uint64_t)t->ms * 1000000u;
    return t->eligible == t->number || now_ns() < t->until_ns;
}

static void on_entry(struct tracer *t, struct user_regs_struct *regs)
{
    t->calls++;
    if (t->action == KILL && t->calls == t->number) {
        kill(t->pid, SIGKILL);
        return;
    }
    if (regs->orig_rax == SYS_mmap && (int)regs->r8 >= 0)
        read_maps(t);
    if (t->action != FAIL && t->action != ERROR && t->action != COUNT)
        return;
    const struct failure *failure = eligible(t, regs);
    if (!failure || !due(t))
        return;
    t->failed++;
    t->last = failure->name;
    for (size_t i = 0; i < THREADS; i++) {
        if (t->pending[i].thread)
            continue;
        t->pending[i] = (struct pending){t->thread, t->action == ERROR ? t->err : failure->err};
        break;
    }
    regs->orig_rax = (unsigned long long)-1;
    ptrace(PTRACE_SETREGS, t->thread, NULL, regs);
}

static void on_exit_of_call(struct tracer *t, struct user_regs_struct *regs)
{
    for (size_t i = 0; i < THREADS; i++) {
        if (t->pending[i].thread != t->thread)
            continue;
        regs->rax = (unsigned long long)-t->pending[i].err;
        t->pending[i].thread = 0;
        ptrace(PTRACE_SETREGS, t->thread, NULL, regs);
    }
}

static void on_syscall(struct tracer *t)
{
    struct __ptrace_syscall_info info;
    struct user_regs_struct regs;
    if (!t->in_main || ptrace(PTRACE_GETREGS, t->thread, NULL, &regs) < 0 ||
        ptrace(PTRACE_GET_SYSCALL_INFO, t->thread, (void *)sizeof(info), &info) < 0)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        on_entry(t, &regs);
    else
        on_exit_of_call(t, &regs);
}

/* ---- the tracer's loop ---- */

static void write_out(const struct tracer *t)
{
    char text[128];
    int fd = open(t->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int n = snprintf(text, sizeof(text), "calls %ld eligible %ld failed %ld%s%s\n", t->calls, t->eligible, t->failed,
                     t->last ? " last " : "", t->last ? t->last : "");
    if (fd < 0 || write(fd, text, (size_t)n) != n)
        die(t->out);
    close(fd);
}

/* -> the signal to go on with; negative: it stays stopped, until SIGCONT */
static int on_stop(struct tracer *t, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    if (event == PTRACE_EVENT_EXEC) {
        read_maps(t);
        set_breakpoint(t, t->base + t->main_offset);
        return 0;
    }
    if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) /* a group stop: the thread must not be continued */
        return -1;
    if (event)
        return 0;
    if (signal == STOP_AT_SYSCALL) {
        on_syscall(t);
        return 0;
    }
    if (signal == SIGTRAP) {
        on_breakpoint(t);
        return 0;
    }
    return signal;
}

static void go_on(const struct tracer *t, int signal)
{
    bool calls = t->action != AT || !t->in_main;
    enum __ptrace_request how = signal < 0 ? PTRACE_LISTEN : calls ? PTRACE_SYSCALL : PTRACE_CONT;
    if (ptrace(how, t->thread, NULL, (void *)(intptr_t)(signal < 0 ? 0 : signal)) < 0 && errno != ESRCH)
        die("continue");
}

static void trace(struct tracer *t, int ready)
{
    const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE;
    int status;
    if (ptrace(PTRACE_SEIZE, t->pid, NULL, (void *)options) < 0)
        die("ptrace");
    if (write(ready, "", 1) != 1)
        die("pipe");
    close(ready);
    ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL);
    while ((t->thread = waitpid(-1, &status, __WALL)) > 0)
        if (WIFSTOPPED(status))
            go_on(t, on_stop(t, status));
    write_out(t);
    _exit(0);
}

/* Its parent is the program to be traced; it is a grandchild, so that the program has no child it does not know. */
static void start_tracer(struct tracer *t)
{
    int ready[2];
    char byte;
    t->pid = getpid();
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    if (pipe2(ready, O_CLOEXEC) < 0)
        die("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0)
            trace(t, ready[1]);
        _exit(0);
    }
    close(ready[1]);
    waitpid(pid, NULL, 0);
    if (read(ready[0], &byte, 1) != 1)
        _exit(77);
    close(ready[0]);
}

static int usage(void)
{
    fprintf(stderr,
            "usage: inject OUT MAIN count|kill N|after OFFSET N|at OFFSET HIT STEPS|error CALL ERRNO N MS|fail N MS "
            "-- PROGRAM ARGUMENT...\n");
    return 64;
}

int main(int argc, char **argv)
{
    struct tracer t = {.out = argv[1]};
    int i = 3, left = argc - 4;
    if (argc < 6)
        return usage();
    t.main_offset = strtoull(argv[2], NULL, 16);
    const char *action = argv[i++];
    if (strcmp(action, "kill") == 0 && left > 1) {
        t.action = KILL;
        t.number = atol(argv[i++]);
    } else if (strcmp(action, "after") == 0 && left > 2) {
        t.action = AFTER;
        t.offset = strtoull(argv[i++], NULL, 16);
        t.number = atol(argv[i++]);
    } else if (strcmp(action, "at") == 0 && left > 3) {
        t.action = AT;
        t.offset = strtoull(argv[i++], NULL, 16);
        t.number = atol(argv[i++]);
        t.steps = atol(argv[i++]);
    } else if (strcmp(action, "error") == 0 && left > 4) {
        t.action = ERROR;
        t.call = argv[i++];
        t.err = atoi(argv[i++]);
        t.number = atol(argv[i++]);
        t.ms = atol(argv[i++]);
    } else if (strcmp(action, "fail") == 0 && left > 2) {
        t.action = FAIL;
        t.number = atol(argv[i++]);
        t.ms = atol(argv[i++]);
    } else if (strcmp(action, "count") != 0) {
        return usage();
    }
    if (argc < i + 2 || strcmp(argv[i], "--") != 0)
        return usage();
    t.program = argv[i + 1];
    start_tracer(&t);
    execv(argv[i + 1], argv + i + 1);
    die(argv[i + 1]);
}
