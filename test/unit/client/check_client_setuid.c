/* SPDX-License-Identifier: MIT
 *
 * A set-user-id program is run by a user who chooses its environment: the library takes nothing from there.
 */
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aistrace.h"
#include "support/directory.h"
#include "support/span_set.h"
#include "support/test.h"

enum { NOBODY = 65534 };

/* This program is the set-user-id program as well. */
__attribute__((constructor)) static void is_run_by_somebody(int argc, char **argv)
{
    struct aistrace_span span;

    if (argc != 2 || strcmp(argv[1], "as-set-user-id") != 0)
        return;
    if (aistrace_start(&(struct aistrace_options){.service_name = "x"}) != 0)
        _exit(1);
    aistrace_span_start(&span, "span", NULL);
    aistrace_span_end(&span);
    _exit(0);
}

static char *const environment[] = {"AIS_TRACING_RING_DIR=/dev/shm/chosen",
                                    "AIS_TRACING_RING_SIZE=nonsense",
                                    "AIS_TRACING_RING_UID=65534",
                                    "AIS_TRACING_DEBUG=1",
                                    "MY_POD=bytes of my choice",
                                    NULL};

/* -> what it printed to stderr */
static const char *run(mode_t mode, uid_t caller)
{
    static char printed[1024];
    int ends[2], status, from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open("/dev/shm/program", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0700);

    while (sendfile(to, from, NULL, 1 << 20) > 0)
        ;
    ck_assert_int_eq(fchmod(to, mode), 0);
    close(to);
    close(from);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        if (setgroups(0, NULL) != 0 || setresgid(caller, caller, caller) != 0 || setresuid(caller, caller, caller) != 0)
            _exit(2);
        execve("/dev/shm/program", (char *const[]){"program", "as-set-user-id", NULL}, environment);
        _exit(3);
    }
    close(ends[1]);
    ssize_t bytes = read(ends[0], printed, sizeof(printed) - 1);
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    printed[bytes > 0 ? bytes : 0] = '\0';
    return printed;
}

/* Not if it is an emulator that runs this program. */
static bool kernel_runs_it(void)
{
    enum { NOT_RUN = 77 };
    int status;
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        execl("/proc/self/exe", "program", "no test has this in its name", NULL);
        _exit(NOT_RUN);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != NOT_RUN;
}

static bool has_pod(const char *dir)
{
    struct span_set set = {0};
    struct span_set_item item;

    span_set_drain(&set, dir);
    ck_assert_uint_eq(set.count, 1);
    bool found = span_set_item(set.resource, set.resource_bytes, AISTRACE_ITEM_ATTRIBUTE, "pod", &item);
    span_set_done(&set);
    return found;
}

TEST(the_environment_of_a_set_user_id_program_is_not_its_own)
{
    NEEDS(test_mounts_privately() && mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=0755") == 0, "root, to mount");
    NEEDS(kernel_runs_it(), "a kernel for its processor");
    NEEDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, "set-user-id programs");

    ck_assert_str_eq(run(04755, NOBODY), "");
    ck_assert_int_ne(access("/dev/shm/chosen", F_OK), 0);
    ck_assert(!has_pod("/dev/shm/aistrace"));

    /* Each of these variables would have been seen. */
    ck_assert_ptr_nonnull(strstr(run(0755, 0), "AIS_TRACING_RING_SIZE"));
    ck_assert(has_pod("/dev/shm/chosen"));
}
