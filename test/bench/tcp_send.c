/* SPDX-License-Identifier: MIT
 *
 *   tcp_send PORT BYTES CHUNK
 *
 * The floor under every sender: BYTES over loopback in writes of CHUNK bytes, on core 0. Prints the process's CPU
 * seconds for it in nanoseconds.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

enum { SOURCE_BYTES = 16 << 20 };

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 64;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    uint64_t left = strtoull(argv[2], NULL, 10), chunk = strtoull(argv[3], NULL, 10), at = 0;
    uint8_t *source = malloc(SOURCE_BYTES);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (chunk == 0 || chunk > SOURCE_BYTES)
        return 64;
    if (!source || fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        bench_die("connect", -errno);
    bench_pin(0);
    memset(source, 1, SOURCE_BYTES);
    uint64_t begin = cpu_ns();
    while (left > 0) {
        size_t bytes = left < chunk ? left : chunk;
        if (at + bytes > SOURCE_BYTES)
            at = 0;
        ssize_t put = send(fd, source + at, bytes, MSG_NOSIGNAL);
        if (put <= 0)
            bench_die("send", -errno);
        at += (uint64_t)put;
        left -= (uint64_t)put;
    }
    printf("%" PRIu64 "\n", cpu_ns() - begin);
    close(fd);
    free(source);
    return 0;
}
