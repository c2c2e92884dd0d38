/* SPDX-License-Identifier: MIT
 *
 * Messages to the service manager (systemd's sd_notify protocol: a datagram of NAME=VALUE lines to $NOTIFY_SOCKET).
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* Without a service manager, or when it does not listen, nothing happens. */
void daemon_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* RELOADING=1 with the time systemd wants beside it; READY=1 has to follow, however the reload ends. */
void daemon_notify_reloading(void);

#endif
