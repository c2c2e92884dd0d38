/* SPDX-License-Identifier: MIT */
#include "query.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "endpoint/jaeger/jaeger_api.h"
#include "endpoint/otlp/text.h"
#include "endpoint/traces/trace_lines.h"
#include "page.h"

enum { CHUNK_BYTES = 64 << 10, CONNECTION_MEMORY_BYTES = 32 << 10, MAX_PARAMETERS = 64 };

struct query {
    uv_poll_t poll;
    uv_timer_t timer;
    /* Runs when there is more to do at once: the loop would repeat a timer of 0 ms without looking at I/O. */
    uv_idle_t idle;
    unsigned open_handles;
    struct MHD_Daemon *http;
    struct store *store;
    const struct receiver *receiver;
};

/* ---- answers ---- */

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status, const char *type,
                             struct MHD_Response *response)
{
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result reply_bytes(struct MHD_Connection *connection, unsigned status, const char *type,
                                   struct buf *body)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = reply(connection, status, type, response);
    buf_done(body);
    return result;
}

static enum MHD_Result reply_error(struct MHD_Connection *connection, unsigned status, const char *message)
{
    struct buf body = {0};
    if (buf_printf(&body, "{\"status\":%u,\"message\":", status) ||
        text_append_json(&body, (const uint8_t *)message, strlen(message)) || buf_append(&body, "}\n", 2)) {
        buf_done(&body);
        return MHD_NO;
    }
    return reply_bytes(connection, status, "application/json", &body);
}

/* ---- answers that come in pieces ---- */

/* Of lines or of an answer; the other is NULL. */
struct stream {
    struct trace_lines *lines;
    struct jaeger_answer *answer;
    struct buf pending;
    size_t sent;
    bool complete;
};

static void free_stream(void *user)
{
    struct stream *stream = user;
    trace_lines_free(stream->lines);
    jaeger_answer_free(stream->answer);
    buf_done(&stream->pending);
    free(stream);
}

/* At most one piece a call. 0 bytes: nothing is found yet, and the loop handles other events before the next call. */
static ssize_t read_stream(void *user, uint64_t position, char *out, size_t max)
{
    struct stream *stream = user;
    (void)position;
    if (stream->sent == stream->pending.len && !stream->complete) {
        stream->sent = stream->pending.len = 0;
        int more = stream->lines ? trace_lines_next(stream->lines, &stream->pending, CHUNK_BYTES)
                                 : jaeger_answer_next(stream->answer, &stream->pending, CHUNK_BYTES);
        if (more < 0)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        stream->complete = more == 0;
    }
    size_t left = stream->pending.len - stream->sent, take = left < max ? left : max;
    if (take == 0)
        return stream->complete ? MHD_CONTENT_READER_END_OF_STREAM : 0;
    memcpy(out, stream->pending.data + stream->sent, take);
    stream->sent += take;
    return (ssize_t)take;
}

/* Takes ownership of the stream. */
static enum MHD_Result reply_stream(struct MHD_Connection *connection, unsigned status, const char *type,
                                    struct stream *stream)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, CHUNK_BYTES, read_stream, stream, free_stream);
    if (!response)
        free_stream(stream);
    return reply(connection, status, type, response);
}

/* ---- /v1/traces ---- */

struct parsing {
    struct trace_filter filter;
    const char *problem;
};

static enum MHD_Result parse_parameter(void *user, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct parsing *parsing = user;
    (void)kind;
    parsing->problem = trace_filter_set(&parsing->filter, key, value ? value : "");
    return parsing->problem ? MHD_NO : MHD_YES;
}

static enum MHD_Result get_traces(struct query *query, struct MHD_Connection *connection)
{
    struct parsing parsing = {0};
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, parse_parameter, &parsing);
    if (parsing.problem)
        return reply_error(connection, MHD_HTTP_BAD_REQUEST, parsing.problem);
    struct stream *stream = calloc(1, sizeof(*stream));
    if (!stream || trace_lines_new(query->store, &parsing.filter, &stream->lines)) {
        free(stream);
        return reply_error(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
    }
    return reply_stream(connection, MHD_HTTP_OK, "application/x-ndjson", stream);
}

/* ---- /api and /v1/summaries ---- */

struct gathering {
    struct trace_query_parameter parameters[MAX_PARAMETERS];
    size_t count;
};

static enum MHD_Result gather(void *user, enum MHD_ValueKind kind, const char *key, size_t key_bytes, const char *value,
                              size_t value_bytes)
{
    struct gathering *gathering = user;
    (void)kind;
    if (gathering->count == MAX_PARAMETERS)
        return MHD_NO;
    gathering->parameters[gathering->count++] = (struct trace_query_parameter){
        {(const uint8_t *)key, key_bytes}, {(const uint8_t *)value, value ? value_bytes : 0}};
    return MHD_YES;
}

static enum MHD_Result get_api(struct query *query, struct MHD_Connection *connection, const char *path)
{
    struct gathering gathering = {0};
    struct timespec now;
    struct stream *stream = calloc(1, sizeof(*stream));
    MHD_get_connection_values_n(connection, MHD_GET_ARGUMENT_KIND, gather, &gathering);
    clock_gettime(CLOCK_REALTIME, &now);
    if (!stream || jaeger_api_get(query->store, path, gathering.parameters, gathering.count,
                                  (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec, &stream->answer)) {
        free(stream);
        return reply_error(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
    }
    return reply_stream(connection, jaeger_answer_status(stream->answer), "application/json", stream);
}

/* ---- the other pages ---- */

static enum MHD_Result get_stats(struct query *query, struct MHD_Connection *connection)
{
    struct store_stats kept;
    struct receiver_stats received = {0};
    struct buf body = {0};
    store_get_stats(query->store, &kept);
    if (query->receiver)
        receiver_get_stats(query->receiver, &received);
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"spans", kept.spans},
        {"traces", kept.traces},
        {"bytes", kept.bytes},
        {"max_bytes", kept.max_bytes},
        {"received", kept.received},
        {"duplicates", kept.duplicates},
        {"evicted_spans", kept.evicted_spans},
        {"evicted_traces", kept.evicted_traces},
        {"rejected_spans", received.rejected_spans},
        {"requests", received.requests},
        {"refused_requests", received.refused_requests},
        {"connections", received.connections},
        {"refused_connections", received.refused_connections},
    };
    int err = 0;
    for (size_t i = 0; i < sizeof(figures) / sizeof(*figures) && !err; i++)
        err = buf_printf(&body, "%s\"%s\":%" PRIu64, i ? "," : "{", figures[i].name, figures[i].value);
    if (!err)
        err = buf_append(&body, "}\n", 2);
    if (err) {
        buf_done(&body);
        return MHD_NO;
    }
    return reply_bytes(connection, MHD_HTTP_OK, "application/json", &body);
}

static enum MHD_Result get_page(struct MHD_Connection *connection, const struct page_file *file)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(file->bytes, (void *)file->data, MHD_RESPMEM_PERSISTENT);
    if (response) {
        MHD_add_response_header(response, "Content-Security-Policy", PAGE_POLICY);
        MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
        MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    }
    return reply(connection, MHD_HTTP_OK, page_type(file), response);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *body, size_t *body_bytes, void **context)
{
    static const struct {
        const char *path;
        enum MHD_Result (*get)(struct query *query, struct MHD_Connection *connection);
    } routes[] = {{"/v1/traces", get_traces}, {"/v1/stats", get_stats}};
    static int seen;
    (void)version;
    (void)body;
    if (!*context) { /* headers only; answering here would close the connection */
        *context = &seen;
        return MHD_YES;
    }
    if (*body_bytes > 0) {
        *body_bytes = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return reply_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET is known here");
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        if (strcmp(url, routes[i].path) == 0)
            return routes[i].get(user, connection);
    }
    const struct page_file *file = page_find(url);
    if (file)
        return get_page(connection, file);
    if (jaeger_api_owns(url))
        return get_api(user, connection, url);
    return reply_error(connection, MHD_HTTP_NOT_FOUND, "not found; there are /, /api/traces, /v1/traces, /v1/stats");
}

/* ---- libmicrohttpd on the loop ---- */

static void on_timer(uv_timer_t *timer);
static void on_idle(uv_idle_t *idle);

static void run(struct query *query)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    MHD_run(query->http);
    bool waits = MHD_get_timeout(query->http, &wait_ms) == MHD_YES;
    if (waits && wait_ms == 0)
        uv_idle_start(&query->idle, on_idle);
    else
        uv_idle_stop(&query->idle);
    if (waits && wait_ms > 0)
        uv_timer_start(&query->timer, on_timer, wait_ms, 0);
    else
        uv_timer_stop(&query->timer);
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_idle(uv_idle_t *idle)
{
    run(idle->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

static void on_closed(uv_handle_t *handle)
{
    struct query *query = handle->data;
    if (--query->open_handles == 0)
        free(query);
}

int query_start(uv_loop_t *loop, int listen_fd, struct store *store, const struct receiver *receiver,
                struct query **out)
{
    struct query *query = calloc(1, sizeof(*query));
    if (!query) {
        close(listen_fd);
        return -ENOMEM;
    }
    query->store = store;
    query->receiver = receiver;
    query->http = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, query, MHD_OPTION_LISTEN_SOCKET, listen_fd,
                                   MHD_OPTION_CONNECTION_LIMIT, (unsigned)QUERY_MAX_CONNECTIONS,
                                   MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)QUERY_TIMEOUT_S,
                                   MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
    const union MHD_DaemonInfo *info = query->http ? MHD_get_daemon_info(query->http, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    int err = info ? uv_poll_init(loop, &query->poll, info->epoll_fd) : -ENOMEM;
    if (err) {
        if (query->http)
            MHD_stop_daemon(query->http); /* closes listen_fd */
        else
            close(listen_fd);
        free(query);
        return err;
    }
    uv_timer_init(loop, &query->timer);
    uv_idle_init(loop, &query->idle);
    query->poll.data = query->timer.data = query->idle.data = query;
    query->open_handles = 3;
    uv_poll_start(&query->poll, UV_READABLE, on_poll);
    run(query);
    *out = query;
    return 0;
}

void query_close(struct query *query)
{
    if (!query || uv_is_closing((uv_handle_t *)&query->poll))
        return;
    uv_poll_stop(&query->poll);
    MHD_stop_daemon(query->http);
    uv_close((uv_handle_t *)&query->poll, on_closed);
    uv_close((uv_handle_t *)&query->timer, on_closed);
    uv_close((uv_handle_t *)&query->idle, on_closed);
}
