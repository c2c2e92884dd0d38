/* SPDX-License-Identifier: MIT
 *
 * A listening TCP socket from "HOST:PORT".
 */
#ifndef LISTEN_H
#define LISTEN_H

#include <stddef.h>

enum { LISTEN_ADDRESS_MAX = 80 };

/* Resolves, binds, listens; non-blocking, close-on-exec. Port 0: the kernel chooses. address: "HOST:PORT", "[V6]:PORT".
 * -> a descriptor, and in bound (may be NULL) its address as text; -EINVAL: not an address; -ENOENT: no such host; or
 * the error of bind. */
int listen_tcp(const char *address, char bound[LISTEN_ADDRESS_MAX]);

#endif
