/* SPDX-License-Identifier: MIT
 *
 * What is given up stays so, and what the daemon needs it can still do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/harden.h"
#include "shmring.h"
#include "support/directory.h"
#include "support/test.h"

static char dir[TEST_DIRECTORY_BYTES], path[sizeof(dir) + 8];
static FILE *said;

/* Each test is a process of its own (libcheck forks). */
static void setup(void)
{
    struct log *log;
    said = tmpfile();
    test_directory(dir, "harden");
    snprintf(path, sizeof(path), "%s/file", dir);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (geteuid() == 0)
        ck_assert_int_eq(fchown(fd, 4711, 4711), 0);
    close(fd);
    ck_assert_int_eq(log_new(fileno(said), &log), 0);
    harden_process(log);
    log_free(log);
}

static void setup_unconfined(void)
{
    setenv("AIS_TRACING_SECCOMP", "off", 1);
    setup();
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
}

FIXTURE(setup, teardown);

static uint64_t effective_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    ck_assert_int_eq(syscall(SYS_capget, &header, sets), 0);
    return sets[0].effective | sets[0].permitted | (uint64_t)(sets[1].effective | sets[1].permitted) << 32;
}

TEST(nothing_is_said_when_all_goes_well)
{
    struct stat st;
    ck_assert_int_eq(fstat(fileno(said), &st), 0);
    ck_assert_int_eq(st.st_size, 0);
}

TEST(no_capabilities_but_two)
{
    uint64_t two = 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_NET_BIND_SERVICE;
    ck_assert_uint_eq(effective_capabilities() & ~two, 0);
    ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    NEEDS(geteuid() == 0, "root");
    ck_assert_int_eq(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 0);
    ck_assert_int_eq(chown(path, 0, 0), -1);
    ck_assert_int_eq(syscall(SYS_setuid, 4711), -1); /* glibc would ask all threads, a sanitizer's too */
}

TEST(no_core_and_no_look_at_the_memory)
{
    struct rlimit core;
    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &core), 0);
    ck_assert_uint_eq(core.rlim_cur + core.rlim_max, 0);
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}

TEST(rings_of_all_users_can_still_be_written)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    close(fd);
    ck_assert_int_eq(unlink(path), 0);
}

/* A sanitizer's build is not confined: it traces itself. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool confined = false;
#else
static const bool confined = true;
#endif

static long run_a_program(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static long make_a_process(void)
{
    return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
}

static long make_a_process_anew(void)
{
    return syscall(SYS_clone3, NULL, 0);
}

static long trace_the_parent(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long read_the_parent(void)
{
    return syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static long leave_the_namespaces(void)
{
    return unshare(CLONE_NEWUSER);
}

static long open_a_packet_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0);
}

static long map_code_to_write(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? -1 : 0;
}

static long set_up_a_ring_of_calls(void)
{
    return syscall(SYS_io_uring_setup, 1, NULL);
}

static long send_a_signal(void)
{
    return kill(getppid(), 0);
}

static long (*const forbidden[])(void) = {
    run_a_program,        make_a_process,       make_a_process_anew, trace_the_parent,       read_the_parent,
    leave_the_namespaces, open_a_packet_socket, map_code_to_write,   set_up_a_ring_of_calls, send_a_signal,
};

LOOP_TEST(other_system_calls_are_as_of_an_old_kernel, COUNT(forbidden))
{
    NEEDS(confined, "a filter of system calls");
    ck_assert_int_eq(forbidden[_i](), -1);
    ck_assert_int_eq(errno, ENOSYS);
}
static void *work(void *argument)
{
    return argument;
}

TEST(threads_and_name_services_still_work)
{
    struct addrinfo *found = NULL;
    pthread_t thread;
    void *result = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, work, path), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_ptr_eq(result, path);
    ck_assert_int_eq(getaddrinfo("localhost", "80", NULL, &found), 0);
    freeaddrinfo(found);
}

TEST(mapped_segments_are_guarded)
{
    struct sigaction found;
    ck_assert_int_eq(sigaction(SIGBUS, NULL, &found), 0);
    ck_assert_int_eq(shmring_guard_install(), 0);
    struct sigaction again;
    ck_assert_int_eq(sigaction(SIGBUS, NULL, &again), 0);
    ck_assert(found.sa_sigaction == again.sa_sigaction && (found.sa_flags & SA_SIGINFO));
}

FIXTURE(setup_unconfined, teardown);

TEST(confinement_can_be_left_out)
{
    ck_assert_int_eq(make_a_process_anew(), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}
