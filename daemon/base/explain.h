/* SPDX-License-Identifier: MIT
 *
 * What errors of the file system mean for whoever runs the daemon.
 */
#ifndef EXPLAIN_H
#define EXPLAIN_H

/* Why a directory that a setting names cannot be used, and what to do; err is -errno, -EWOULDBLOCK a lock that another
 * daemon holds. Static. NULL: nothing more than strerror says. */
const char *explain_directory(int err);

#endif
