/* SPDX-License-Identifier: MIT
 *
 * Queries over HTTP on a loop that has other things to do as well. Includes the source that answers, so that the pieces
 * of an answer are seen.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoint/jaeger/jaeger_api.h"
#include "endpoint/listen.h"
#include "endpoint/traces/trace_lines.h"
#include "support/test.h"

static size_t longest_piece, all_pieces;

static int note_piece(const struct buf *out, size_t before, int result)
{
    size_t bytes = out->len - before;
    longest_piece = bytes > longest_piece ? bytes : longest_piece;
    all_pieces += bytes;
    return result;
}

static int noted_answer_next(struct jaeger_answer *answer, struct buf *out, size_t want)
{
    size_t before = out->len;
    return note_piece(out, before, jaeger_answer_next(answer, out, want));
}

static int noted_lines_next(struct trace_lines *lines, struct buf *out, size_t want)
{
    size_t before = out->len;
    return note_piece(out, before, trace_lines_next(lines, out, want));
}

#define jaeger_answer_next noted_answer_next
#define trace_lines_next   noted_lines_next
#include "endpoint/query.c"
#undef jaeger_answer_next
#undef trace_lines_next

enum { SPANS = 4000, MESSAGE_BYTES = 4000 };

struct scene {
    uv_loop_t loop;
    uv_check_t turns_of;
    uv_async_t done;
    struct store *store;
    struct query *query;
    unsigned turns;
    int port;
    const char *request;
    char answer[4096];
};

static void on_turn(uv_check_t *check)
{
    struct scene *scene = check->data;
    scene->turns++;
}

static void on_done(uv_async_t *done)
{
    struct scene *scene = done->data;
    query_close(scene->query);
    uv_close((uv_handle_t *)&scene->turns_of, NULL);
    uv_close((uv_handle_t *)&scene->done, NULL);
}

/* In a thread: sends the request, keeps the beginning of the answer. */
static void *ask(void *user)
{
    struct scene *scene = user;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)scene->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t have = 0;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        write(fd, scene->request, strlen(scene->request)) == (ssize_t)strlen(scene->request)) {
        char buffer[65536];
        for (ssize_t got; (got = read(fd, buffer, sizeof(buffer))) > 0;) {
            size_t room = sizeof(scene->answer) - 1 - have, take = (size_t)got < room ? (size_t)got : room;
            memcpy(scene->answer + have, buffer, take);
            have += take;
        }
    }
    close(fd);
    uv_async_send(&scene->done);
    return NULL;
}

static void add_spans(struct store *store)
{
    static uint8_t message[MESSAGE_BYTES];
    struct store_group *group;
    ck_assert_int_eq(store_hold_group(store, &(struct store_origin){.service = {message, 0}}, &group), 0);
    message[0] = 42, message[1] = 0xfc, message[2] = 0x1e; /* field 5, the name: the other 3964 bytes and more */
    for (uint32_t i = 1; i <= SPANS; i++) {
        struct store_span span = {.end_ns = 1, .message = {message, 3 + 3964}};
        memcpy(span.trace_id, &i, sizeof(i));
        memcpy(span.span_id, &i, sizeof(i));
        ck_assert_int_eq(store_add(store, group, &span, i), 1);
    }
    store_release_group(store, group);
}

static void run_scene(struct scene *scene, const char *request)
{
    char bound[LISTEN_ADDRESS_MAX];
    pthread_t thread;
    scene->request = request;
    ck_assert_int_eq(uv_loop_init(&scene->loop), 0);
    ck_assert_int_eq(store_new(STORE_DEFAULT_BYTES, 7, &scene->store), 0);
    add_spans(scene->store);
    int fd = listen_tcp("127.0.0.1:0", bound);
    ck_assert_int_ge(fd, 0);
    scene->port = atoi(strrchr(bound, ':') + 1);
    ck_assert_int_eq(query_start(&scene->loop, fd, scene->store, NULL, &scene->query), 0);
    uv_check_init(&scene->loop, &scene->turns_of);
    uv_async_init(&scene->loop, &scene->done, on_done);
    scene->turns_of.data = scene->done.data = scene;
    uv_check_start(&scene->turns_of, on_turn);
    ck_assert_int_eq(pthread_create(&thread, NULL, ask, scene), 0);
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    pthread_join(thread, NULL);
    ck_assert_int_eq(uv_loop_close(&scene->loop), 0);
    store_free(scene->store);
}

TEST(the_loop_turns_while_a_search_looks)
{
    static struct scene scene;
    run_scene(&scene, "GET /v1/summaries?tag=never:there HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(scene.answer, "200 OK"));
    ck_assert_ptr_nonnull(strstr(scene.answer, "{\"traces\":["));
    ck_assert_uint_ge(scene.turns, 8); /* 16 MB to look at, in pieces of 1 MiB, at most two a turn */
}

/* The answer is made a piece at a time, since the loop stands still while one is made. */
LOOP_TEST(the_loop_turns_while_a_long_answer_is_sent, 2)
{
    static struct scene scene;
    static const char *const requests[] = {"GET /api/traces?limit=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                                           "GET /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"};
    run_scene(&scene, requests[_i]);
    ck_assert_ptr_nonnull(strstr(scene.answer, "200 OK"));
    ck_assert_uint_ge(all_pieces, 1 << 20);
    ck_assert_uint_le(longest_piece, 80 << 10); /* 64 KiB, and the rest of a span */
    ck_assert_uint_ge(scene.turns, 12);
}

TEST(the_page_comes_with_its_policy)
{
    static struct scene scene;
    run_scene(&scene, "GET /trace/12 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(scene.answer, "200 OK"));
    ck_assert_ptr_nonnull(strstr(scene.answer, "Content-Security-Policy: default-src 'none'"));
    ck_assert_ptr_nonnull(strstr(scene.answer, "text/html"));
    ck_assert_ptr_nonnull(strstr(scene.answer, "<!doctype html>"));
}
