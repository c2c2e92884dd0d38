/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "checksum.h"
#include "http.h"
#include "names.h"

enum { USER_AGENT_BYTES = 512, SPAN_NAME_BYTES = 64 };

void trace_start(const struct node *node)
{
    struct aistrace_options options = {
        .role = node->is_target ? "target" : "proxy",
        .version = AISTRACE_BUILD_VERSION,
        .daemon_id = node->self.id,
    };
    int err = aistrace_start(&options);

    if (err)
        fprintf(stderr, "%s: no tracing: %s\n", node->self.id, strerror(-err));
}

void trace_stop(void)
{
    aistrace_stop();
}

/* ---- server spans ---- */

/* The values of one name, as HTTP joins them. */
struct values {
    const char *name;
    const char *first;
    unsigned count;
    size_t bytes;
    char text[HTTP_MEMORY_BYTES]; /* all headers of a request fit into it */
};

static enum MHD_Result join(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct values *values = arg;
    size_t bytes = value ? strlen(value) : 0;
    (void)kind;
    if (strcasecmp(key, values->name) != 0 || bytes + 1 >= sizeof(values->text) - values->bytes)
        return MHD_YES;
    if (values->count++ == 0)
        values->first = value ? value : "";
    else
        values->text[values->bytes++] = ',';
    if (bytes > 0)
        memcpy(values->text + values->bytes, value, bytes);
    values->bytes += bytes;
    return MHD_YES;
}

static void get_values(const struct request *request, enum MHD_ValueKind kind, const char *name, struct values *out)
{
    out->name = name;
    out->count = 0;
    out->bytes = 0;
    MHD_get_connection_values(request->connection, kind, join, out);
}

/* traceparent must come once: of several nobody can tell which is right. tracestate may come in several headers, which
 * are one list. In a query it is percent-encoded. */
static bool parse_context(struct request *request, enum MHD_ValueKind kind, struct aistrace_context *out)
{
    struct values values;
    get_values(request, kind, "traceparent", &values);
    if (values.count != 1)
        return false;
    const char *traceparent = values.first;
    get_values(request, kind, "tracestate", &values);
    if (kind == MHD_GET_ARGUMENT_KIND) {
        int bytes = names_decode(values.text, values.bytes, values.text, sizeof(values.text));
        values.bytes = bytes > 0 ? (size_t)bytes : 0;
    }
    return aistrace_context_parse(out, traceparent, strlen(traceparent), values.text, values.bytes,
                                  request->trace.trace_state) == 0;
}

static bool parse_parent(struct request *request, struct aistrace_context *parent)
{
    return parse_context(request, MHD_HEADER_KIND, parent) ||
           (request->node->is_target && parse_context(request, MHD_GET_ARGUMENT_KIND, parent));
}

static void span_name(char out[SPAN_NAME_BYTES], const char *method, const char *route)
{
    snprintf(out, SPAN_NAME_BYTES, "%s%s%s", method, route ? " " : "", route ? route : "");
}

/* The method when it is one of HTTP's; anything else would let a client make up span names. */
static const char *known_method(const char *method)
{
    static const char *const known[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(method, known[i]) == 0)
            return known[i];
    return NULL;
}

static void set_method(struct aistrace_span *span, const char *method)
{
    const char *known = known_method(method);
    aistrace_span_set_string(span, "http.request.method", known ? known : "_OTHER");
    if (!known)
        aistrace_span_set_string(span, "http.request.method_original", method);
}

static void set_names(struct aistrace_span *span, const struct request *request)
{
    if (request->bucket[0])
        aistrace_span_set_string(span, "ais.bucket.name", request->bucket);
    if (request->object[0])
        aistrace_span_set_string(span, "ais.object.name", request->object);
}

void trace_request_start(struct request *request)
{
    struct aistrace_span *span = &request->trace.span;
    struct aistrace_context parent;
    struct aistrace_span_options options = {
        .kind = AISTRACE_KIND_SERVER,
        .root = true,
        .buffer = request->trace.body,
        .buffer_bytes = sizeof(request->trace.body),
    };
    const char *method = known_method(request->method);
    const char *agent;
    char name[SPAN_NAME_BYTES];
    char address[64];

    if (parse_parent(request, &parent)) {
        options.root = false;
        options.parent = &parent;
    }
    span_name(name, method ? method : "HTTP", request->route);
    aistrace_span_start(span, name, &options);
    if (!aistrace_span_recording(span))
        return;
    set_method(span, request->method);
    if (request->route)
        aistrace_span_set_string(span, "http.route", request->route);
    aistrace_span_set_string(span, "url.scheme", "http");
    aistrace_span_set_string(span, "url.path", request->path);
    aistrace_span_set_string(span, "server.address", request->node->self.host);
    aistrace_span_set_int(span, "server.port", request->node->self.port);
    http_peer_address(request, address, sizeof(address));
    aistrace_span_set_string(span, "network.peer.address", address);
    aistrace_span_set_string(span, "client.address", address);
    if (strncmp(request->version, "HTTP/", 5) == 0)
        aistrace_span_set_string(span, "network.protocol.version", request->version + 5);
    agent = http_header(request, MHD_HTTP_HEADER_USER_AGENT);
    if (agent)
        aistrace_span_set_text(span, "user_agent.original", agent, strnlen(agent, USER_AGENT_BYTES));
    set_names(span, request);
}

static const char cut_short[] = "the connection ended before the reply was out";

void trace_request_end(struct request *request, bool completed)
{
    struct aistrace_span *span = &request->trace.span;
    if (!completed)
        aistrace_span_set_status(&request->trace.transfer.span, AISTRACE_STATUS_ERROR, cut_short);
    trace_transfer_end(request);
    if (aistrace_span_recording(span)) {
        aistrace_span_set_int(span, "http.request.body.size", (int64_t)request->body_bytes);
        if (request->status) {
            aistrace_span_set_int(span, "http.response.status_code", request->status);
            aistrace_span_set_int(span, "http.response.body.size", (int64_t)request->reply_bytes);
        }
        if (request->status >= 500)
            aistrace_span_set_status(span, AISTRACE_STATUS_ERROR, request->failure_text);
        else if (!completed)
            aistrace_span_set_status(span, AISTRACE_STATUS_ERROR, cut_short);
    }
    aistrace_span_end(span);
}

void trace_redirect(struct request *request, const struct cluster_peer *target, char out[TRACE_QUERY_BYTES])
{
    struct aistrace_span *span = &request->trace.span;
    const struct aistrace_context *context = aistrace_span_context(span);
    struct aistrace_attribute to = aistrace_attr_string("ais.target.id", target->id);
    out[0] = '\0';
    aistrace_span_add_event(span, "redirected", &to, 1);
    char traceparent[AISTRACE_TRACEPARENT_BYTES];
    if (aistrace_traceparent_write(context, traceparent) == 0)
        return;
    char state[AISTRACE_TRACE_STATE_BYTES + 1], encoded[3 * AISTRACE_TRACE_STATE_BYTES + 1];
    if (aistrace_tracestate_write(context, state) > 0 && names_encode(state, false, encoded, sizeof(encoded)) > 0)
        snprintf(out, TRACE_QUERY_BYTES, "&traceparent=%s&tracestate=%s", traceparent, encoded);
    else
        snprintf(out, TRACE_QUERY_BYTES, "&traceparent=%s", traceparent);
}

/* ---- steps and events ---- */

void trace_step_start(struct trace_step *step, const struct request *request, const char *name)
{
    struct aistrace_span_options options = {.parent = aistrace_span_context(&request->trace.span)};
    aistrace_span_start(&step->span, name, &options);
}

void trace_step_end(struct trace_step *step, const struct request *request)
{
    if (request->failure >= 500)
        aistrace_span_set_status(&step->span, AISTRACE_STATUS_ERROR, request->failure_text);
    aistrace_span_end(&step->span);
}

void trace_transfer_start(struct request *request)
{
    trace_step_start(&request->trace.transfer, request, "object.transfer");
}

void trace_transfer_end(struct request *request)
{
    struct aistrace_span *span = &request->trace.transfer.span;
    if (aistrace_span_recording(span))
        aistrace_span_set_int(span, "ais.transfer.bytes", (int64_t)(request->body_bytes + request->reply_bytes));
    trace_step_end(&request->trace.transfer, request);
}

void trace_checksum_mismatch(struct request *request, const char *expected, const char *found)
{
    struct aistrace_attribute attributes[] = {
        aistrace_attr_string("ais.checksum.type", CHECKSUM_TYPE),
        aistrace_attr_string("ais.checksum.expected", expected),
        aistrace_attr_string("ais.checksum.found", found),
    };

    aistrace_span_add_event(&request->trace.span, "checksum mismatch", attributes,
                            sizeof(attributes) / sizeof(attributes[0]));
}

void trace_evicted(struct request *request)
{
    aistrace_span_add_event(&request->trace.span, "evicted", NULL, 0);
}

/* ---- client spans ---- */

static void append_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *grown = curl_slist_append(*headers, line);
    if (grown)
        *headers = grown;
}

void trace_call_start(struct trace_call *call, const struct request *request, const struct cluster_peer *peer,
                      const char *method, const char *path, const char *route, struct curl_slist **headers)
{
    struct aistrace_span *span = &call->span;
    const struct aistrace_context *context;
    struct aistrace_span_options options = {
        .kind = AISTRACE_KIND_CLIENT,
        .parent = aistrace_span_context(&request->trace.span),
        .buffer = call->body,
        .buffer_bytes = sizeof(call->body),
    };
    char name[SPAN_NAME_BYTES];
    char value[AISTRACE_TRACE_STATE_BYTES + 1];
    char line[sizeof(value) + 16];

    span_name(name, method, route);
    aistrace_span_start(span, name, &options);
    context = aistrace_span_context(span);
    if (aistrace_traceparent_write(context, value) > 0) {
        snprintf(line, sizeof(line), "traceparent: %s", value);
        append_header(headers, line);
        if (aistrace_tracestate_write(context, value) > 0) {
            snprintf(line, sizeof(line), "tracestate: %s", value);
            append_header(headers, line);
        }
    }
    if (!aistrace_span_recording(span))
        return;
    set_method(span, method);
    aistrace_span_set_string(span, "url.scheme", "http");
    aistrace_span_set_string(span, "url.path", path);
    aistrace_span_set_string(span, "server.address", peer->host);
    aistrace_span_set_int(span, "server.port", peer->port);
    aistrace_span_set_string(span, "network.protocol.version", "1.1");
    aistrace_span_set_string(span, "ais.target.id", peer->id);
    set_names(span, request);
}

void trace_call_end(struct trace_call *call, long status, const char *error)
{
    struct aistrace_span *span = &call->span;
    if (status > 0)
        aistrace_span_set_int(span, "http.response.status_code", status);
    if (status <= 0 || status >= 400)
        aistrace_span_set_status(span, AISTRACE_STATUS_ERROR, error);
    aistrace_span_end(span);
}
