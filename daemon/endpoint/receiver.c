/* SPDX-License-Identifier: MIT */
#include "receiver.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/otlp.h"
#include "grpc_server.h"
#include "ingest.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

enum { READ_BYTES = 256 << 10, WRITE_BYTES = 64 << 10, MAX_UNWRITTEN_BYTES = 256 << 10 };

struct peer {
    uv_tcp_t tcp;
    struct receiver *receiver;
    struct peer *prev, *next;
    struct grpc_server *server;
    bool reading, closing;
};

struct receiver {
    uv_tcp_t listener;
    uv_loop_t *loop;
    struct store *store;
    struct peer *peers;
    size_t buffered;
    bool closing, listener_closed;
    struct receiver_stats stats;
    char input[READ_BYTES]; /* of all peers: what is read is parsed before the next read */
};

struct write {
    uv_write_t request;
    struct peer *peer;
    struct buf bytes;
};

/* ---- one call ---- */

static int pack_response(const struct ingest_result *result, struct buf *out)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse response =
        OPENTELEMETRY__PROTO__COLLECTOR__TRACE__V1__EXPORT_TRACE_SERVICE_RESPONSE__INIT;
    Opentelemetry__Proto__Collector__Trace__V1__ExportTracePartialSuccess partial =
        OPENTELEMETRY__PROTO__COLLECTOR__TRACE__V1__EXPORT_TRACE_PARTIAL_SUCCESS__INIT;
    if (result->rejected > 0) {
        partial.rejected_spans = (int64_t)result->rejected;
        partial.error_message = (char *)(uintptr_t)result->problem;
        response.partial_success = &partial;
    }
    size_t bytes = protobuf_c_message_get_packed_size(&response.base);
    int err = buf_reserve(out, bytes);
    if (!err)
        out->len += protobuf_c_message_pack(&response.base, out->data + out->len);
    return err;
}

static void on_call(void *user, const uint8_t *message, size_t bytes, struct grpc_server_answer *answer)
{
    struct receiver *receiver = user;
    struct ingest_result result;
    int err = ingest(receiver->store, (struct wire_bytes){message, bytes}, uv_now(receiver->loop), &result);
    receiver->stats.requests++;
    if (!err) {
        receiver->stats.rejected_spans += result.rejected;
        err = pack_response(&result, &answer->body);
    }
    if (err == -EBADMSG) {
        answer->code = GRPC_INVALID_ARGUMENT;
        answer->message = "the message is not an ExportTraceServiceRequest";
    } else if (err) {
        answer->code = GRPC_UNAVAILABLE;
        answer->message = "out of memory";
    }
    receiver->stats.refused_requests += err != 0;
}

/* ---- connections ---- */

static void maybe_free(struct receiver *receiver)
{
    if (receiver->listener_closed && !receiver->peers)
        free(receiver);
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    struct receiver *receiver = peer->receiver;
    *(peer->prev ? &peer->prev->next : &receiver->peers) = peer->next;
    if (peer->next)
        peer->next->prev = peer->prev;
    receiver->stats.connections--;
    grpc_server_free(peer->server);
    free(peer);
    maybe_free(receiver);
}

static void close_peer(struct peer *peer)
{
    if (peer->closing)
        return;
    peer->closing = true;
    uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
}

static void pump(struct peer *peer);

static void on_written(uv_write_t *request, int status)
{
    struct write *write = request->data;
    struct peer *peer = write->peer;
    buf_done(&write->bytes);
    free(write);
    if (status < 0)
        close_peer(peer);
    else if (!peer->closing)
        pump(peer);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct peer *peer = handle->data;
    (void)suggested;
    *out = uv_buf_init(peer->receiver->input, sizeof(peer->receiver->input));
}

static void on_read(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *input)
{
    struct peer *peer = stream->data;
    if (bytes == 0)
        return;
    if (bytes < 0) {
        close_peer(peer);
        return;
    }
    int err = grpc_server_receive(peer->server, (const uint8_t *)input->base, (size_t)bytes);
    pump(peer);
    if (err)
        close_peer(peer);
}

/* Answers are small and mostly fit into the socket at once; only the rest is queued. */
static int send_bytes(struct peer *peer, struct buf *bytes)
{
    uv_buf_t part = uv_buf_init((char *)bytes->data, (unsigned)bytes->len);
    int sent = peer->tcp.write_queue_size == 0 ? uv_try_write((uv_stream_t *)&peer->tcp, &part, 1) : 0;
    if (sent < 0 && sent != UV_EAGAIN)
        return sent;
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == bytes->len) {
        buf_done(bytes);
        return 0;
    }
    struct write *write = calloc(1, sizeof(*write));
    if (!write)
        return -ENOMEM;
    write->peer = peer;
    write->bytes = *bytes;
    write->request.data = write;
    *bytes = (struct buf){0};
    part = uv_buf_init((char *)write->bytes.data + done, (unsigned)(write->bytes.len - done));
    int err = uv_write(&write->request, (uv_stream_t *)&peer->tcp, &part, 1, on_written);
    if (err) {
        buf_done(&write->bytes);
        free(write);
    }
    return err;
}

/* Requests of a peer that does not read its answers wait in the socket. */
static int set_reading(struct peer *peer, bool wanted)
{
    if (wanted == peer->reading)
        return 0;
    peer->reading = wanted;
    return wanted ? uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read)
                  : uv_read_stop((uv_stream_t *)&peer->tcp);
}

static void pump(struct peer *peer)
{
    int err = 0;
    if (peer->closing)
        return;
    while (!err && peer->tcp.write_queue_size < MAX_UNWRITTEN_BYTES) {
        struct buf bytes = {0};
        err = grpc_server_send(peer->server, &bytes, WRITE_BYTES);
        bool nothing = bytes.len == 0;
        if (!err && !nothing)
            err = send_bytes(peer, &bytes);
        buf_done(&bytes);
        if (nothing)
            break;
    }
    if (!err)
        err = set_reading(peer, peer->tcp.write_queue_size < MAX_UNWRITTEN_BYTES);
    if (err || (grpc_server_done(peer->server) && peer->tcp.write_queue_size == 0))
        close_peer(peer);
}

static void on_refused_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Accepts the connection and closes it: in the listener's queue it would wake the loop again and again. */
static void refuse(struct receiver *receiver)
{
    uv_tcp_t *tcp = calloc(1, sizeof(*tcp));
    if (!tcp)
        return;
    uv_tcp_init(receiver->loop, tcp);
    uv_accept((uv_stream_t *)&receiver->listener, (uv_stream_t *)tcp);
    uv_close((uv_handle_t *)tcp, on_refused_closed);
    receiver->stats.refused_connections++;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct receiver *receiver = listener->data;
    if (status < 0)
        return;
    if (receiver->stats.connections >= RECEIVER_MAX_CONNECTIONS) {
        refuse(receiver);
        return;
    }
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return;
    struct grpc_server_settings settings = {
        .path = OTLP_EXPORT_PATH,
        .on_call_cb = on_call,
        .user = receiver,
        .buffered = &receiver->buffered,
        .max_buffered = RECEIVER_MAX_BUFFERED_BYTES,
    };
    if (grpc_server_new(&settings, &peer->server)) {
        free(peer);
        refuse(receiver);
        return;
    }
    peer->receiver = receiver;
    peer->next = receiver->peers;
    if (peer->next)
        peer->next->prev = peer;
    receiver->peers = peer;
    receiver->stats.connections++;
    uv_tcp_init(receiver->loop, &peer->tcp);
    peer->tcp.data = peer;
    if (uv_accept(listener, (uv_stream_t *)&peer->tcp) < 0) {
        close_peer(peer);
        return;
    }
    uv_tcp_nodelay(&peer->tcp, 1);
    pump(peer);
}

/* ---- life ---- */

static void on_listener_closed(uv_handle_t *handle)
{
    struct receiver *receiver = handle->data;
    receiver->listener_closed = true;
    maybe_free(receiver);
}

int receiver_start(uv_loop_t *loop, int listen_fd, struct store *store, struct receiver **out)
{
    struct receiver *receiver = calloc(1, sizeof(*receiver));
    if (!receiver) {
        close(listen_fd);
        return -ENOMEM;
    }
    receiver->loop = loop;
    receiver->store = store;
    int err = uv_tcp_init(loop, &receiver->listener);
    if (err) {
        close(listen_fd);
        free(receiver);
        return err;
    }
    receiver->listener.data = receiver;
    err = uv_tcp_open(&receiver->listener, listen_fd);
    if (err)
        close(listen_fd);
    else
        err = uv_listen((uv_stream_t *)&receiver->listener, RECEIVER_MAX_CONNECTIONS, on_connection);
    if (err) {
        receiver_close(receiver);
        return err;
    }
    *out = receiver;
    return 0;
}

void receiver_get_stats(const struct receiver *receiver, struct receiver_stats *out)
{
    *out = receiver->stats;
}

void receiver_close(struct receiver *receiver)
{
    if (!receiver || receiver->closing)
        return;
    receiver->closing = true;
    uv_close((uv_handle_t *)&receiver->listener, on_listener_closed);
    for (struct peer *peer = receiver->peers, *next; peer; peer = next) {
        next = peer->next;
        grpc_server_shutdown(peer->server);
        pump(peer);
        close_peer(peer);
    }
}
