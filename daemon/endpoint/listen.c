/* SPDX-License-Identifier: MIT */
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_MAX = 256, BACKLOG = 128 };

/* Splits at the last colon, and takes the brackets off an IPv6 address. */
static int split(const char *address, char host[HOST_MAX], const char **port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || colon[1] == '\0')
        return -EINVAL;
    char *end;
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || number > 65535 || strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return -EINVAL;
    size_t bytes = (size_t)(colon - address);
    if (address[0] == '[' && address[bytes - 1] == ']') {
        address++;
        bytes -= 2;
    } else if (memchr(address, ':', bytes)) {
        return -EINVAL;
    }
    if (bytes == 0 || bytes >= HOST_MAX)
        return -EINVAL;
    memcpy(host, address, bytes);
    host[bytes] = '\0';
    *port = colon + 1;
    return 0;
}

static int try_listen(const struct addrinfo *at)
{
    int on = 1;
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

static void name_bound(int fd, char bound[LISTEN_ADDRESS_MAX])
{
    struct sockaddr_storage self = {0};
    socklen_t bytes = sizeof(self);
    char host[INET6_ADDRSTRLEN + 16] = "?", port[8] = "?";
    if (getsockname(fd, (struct sockaddr *)&self, &bytes) == 0)
        getnameinfo((struct sockaddr *)&self, bytes, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(bound, LISTEN_ADDRESS_MAX, self.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

int listen_tcp(const char *address, char bound[LISTEN_ADDRESS_MAX])
{
    char host[HOST_MAX];
    const char *port;
    struct addrinfo *found, hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    int err = split(address, host, &port);
    if (err)
        return err;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -ENOENT;
    int fd = -ENOENT;
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        /* IPv4 first: for "localhost" most clients connect to 127.0.0.1. */
        if (at->ai_family == AF_INET)
            fd = try_listen(at);
    }
    for (const struct addrinfo *at = found; at && fd == -ENOENT; at = at->ai_next)
        fd = try_listen(at);
    freeaddrinfo(found);
    if (fd >= 0 && bound)
        name_bound(fd, bound);
    return fd;
}
