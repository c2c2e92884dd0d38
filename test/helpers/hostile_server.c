/* SPDX-License-Identifier: MIT
 *
 * hostile_server PORT cases FIRST STEP     every STEP-th case of support/hostile_cases.c from FIRST, then the end
 * hostile_server PORT always NAME          this case for ever
 * hostile_server PORT sound                behaves: every request has its answer
 *
 * A server on the loopback interface that misbehaves: each connection plays the next case. One that breaks a connection
 * before it has answered anything comes after a connection that answers, so that the client does not back off further.
 * Says "listening PORT", then for each connection that has ended: name, requests that came whole.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "support/hostile_cases.h"
#include "support/hostile_peer.h"

enum { SOUND_REQUESTS = 100000, PATIENCE_MS = 400, LINGER_MS = 100, OUTPUT_BYTES = 64 << 10 };

static struct server {
    uv_loop_t loop;
    uv_tcp_t listener;
    struct hostile_case *cases;
    size_t count, at, step;
    bool always, sound;
    bool proven; /* the connection before this one has answered */
} server;

struct connection {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct hostile_peer *peer;
    const char *name;
    char *script;
    struct buf out;
    enum hostile_act after_write;
    uint32_t pause_ms;
    bool writing, waiting;
    unsigned handles;
    char input[64 << 10];
};

static void run(struct connection *c);

static void handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    if (--c->handles)
        return;
    printf("%s\t%u\n", c->name, hostile_peer_requests(c->peer));
    fflush(stdout);
    hostile_peer_free(c->peer);
    buf_done(&c->out);
    free(c->script);
    free(c);
}

static void end(struct connection *c)
{
    if (uv_is_closing((uv_handle_t *)&c->timer))
        return;
    uv_close((uv_handle_t *)&c->timer, handle_closed);
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, handle_closed);
}

static void on_timer(uv_timer_t *timer)
{
    struct connection *c = timer->data;
    if (c->after_write == HOSTILE_PAUSE && !c->writing)
        run(c);
    else
        end(c);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct connection *c = request->data;
    if (status)
        end(c);
    else
        run(c);
}

static void do_act(struct connection *c)
{
    switch (c->after_write) {
    case HOSTILE_SEND:
        run(c);
        break;
    case HOSTILE_PAUSE:
        uv_timer_start(&c->timer, on_timer, c->pause_ms, 0);
        break;
    case HOSTILE_WAIT:
        if (!c->waiting && !server.sound)
            uv_timer_start(&c->timer, on_timer, PATIENCE_MS, 0);
        c->waiting = true;
        break;
    case HOSTILE_DEAF:
        uv_read_stop((uv_stream_t *)&c->tcp);
        run(c);
        break;
    case HOSTILE_HALF:
        c->shutdown.data = c;
        if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown))
            end(c);
        break;
    case HOSTILE_RESET:
        if (uv_tcp_close_reset(&c->tcp, handle_closed) == 0)
            uv_close((uv_handle_t *)&c->timer, handle_closed);
        else
            end(c);
        break;
    case HOSTILE_CLOSE:
        end(c);
        break;
    case HOSTILE_DONE:
        uv_timer_start(&c->timer, on_timer, LINGER_MS, 0);
        break;
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct connection *c = request->data;
    c->writing = false;
    c->out.len = 0;
    if (status)
        end(c);
    else if (!uv_is_closing((uv_handle_t *)&c->tcp))
        do_act(c);
}

static void run(struct connection *c)
{
    do
        c->after_write = hostile_peer_next(c->peer, &c->out, &c->pause_ms);
    while (c->after_write == HOSTILE_SEND && c->out.len < OUTPUT_BYTES);
    c->waiting &= c->after_write == HOSTILE_WAIT && !c->out.len;
    if (!c->out.len) {
        do_act(c);
        return;
    }
    uv_buf_t buffer = uv_buf_init((char *)c->out.data, (unsigned)c->out.len);
    c->write.data = c;
    c->writing = true;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buffer, 1, on_written))
        end(c);
    else /* a peer that does not read */
        uv_timer_start(&c->timer, on_timer, 4 * PATIENCE_MS, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct connection *c = handle->data;
    *out = uv_buf_init(c->input, sizeof(c->input));
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    struct connection *c = stream->data;
    if (bytes < 0) {
        end(c);
        return;
    }
    hostile_peer_receive(c->peer, (const uint8_t *)buffer->base, (size_t)bytes);
    if (c->waiting)
        run(c);
}

static char *sound_script(const char **name)
{
    static const char answer[] = " request ok";
    char *script = malloc(strlen(HOSTILE_PRELUDE) + SOUND_REQUESTS * strlen(answer) + 1);
    if (!script)
        abort();
    char *at = stpcpy(script, HOSTILE_PRELUDE);
    for (size_t i = 0; i < SOUND_REQUESTS; i++)
        at = stpcpy(at, answer);
    *name = "sound";
    return script;
}

/* The next connection's script; NULL: there are no more. */
static char *next_script(const char **name)
{
    if (server.at >= server.count)
        return NULL;
    if (server.sound)
        return sound_script(name);
    const struct hostile_case *hostile = &server.cases[server.at];
    bool prove = hostile->whole && !server.proven && !server.always;
    char *script;
    *name = prove ? "an answer" : hostile->name;
    if (asprintf(&script, "%s %s", prove || !hostile->whole ? HOSTILE_PRELUDE : "", prove ? "close" : hostile->script) <
        0)
        abort();
    server.proven = prove;
    if (!prove && !server.always)
        server.at += server.step;
    return script;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct connection *c = status ? NULL : calloc(1, sizeof(*c));
    if (!c)
        abort();
    c->script = next_script(&c->name);
    if (!c->script || hostile_peer_new(c->script, &c->peer))
        abort();
    c->tcp.data = c->timer.data = c;
    c->handles = 2;
    uv_tcp_init(&server.loop, &c->tcp);
    uv_timer_init(&server.loop, &c->timer);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) || uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read))
        end(c);
    else
        run(c);
    if (server.at >= server.count)
        uv_close((uv_handle_t *)&server.listener, NULL);
}

static void choose(char **arguments)
{
    if (strcmp(arguments[0], "cases") == 0 && arguments[1] && arguments[2]) {
        server.at = strtoul(arguments[1], NULL, 10);
        server.step = strtoul(arguments[2], NULL, 10);
        return;
    }
    server.always = true;
    server.sound = strcmp(arguments[0], "sound") == 0;
    if (server.sound)
        return;
    while (server.at < server.count && arguments[1] && strcmp(server.cases[server.at].name, arguments[1]) != 0)
        server.at++;
    if (server.at == server.count) {
        fprintf(stderr, "hostile_server: no such case\n");
        exit(64);
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address;
    int bytes = sizeof(address);
    if (argc < 3) {
        fprintf(stderr, "usage: hostile_server PORT cases FIRST STEP | hostile_server PORT always NAME | "
                        "hostile_server PORT sound\n");
        return 64;
    }
    server.count = hostile_cases_new(&server.cases);
    choose(argv + 2);
    uv_ip4_addr("127.0.0.1", atoi(argv[1]), &address);
    if (uv_loop_init(&server.loop) || uv_tcp_init(&server.loop, &server.listener) ||
        uv_tcp_bind(&server.listener, (const struct sockaddr *)&address, 0) ||
        uv_listen((uv_stream_t *)&server.listener, 64, on_connection)) {
        fprintf(stderr, "hostile_server: cannot listen on port %s\n", argv[1]);
        return 1;
    }
    uv_tcp_getsockname(&server.listener, (struct sockaddr *)&address, &bytes);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);
    uv_run(&server.loop, UV_RUN_DEFAULT);
    hostile_cases_free(server.cases, server.count);
    return 0;
}
