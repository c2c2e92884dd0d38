/* SPDX-License-Identifier: MIT
 *
 * What is given up stays so, and what the daemon needs it can still do.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harden.h"
#include "shmring.h"

static char dir[] = "/dev/shm/check_harden.XXXXXX";
static char path[64];
static FILE *said;

/* Each test is a process of its own (libcheck forks). */
static void setup(void)
{
    struct log *log;
    said = tmpfile();
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/file", dir);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (geteuid() == 0)
        ck_assert_int_eq(fchown(fd, 4711, 4711), 0);
    close(fd);
    ck_assert_int_eq(log_new(fileno(said), &log), 0);
    harden_process(log);
    log_free(log);
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
}

static uint64_t effective_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    ck_assert_int_eq(syscall(SYS_capget, &header, sets), 0);
    return sets[0].effective | sets[0].permitted | (uint64_t)(sets[1].effective | sets[1].permitted) << 32;
}

START_TEST(nothing_is_said_when_all_goes_well)
{
    struct stat st;
    ck_assert_int_eq(fstat(fileno(said), &st), 0);
    ck_assert_int_eq(st.st_size, 0);
}
END_TEST

START_TEST(no_capabilities_but_two)
{
    uint64_t two = 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_NET_BIND_SERVICE;
    ck_assert_uint_eq(effective_capabilities() & ~two, 0);
    ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0), 0);
    ck_assert_int_eq(chown(path, 0, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(syscall(SYS_setuid, 4711), -1); /* glibc would ask all threads, a sanitizer's too */
}
END_TEST

START_TEST(no_core_and_no_look_at_the_memory)
{
    struct rlimit core;
    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &core), 0);
    ck_assert_uint_eq(core.rlim_cur + core.rlim_max, 0);
    ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}
END_TEST

START_TEST(rings_of_all_users_can_still_be_written)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    close(fd);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(mapped_segments_are_guarded)
{
    struct sigaction found;
    ck_assert_int_eq(sigaction(SIGBUS, NULL, &found), 0);
    ck_assert_int_eq(shmring_guard_install(), 0);
    struct sigaction again;
    ck_assert_int_eq(sigaction(SIGBUS, NULL, &again), 0);
    ck_assert(found.sa_sigaction == again.sa_sigaction && (found.sa_flags & SA_SIGINFO));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("harden");
    TCase *tcase = tcase_create("harden");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, nothing_is_said_when_all_goes_well);
    tcase_add_test(tcase, no_capabilities_but_two);
    tcase_add_test(tcase, no_core_and_no_look_at_the_memory);
    tcase_add_test(tcase, rings_of_all_users_can_still_be_written);
    tcase_add_test(tcase, mapped_segments_are_guarded);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
