/* SPDX-License-Identifier: MIT
 *
 * HTTP proxies that are asked for a tunnel with CONNECT (RFC 9110, 9.3.6), as the environment's https_proxy and
 * no_proxy name them. Pure.
 */
#ifndef PROXY_H
#define PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { PROXY_HEAD_MAX_BYTES = 8 << 10, PROXY_WHY_BYTES = 256 };

struct proxy {
    char *host; /* NULL: no proxy */
    char *port;
    char *credentials; /* of the header Proxy-Authorization: secret_new; NULL: none */
};

/* url: [http://][user:password@]host[:port][/], with percent escapes in user and password; port 3128 unless given; an
 * IPv6 address in brackets. -> 0 and *out (proxy_done), -EINVAL or -ENOMEM. */
int proxy_parse(const char *url, struct proxy *out);
void proxy_done(struct proxy *proxy);

/* Whether host is reached directly: it is on this host (localhost, a loopback address), or the list names it. list:
 * separated by commas or blanks: `*`, a domain (with all below it), an address or a range of addresses in CIDR form;
 * `*` and a domain also with :port. NULL: empty. */
bool proxy_is_bypassed(const char *list, const char *host, const char *port);

/* Appends the request. -> 0 or -ENOMEM */
int proxy_request(const struct proxy *proxy, const char *host, const char *port, struct buf *out);

/* head: what the proxy has answered so far, at least a byte. -> 1: the tunnel is open, the next byte is the endpoint's;
 * 0: the answer is not complete; -EPROTO: no tunnel, and why. */
int proxy_answer(const char *head, size_t bytes, char why[PROXY_WHY_BYTES]);

#endif
