/* SPDX-License-Identifier: MIT */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "store.h"

enum {
    THREADS = 4, /* each keeps a ring once it has traced; all waiting is libmicrohttpd's, but for calls to targets */
    IDLE_SECONDS = 120,
    MAX_CONNECTIONS = 512,
    MAX_TEXT_BYTES = 64 * 1024,
};

const char *http_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

void http_peer_address(const struct request *request, char *out, size_t bytes)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    socklen_t size =
        address && address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (!address || getnameinfo(address, size, out, (socklen_t)bytes, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(out, bytes, "unknown");
}

void http_collect(struct request *request, const char *data, size_t bytes)
{
    if (bytes > MAX_TEXT_BYTES - request->text_bytes) {
        http_fail(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is over %d bytes", MAX_TEXT_BYTES);
        return;
    }
    char *grown = realloc(request->text, request->text_bytes + bytes + 1);
    if (!grown) {
        http_fail_errno(request, -ENOMEM, false);
        return;
    }
    memcpy(grown + request->text_bytes, data, bytes);
    request->text = grown;
    request->text_bytes += bytes;
    grown[request->text_bytes] = '\0';
}

void http_fail(struct request *request, unsigned status, const char *format, ...)
{
    if (request->failure)
        return;
    request->failure = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(request->failure_text, sizeof(request->failure_text), format, arguments);
    va_end(arguments);
}

void http_fail_errno(struct request *request, int err, bool of_bucket)
{
    const char *object = of_bucket ? "" : request->object;
    const char *slash = *object ? "/" : "";
    static const struct {
        int err;
        unsigned status;
    } table[] = {
        {-ENOENT, MHD_HTTP_NOT_FOUND},
        {-EEXIST, MHD_HTTP_CONFLICT},
        {-EINVAL, MHD_HTTP_BAD_REQUEST},
        {-ENAMETOOLONG, MHD_HTTP_BAD_REQUEST},
        {-ENOSPC, MHD_HTTP_INSUFFICIENT_STORAGE},
        {-EDQUOT, MHD_HTTP_INSUFFICIENT_STORAGE},
    };
    unsigned status = MHD_HTTP_INTERNAL_SERVER_ERROR;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].err == err)
            status = table[i].status;
    if (err == -ENOENT)
        http_fail(request, status, "ais://%s%s%s does not exist", request->bucket, slash, object);
    else if (err == -EEXIST)
        http_fail(request, status, "ais://%s%s%s already exists", request->bucket, slash, object);
    else
        http_fail(request, status, "ais://%s%s%s: %s", request->bucket, slash, object, strerror(-err));
}

enum MHD_Result http_reply(struct request *request, unsigned status, struct MHD_Response *response, uint64_t bytes)
{
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_SERVER, "aisnode");
    enum MHD_Result result = MHD_queue_response(request->connection, status, response);
    MHD_destroy_response(response);
    if (result == MHD_YES) {
        request->status = status;
        request->reply_bytes = strcmp(request->method, "HEAD") == 0 ? 0 : bytes;
    }
    return result;
}

enum MHD_Result http_reply_empty(struct request *request, unsigned status)
{
    return http_reply(request, status, MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT), 0);
}

static enum MHD_Result reply_json(struct request *request, unsigned status, char *text)
{
    size_t bytes = text ? strlen(text) : 0;
    struct MHD_Response *response = text ? MHD_create_response_from_buffer_with_free_callback(bytes, text, free) : NULL;
    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    return http_reply(request, status, response, bytes);
}

enum MHD_Result http_reply_json(struct request *request, char *text)
{
    return reply_json(request, MHD_HTTP_OK, text);
}

enum MHD_Result http_reply_failure(struct request *request)
{
    const char *caller = http_header(request, "Ais-Caller-Name");
    char address[64];
    http_peer_address(request, address, sizeof(address));
    json_t *json = json_pack("{s:i, s:s, s:s, s:s*, s:s, s:s*, s:s}", "status", (int)request->failure, "message",
                             request->failure_text, "method", request->method, "url_path", request->path, "remote_addr",
                             address, "caller", caller ? caller : "", "node", request->node->self.id);
    if (!json) /* the path or the caller is not UTF-8 */
        json = json_pack("{s:i, s:s, s:s}", "status", (int)request->failure, "message",
                         "the request is not valid UTF-8", "node", request->node->self.id);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(json);
    if (strcmp(request->method, "HEAD") == 0 && text) {
        struct MHD_Response *response = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
        if (response)
            MHD_add_response_header(response, "Hdr-Error", text);
        free(text);
        return http_reply(request, request->failure, response, 0);
    }
    return reply_json(request, request->failure, text);
}

/* ---- one request ---- */

static void parse_names(struct request *request, const char *names)
{
    const char *slash = strchr(names, '/');
    size_t bytes = slash ? (size_t)(slash - names) : strlen(names);
    int length = names_decode(names, bytes, request->bucket, sizeof(request->bucket));
    if (length < 0 || !names_bucket_valid(request->bucket)) {
        request->bucket[0] = '\0';
        http_fail(request, MHD_HTTP_BAD_REQUEST,
                  "invalid bucket name: 1 to %d letters, digits, dashes, underscores and dots, no dot first",
                  NAMES_BUCKET_BYTES - 1);
        return;
    }
    if (request->resource != RESOURCE_OBJECT)
        return;
    length = names_decode(slash + 1, strlen(slash + 1), request->object, sizeof(request->object));
    json_t *probe = length > 0 ? json_stringn(request->object, (size_t)length) : NULL; /* NULL when it is not UTF-8 */
    if (!probe) {
        request->object[0] = '\0';
        http_fail(request, MHD_HTTP_BAD_REQUEST, "invalid object name: 1 to %d bytes of percent-encoded UTF-8",
                  NAMES_OBJECT_BYTES - 1);
    }
    json_decref(probe);
}

static void parse_path(struct request *request)
{
    static const struct {
        const char *path;
        bool names_follow;
        bool object;
        enum resource resource;
        const char *route;
    } table[] = {
        {"/v1/health", false, false, RESOURCE_HEALTH, "/v1/health"},
        {"/v1/daemon", false, false, RESOURCE_DAEMON, "/v1/daemon"},
        {"/v1/cluster", false, false, RESOURCE_CLUSTER, "/v1/cluster"},
        {"/v1/buckets", false, false, RESOURCE_BUCKETS, "/v1/buckets"},
        {"/v1/buckets/", false, false, RESOURCE_BUCKETS, "/v1/buckets"},
        {"/v1/buckets/", true, false, RESOURCE_BUCKET, "/v1/buckets/{bucket}"},
        {"/v1/objects/", true, true, RESOURCE_OBJECT, "/v1/objects/{bucket}/{object}"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        size_t bytes = strlen(table[i].path);
        const char *rest = request->path + bytes;
        bool has_object = strchr(rest, '/') != NULL;
        if (strncmp(request->path, table[i].path, bytes) != 0 || (*rest != '\0') != table[i].names_follow ||
            (table[i].names_follow && has_object != table[i].object))
            continue;
        request->resource = table[i].resource;
        request->route = table[i].route;
        if (table[i].names_follow)
            parse_names(request, rest);
        return;
    }
    http_fail(request, MHD_HTTP_NOT_FOUND, "no such resource");
}

static void find_operation(struct request *request)
{
    bool other_method = false;
    for (const struct operation *op = request->node->operations; op->method; op++) {
        if (op->resource != request->resource)
            continue;
        if (strcmp(op->method, request->method) == 0) {
            request->operation = op;
            return;
        }
        other_method = true;
    }
    http_fail(request, other_method ? MHD_HTTP_METHOD_NOT_ALLOWED : MHD_HTTP_NOT_FOUND, "%s is not served here",
              request->method);
}

static void check_provider(struct request *request)
{
    const char *provider = MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "provider");
    if (provider && strcmp(provider, "ais") != 0 && strcmp(provider, "") != 0)
        http_fail(request, MHD_HTTP_NOT_IMPLEMENTED, "only the provider \"ais\" is here");
}

static struct request *request_new(struct node *node, struct MHD_Connection *connection, const char *path,
                                   const char *method, const char *version)
{
    struct request *request = calloc(1, sizeof(*request));
    if (!request)
        return NULL;
    request->node = node;
    request->connection = connection;
    request->method = method;
    request->version = version;
    request->path = strdup(path);
    if (!request->path) {
        free(request);
        return NULL;
    }
    clock_gettime(CLOCK_REALTIME, &request->received);
    parse_path(request);
    if (!request->failure)
        find_operation(request);
    if (!request->failure)
        check_provider(request);
    if (request->resource != RESOURCE_HEALTH)
        trace_request_start(request);
    if (!request->failure && request->operation->begin)
        request->operation->begin(request);
    return request;
}

static enum MHD_Result finish(struct request *request)
{
    if (!request->failure) {
        enum MHD_Result result = request->operation->finish(request);
        if (!request->failure)
            return result;
    }
    return http_reply_failure(request);
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *data, size_t *data_bytes, void **state)
{
    struct request *request = *state;
    if (!request) {
        const char *expect;
        *state = request = request_new(arg, connection, path, method, version);
        if (!request)
            return MHD_NO;
        expect = http_header(request, MHD_HTTP_HEADER_EXPECT);
        if (expect && strcasecmp(expect, "100-continue") == 0 && (request->failure || request->operation->early))
            return finish(request);
        return MHD_YES;
    }
    if (*data_bytes > 0) {
        request->body_bytes += *data_bytes;
        if (!request->failure && request->operation->body)
            request->operation->body(request, data, *data_bytes);
        *data_bytes = 0;
        return MHD_YES;
    }
    return finish(request);
}

static void completed(void *arg, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode how)
{
    struct request *request = *state;
    (void)arg, (void)connection;
    if (!request)
        return;
    *state = NULL;
    if (request->resource != RESOURCE_HEALTH)
        trace_request_end(request, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
    store_put_abort(request->put);
    free(request->text);
    free(request->path);
    free(request);
}

/* Paths stay as they were sent: an encoded slash is not a slash, and an encoded NUL must be seen. */
static size_t keep_encoded(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg, (void)connection;
    return strlen(text);
}

struct MHD_Daemon *http_start(struct node *node)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];
    snprintf(port, sizeof(port), "%u", node->self.port);
    if (getaddrinfo(node->self.host, port, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return NULL;
    }
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, node->self.port, NULL, NULL, handle, node, MHD_OPTION_SOCK_ADDR,
                         found->ai_addr, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY_BYTES, MHD_OPTION_NOTIFY_COMPLETED,
                         completed, NULL, MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, NULL, MHD_OPTION_END);
    int err = errno;
    freeaddrinfo(found);
    errno = err;
    return daemon;
}

void http_stop(struct MHD_Daemon *daemon)
{
    if (daemon)
        MHD_stop_daemon(daemon);
}
