/* SPDX-License-Identifier: MIT */
#include "daemon_notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void send_to(const char *path, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t bytes = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || bytes >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, bytes);
    if (path[0] == '@') /* an abstract name */
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address, address_bytes);
    close(fd);
}

void daemon_notify(const char *format, ...)
{
    char text[1024];
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    send_to(path, text);
}

void daemon_notify_reloading(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t usec = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    daemon_notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, usec);
}
