/* SPDX-License-Identifier: MIT
 *
 *   sink count|parse|raw [CERT KEY]
 *
 * The endpoint that measurements are made against, on core 1: `count` counts bytes and answers every gRPC request OK,
 * `parse` also decodes it and keeps how long ago each span ended, `raw` only reads, from plain TCP. Any number of
 * connections; TLS with a certificate. Prints "port N". Commands on standard input, each with one line of answer:
 *
 *   totals     bytes and requests so far
 *   latencies  microseconds from span end to arrival of all spans since the last time
 *
 * Ends when standard input does.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/buf.h"
#include "bench.h"
#include "sink_session.h"

enum { READ_BYTES = 256 << 10, EVENTS = 64 };

struct connection {
    int fd;
    SSL *tls;
    struct sink_session *session; /* NULL: raw */
};

struct sink {
    int epoll;
    int listener;
    bool raw;
    SSL_CTX *tls;
    struct buf out;
    struct sink_state state;
};

static ssize_t receive(struct connection *connection, void *data, size_t bytes)
{
    if (!connection->tls)
        return recv(connection->fd, data, bytes, 0);
    int got = SSL_read(connection->tls, data, (int)bytes);
    if (got > 0)
        return got;
    int why = SSL_get_error(connection->tls, got);
    errno = EAGAIN;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static ssize_t transmit(struct connection *connection, const void *data, size_t bytes)
{
    if (!connection->tls)
        return send(connection->fd, data, bytes, MSG_NOSIGNAL);
    int put = SSL_write(connection->tls, data, (int)bytes);
    return put > 0 ? put : -1;
}

static void hang_up(struct connection *connection)
{
    sink_session_free(connection->session);
    SSL_free(connection->tls);
    close(connection->fd);
    free(connection);
}

/* All answers in one write. They are a few bytes each and the peer reads them: a socket that takes no more is given up.
 */
static bool flush(struct sink *sink, struct connection *connection)
{
    struct buf *out = &sink->out;
    const uint8_t *data;
    ssize_t bytes;
    out->len = 0;
    while (connection->session && (bytes = sink_session_send(connection->session, &data)) > 0)
        if (buf_append(out, data, (size_t)bytes) != 0)
            return false;
    return out->len == 0 || transmit(connection, out->data, out->len) == (ssize_t)out->len;
}

static bool serve(struct sink *sink, struct connection *connection)
{
    static uint8_t data[READ_BYTES];
    ssize_t bytes;
    while ((bytes = receive(connection, data, sizeof(data))) > 0) {
        sink->state.bytes += (uint64_t)bytes;
        if (connection->session && !sink_session_receive(connection->session, data, (size_t)bytes))
            return false;
        if (!flush(sink, connection))
            return false;
    }
    return bytes < 0 && (errno == EAGAIN || errno == EINTR);
}

static void take(struct sink *sink)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        bench_die("connection", -ENOMEM);
    connection->fd = accept4(sink->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection->fd < 0) {
        free(connection);
        return;
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (sink->tls) {
        connection->tls = SSL_new(sink->tls);
        SSL_set_fd(connection->tls, connection->fd);
        SSL_set_accept_state(connection->tls);
    }
    if (!sink->raw)
        connection->session = sink_session_new(&sink->state);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(sink->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0 ||
        (!connection->tls && !flush(sink, connection))) /* over TLS the first words follow the client's */
        hang_up(connection);
}

static void obey(struct sink *sink)
{
    static char line[64];
    if (!fgets(line, sizeof(line), stdin))
        exit(0);
    if (strncmp(line, "latencies", 9) == 0) {
        for (size_t i = 0; i < sink->state.latency_count; i++)
            printf("%" PRId32 " ", sink->state.latencies_us[i]);
        sink->state.latency_count = 0;
        puts("");
    } else {
        printf("%" PRIu64 " %" PRIu64 "\n", sink->state.bytes, sink->state.requests);
    }
    fflush(stdout);
}

static void listen_anywhere(struct sink *sink)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    sink->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sink->listener < 0 || bind(sink->listener, (struct sockaddr *)&address, length) != 0 ||
        listen(sink->listener, EVENTS) != 0 || getsockname(sink->listener, (struct sockaddr *)&address, &length) != 0)
        bench_die("listen", -errno);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
}

static int choose_h2(SSL *tls, const unsigned char **out, unsigned char *out_bytes, const unsigned char *in,
                     unsigned in_bytes, void *user)
{
    (void)tls;
    (void)user;
    static const unsigned char h2[] = "\x02h2";
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_bytes, h2, sizeof(h2) - 1, in, in_bytes) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *tls_context(const char *cert, const char *key)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        bench_die("certificate and key", 0);
    SSL_CTX_set_alpn_select_cb(tls, choose_h2, NULL);
    return tls;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 4)
        return 64;
    struct sink sink = {.raw = strcmp(argv[1], "raw") == 0, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    sink.state.parse = strcmp(argv[1], "parse") == 0;
    signal(SIGPIPE, SIG_IGN);
    bench_pin(1);
    if (argc == 4)
        sink.tls = tls_context(argv[2], argv[3]);
    listen_anywhere(&sink);
    setvbuf(stdin, NULL, _IONBF, 0);
    epoll_ctl(sink.epoll, EPOLL_CTL_ADD, 0, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &sink});
    epoll_ctl(sink.epoll, EPOLL_CTL_ADD, sink.listener, &(struct epoll_event){.events = EPOLLIN});
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(sink.epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection)
                take(&sink);
            else if (events[i].data.ptr == &sink)
                obey(&sink);
            else if (!serve(&sink, connection))
                hang_up(connection);
        }
    }
}
