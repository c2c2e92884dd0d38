/* SPDX-License-Identifier: MIT */
#include "harden.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harden_syscalls.h"
#include "shmring.h"

static const uint64_t kept_capabilities = 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_NET_BIND_SERVICE;

static int forbid_core_dumps(void)
{
    const struct rlimit none = {0};
    return setrlimit(RLIMIT_CORE, &none) == 0 ? 0 : -errno;
}

/* Other processes of the user cannot read /proc/PID/mem either, where the token is. */
static int forbid_tracing(void)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -errno;
}

static int forbid_new_privileges(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : -errno;
}

/* Without CAP_SETPCAP they stay in the bounding set; without new privileges, nothing is gained from there. */
static void narrow_bounding_set(void)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (!(kept_capabilities >> capability & 1))
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    narrow_bounding_set();
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
        return -errno;
    if (syscall(SYS_capget, &header, sets) != 0)
        return -errno;
    uint32_t dropped = 0;
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        uint32_t kept = (uint32_t)(kept_capabilities >> 32 * i);
        dropped |= (sets[i].permitted & ~kept) | sets[i].inheritable;
        sets[i].permitted &= kept;
        sets[i].effective &= kept;
        sets[i].inheritable = 0;
    }
    if (dropped == 0) /* the call itself may be forbidden, as by the unit's filter */
        return 0;
    return syscall(SYS_capset, &header, sets) == 0 ? 0 : -errno;
}

/* A tool such as valgrind, or a libc that was never tried, may need more calls: the environment can leave this out. */
static int forbid_other_system_calls(void)
{
    const char *setting = getenv("AIS_TRACING_SECCOMP");
    return setting && strcmp(setting, "off") == 0 ? 0 : harden_syscalls();
}

static const struct {
    const char *what;
    int (*do_it)(void);
} steps[] = {
    {"guard mapped segments", shmring_guard_install},
    {"forbid core dumps", forbid_core_dumps},
    {"forbid tracing", forbid_tracing},
    {"drop capabilities", drop_capabilities},
    {"forbid new privileges", forbid_new_privileges},
    {"forbid other system calls", forbid_other_system_calls}, /* after the others, which need some of them */
};

void harden_process(struct log *log)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int err = steps[i].do_it();
        if (err)
            log_line(log, LOG_WARN, "cannot %s: %s; going on without", steps[i].what, strerror(-err));
    }
}
