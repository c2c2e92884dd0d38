/* SPDX-License-Identifier: MIT
 *
 * aistrace endpoint: the embedded endpoint as a program: receiver, store and query on one loop.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <uv.h>

#include "cli.h"
#include "endpoint/listen.h"
#include "endpoint/query.h"
#include "endpoint/receiver.h"
#include "endpoint/store/store.h"
#include "options.h"

struct endpoint {
    uv_loop_t loop;
    uv_signal_t signals[2];
    struct store *store;
    struct receiver *receiver;
    struct query *query;
};

struct settings {
    const char *listen_address, *http_address;
    uint64_t memory_bytes;
};

static int listen_on(const char *flag, const char *address, char bound[LISTEN_ADDRESS_MAX])
{
    int fd = listen_tcp(address, bound);
    if (fd >= 0)
        return fd;
    if (fd == -EINVAL)
        fprintf(stderr, "aistrace endpoint: %s %s: not HOST:PORT\n", flag, address);
    else if (fd == -EADDRINUSE)
        fprintf(stderr,
                "aistrace endpoint: %s %s: the port is in use; stop what listens there (`ss -ltnp` names it) or choose "
                "another with %s HOST:PORT\n",
                flag, address, flag);
    else
        fprintf(stderr, "aistrace endpoint: %s %s: %s\n", flag, address,
                fd == -ENOENT ? "no such host" : strerror(-fd));
    return fd;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct endpoint *endpoint = handle->data;
    (void)number;
    receiver_close(endpoint->receiver);
    query_close(endpoint->query);
    for (size_t i = 0; i < sizeof(endpoint->signals) / sizeof(*endpoint->signals); i++) {
        if (!uv_is_closing((uv_handle_t *)&endpoint->signals[i]))
            uv_close((uv_handle_t *)&endpoint->signals[i], NULL);
    }
}

static int start(struct endpoint *endpoint, uint64_t memory_bytes, int grpc_fd, int http_fd)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    uint64_t key;
    if (getrandom(&key, sizeof(key), 0) != sizeof(key))
        return -errno;
    int err = store_new(memory_bytes, key, &endpoint->store);
    if (!err)
        err = receiver_start(&endpoint->loop, grpc_fd, endpoint->store, &endpoint->receiver);
    if (!err)
        err = query_start(&endpoint->loop, http_fd, endpoint->store, endpoint->receiver, &endpoint->query);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers) && !err; i++) {
        uv_signal_init(&endpoint->loop, &endpoint->signals[i]);
        endpoint->signals[i].data = endpoint;
        err = uv_signal_start(&endpoint->signals[i], on_signal, numbers[i]);
    }
    return err;
}

static const struct option_row rows[] = {
    {.name = "listen",
     .type = OPTION_TEXT,
     .member = offsetof(struct settings, listen_address),
     .argument = "HOST:PORT",
     .help = "OTLP/gRPC in plaintext (127.0.0.1:4317); port 0: any"},
    {.name = "http",
     .type = OPTION_TEXT,
     .member = offsetof(struct settings, http_address),
     .argument = "HOST:PORT",
     .help = "page and query API (127.0.0.1:16686); port 0: any"},
    {.name = "memory",
     .type = OPTION_BYTES,
     .member = offsetof(struct settings, memory_bytes),
     .argument = "SIZE",
     .min = STORE_MIN_BYTES,
     .help = "memory for traces; when it is full the oldest are evicted (64MiB)"},
};

static const struct option_table table = {
    .command = "aistrace endpoint",
    .summary = "Receives spans over OTLP/gRPC and keeps the latest traces in memory. TERM or INT ends it.",
    .epilogue =
        "See the traces in a browser at the --http address, with `aistrace traces`, or by GET there: /v1/traces\n"
        "(parameters service, name, trace, limit, min_duration), /v1/stats, and Jaeger's query API at /api.",
    .rows = rows,
    .count = sizeof(rows) / sizeof(*rows),
};

int cli_endpoint(int argc, char **argv)
{
    struct settings settings = {
        .listen_address = "127.0.0.1:4317",
        .http_address = "127.0.0.1:16686",
        .memory_bytes = STORE_DEFAULT_BYTES,
    };
    struct endpoint endpoint = {0};
    char grpc_bound[LISTEN_ADDRESS_MAX], http_bound[LISTEN_ADDRESS_MAX];
    int exit_code;
    if (!options_parse(&table, argc, argv, &settings, &exit_code))
        return exit_code;
    signal(SIGPIPE, SIG_IGN);
    int grpc_fd = listen_on("--listen", settings.listen_address, grpc_bound);
    int http_fd = grpc_fd < 0 ? grpc_fd : listen_on("--http", settings.http_address, http_bound);
    if (http_fd < 0)
        return grpc_fd == -EINVAL || http_fd == -EINVAL ? EXIT_USAGE : EXIT_UNREACHABLE;
    int err = uv_loop_init(&endpoint.loop);
    if (!err)
        err = start(&endpoint, settings.memory_bytes, grpc_fd, http_fd);
    if (err) {
        fprintf(stderr, "aistrace endpoint: cannot start: %s\n", strerror(-err));
        return EXIT_INTERNAL;
    }
    printf("aistrace endpoint: OTLP/gRPC at %s, query API at http://%s\n", grpc_bound, http_bound);
    fflush(stdout);
    uv_run(&endpoint.loop, UV_RUN_DEFAULT);
    uv_loop_close(&endpoint.loop);
    store_free(endpoint.store);
    return 0;
}
