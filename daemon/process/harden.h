/* SPDX-License-Identifier: MIT
 *
 * The daemon reads other programs' memory and talks to the network. So that a fault in it is of little use to others, it
 * gives up new privileges, capabilities, core dumps, and being traced by other processes of its user.
 */
#ifndef HARDEN_H
#define HARDEN_H

#include "base/log.h"

/* For good, for the whole process: before it has a second thread. Also installs the guard of mapped segments. Of root's
 * capabilities two stay: CAP_DAC_OVERRIDE, since rings are their users' alone (0600) and the daemon writes to them, and
 * CAP_NET_BIND_SERVICE, for a metrics_listen below 1024. System calls are confined as in
 * harden_syscalls.h, unless the environment says AIS_TRACING_SECCOMP=off. What cannot be given up is logged as a
 * warning. */
void harden_process(struct log *log);

#endif
