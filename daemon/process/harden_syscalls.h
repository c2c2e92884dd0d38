/* SPDX-License-Identifier: MIT
 *
 * The system calls of a daemon that reads rings, keeps files, and talks to the network; with a margin for what libc,
 * its name services, libuv and OpenSSL call on other kernels.
 */
#ifndef HARDEN_SYSCALLS_H
#define HARDEN_SYSCALLS_H

/* From now on, for all threads to come: any other call fails with ENOSYS, which libraries take for an old kernel, and
 * the kernel logs it where its audit is on. What the process can no longer do: start programs and processes, trace,
 * enter other namespaces, use kernel interfaces (bpf, io_uring, keyrings, modules, mounts) or sockets other than those
 * of the Internet and of the machine, have memory that is writable and executable at once. A build with a sanitizer,
 * which traces itself, is left as it is. -> 0; -ENOSYS: a kernel without filters; -errno. */
int harden_syscalls(void);

#endif
