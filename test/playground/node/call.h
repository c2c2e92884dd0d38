/* SPDX-License-Identifier: MIT
 *
 * Calls from one node to another: traced, bounded, with a deadline.
 */
#ifndef CALL_H
#define CALL_H

#include <stddef.h>

struct cluster_peer;
struct request;

/* Proxies ask each other what they are: while both are busy with that, neither may wait for long. */
enum { CALL_DEADLINE_MS = 20000, CALL_PROBE_DEADLINE_MS = 2000 };

struct call_answer {
    long status; /* 0: none came */
    char *body;  /* NUL-terminated; the caller frees it; NULL when there was none */
    size_t bytes;
    char properties[1024]; /* the header Ais-Bucket-Props, or "" */
    char error[512];       /* why, for status 0 or one of 400 and above */
};

/* Calls method path on peer on behalf of request. text is the body, or NULL. route is path as a pattern. */
void call_peer(const struct request *request, const struct cluster_peer *peer, const char *method, const char *path,
               const char *route, const char *text, long deadline_ms, struct call_answer *answer);

#endif
