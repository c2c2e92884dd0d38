/* SPDX-License-Identifier: MIT */
#include "harden_syscalls.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* By name: which of them an architecture and a libseccomp know differs. */
static const char *const allowed[] = {
    /* files */
    "open",
    "openat",
    "openat2",
    "close",
    "close_range",
    "creat",
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "lseek",
    "_llseek",
    "stat",
    "stat64",
    "fstat",
    "fstat64",
    "lstat",
    "lstat64",
    "fstatat64",
    "newfstatat",
    "statx",
    "statfs",
    "statfs64",
    "fstatfs",
    "fstatfs64",
    "access",
    "faccessat",
    "faccessat2",
    "getdents",
    "getdents64",
    "readlink",
    "readlinkat",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "rmdir",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "truncate",
    "truncate64",
    "ftruncate",
    "ftruncate64",
    "fallocate",
    "fadvise64",
    "fadvise64_64",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "flock",
    "fcntl",
    "fcntl64",
    "dup",
    "dup2",
    "dup3",
    "umask",
    "chmod",
    "fchmod",
    "fchmodat",
    "utimensat",
    "utimensat_time64",
    "getcwd",
    "chdir",
    "fchdir",
    "ioctl",
    "sendfile",
    "sendfile64",
    "copy_file_range",
    "memfd_create",
    "getxattr",
    "fgetxattr",
    "lgetxattr",
    /* memory; mmap, mmap2 and mprotect have rules of their own */
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "msync",
    "mincore",
    "mlock",
    "mlock2",
    "munlock",
    "membarrier",
    "get_mempolicy",
    "set_mempolicy",
    "pkey_alloc",
    "pkey_free",
    /* threads and the process itself; clone has a rule of its own, clone3 is left to fall back on it */
    "exit",
    "exit_group",
    "futex",
    "futex_time64",
    "futex_waitv",
    "set_robust_list",
    "get_robust_list",
    "rseq",
    "set_tid_address",
    "arch_prctl",
    "set_thread_area",
    "get_thread_area",
    "sched_yield",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "getcpu",
    "prctl",
    "getpid",
    "gettid",
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getresuid",
    "getresgid",
    "getgroups",
    "getpgrp",
    "getpgid",
    "getsid",
    "getrlimit",
    "ugetrlimit",
    "setrlimit",
    "prlimit64",
    "getrusage",
    "capget",
    "getpriority",
    "restart_syscall",
    /* signals */
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigpending",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "sigaltstack",
    "sigreturn",
    "signalfd4",
    "tgkill",
    "tkill",
    /* time and events */
    "clock_gettime",
    "clock_gettime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "nanosleep",
    "gettimeofday",
    "time",
    "times",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_settime64",
    "timerfd_gettime",
    "timerfd_gettime64",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "ppoll_time64",
    "select",
    "_newselect",
    "pselect6",
    "pselect6_time64",
    "eventfd",
    "eventfd2",
    "pipe",
    "pipe2",
    "inotify_init",
    "inotify_init1",
    "inotify_add_watch",
    "inotify_rm_watch",
    /* network; socket has rules of its own */
    "bind",
    "listen",
    "accept",
    "accept4",
    "connect",
    "shutdown",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
    "socketpair",
    "send",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "recv",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "recvmmsg_time64",
    /* the system */
    "uname",
    "sysinfo",
    "getrandom",
};

static int allow_named(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        int number = seccomp_syscall_resolve_name(allowed[i]);
        int err = number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
        if (err)
            return err;
    }
    return 0;
}

static int allow_sockets(scmp_filter_ctx filter)
{
    /* netlink: which families of addresses the machine has, for getaddrinfo(3) */
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};
    int err = 0;
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                               SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
    return err;
}

/* Writable or executable, not both. */
static int allow_protections(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect), SCMP_SYS(pkey_mprotect)};
    int err = 0;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && !err; i++) {
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_WRITE, 0));
        if (!err)
            err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    }
    return err;
}

static int allow_threads(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
}

static int (*const parts[])(scmp_filter_ctx) = {allow_named, allow_sockets, allow_protections, allow_threads};

static int load(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!filter)
        return -ENOMEM;
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1); /* where the kernel can */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    int err = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !err; i++)
        err = parts[i](filter);
    if (!err)
        err = seccomp_load(filter);
    seccomp_release(filter);
    return err == -EINVAL ? -ENOSYS : err;
}

int harden_syscalls(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return (void)load, 0;
#else
    return load();
#endif
}
