/* SPDX-License-Identifier: MIT
 *
 * goaway_server PORT FILE INTERVAL_MS DELAY_MS
 *
 * An OTLP/gRPC server, over nghttp2, that sends every connection away each INTERVAL_MS: GOAWAY with the last stream
 * whose request is there; what comes after that is not taken. Appends each request it takes to FILE, as otlp_server.py
 * does, and answers it DELAY_MS later. Says "listening PORT", and "goaway" for each connection sent away.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "support/script_server.h"

enum { PREFIX_BYTES = 5 };

static struct run {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t term;
    struct script_server *server;
    int file;
} run;

static void on_act(void *user, const struct script_request *request)
{
    (void)user;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint32_t length = (uint32_t)(request->body.len - PREFIX_BYTES);
    uint64_t arrival_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    struct iovec parts[] = {
        {&length, sizeof(length)}, {&arrival_ns, sizeof(arrival_ns)}, {request->body.data + PREFIX_BYTES, length}};
    if (writev(run.file, parts, 3) != (ssize_t)(sizeof(length) + sizeof(arrival_ns) + length))
        abort();
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
    for (unsigned sent = script_server_goaway(run.server); sent > 0; sent--)
        printf("goaway\n");
    fflush(stdout);
}

static void on_term(uv_signal_t *handle, int number)
{
    (void)number;
    script_server_stop(run.server);
    uv_close((uv_handle_t *)&run.timer, NULL);
    uv_close((uv_handle_t *)handle, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: goaway_server PORT FILE INTERVAL_MS DELAY_MS\n");
        return 64;
    }
    const struct script_step step = {.delay_ms = (uint32_t)atoi(argv[4]), .times = SCRIPT_FOR_EVER};
    struct script script = {.steps = &step, .count = 1};
    const struct script_server_options options = {
        .limits = {.initial_window_bytes = 4 << 20}, .script = &script, .port = atoi(argv[1]), .on_act_cb = on_act};
    run.file = open(argv[2], O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (run.file < 0 || uv_loop_init(&run.loop) || script_server_start(&run.loop, &options, &run.server)) {
        fprintf(stderr, "goaway_server: cannot open %s, or listen on port %s\n", argv[2], argv[1]);
        return 1;
    }
    uv_timer_init(&run.loop, &run.timer);
    uv_timer_start(&run.timer, on_timer, (uint64_t)atoi(argv[3]), (uint64_t)atoi(argv[3]));
    uv_signal_init(&run.loop, &run.term);
    uv_signal_start(&run.term, on_term, SIGTERM);
    printf("listening %d\n", script_server_port(run.server));
    fflush(stdout);
    return uv_run(&run.loop, UV_RUN_DEFAULT);
}
