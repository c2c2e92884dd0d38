/* SPDX-License-Identifier: MIT */
#include "trace.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../node/checksum.h"

enum {
    RING_BYTES_SHORT = 64 * 1024,
    RING_BYTES_LONG = 4 * 1024 * 1024,
    SPAN_NAME_BYTES = 64,
    PORT_BYTES = 8,
    PATH_BYTES = 4096
};

/* ---- where to ---- */

struct place {
    char *host, *port, *path; /* to be freed by curl_free */
};

static bool place_of(const char *url, struct place *out)
{
    CURLU *parsed = curl_url();
    bool ok = parsed && curl_url_set(parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS) == CURLUE_OK &&
              curl_url_get(parsed, CURLUPART_HOST, &out->host, 0) == CURLUE_OK &&
              curl_url_get(parsed, CURLUPART_PORT, &out->port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              curl_url_get(parsed, CURLUPART_PATH, &out->path, 0) == CURLUE_OK;
    curl_url_cleanup(parsed);
    return ok;
}

static void place_free(struct place *place)
{
    curl_free(place->host);
    curl_free(place->port);
    curl_free(place->path);
}

#ifndef AISTRACE_DISABLED

static bool lists_port(json_t *ports, const char *port)
{
    json_t *item;
    size_t i;
    json_array_foreach(ports, i, item)
    {
        if (json_integer_value(item) == atoi(port))
            return true;
    }
    return false;
}

/* The file that deploy wrote: {"ports": [of the proxies, on the loopback], "ring_dir": "..."}. */
static json_t *load_playground(void)
{
    static const char beside[] = "/../playground/client.json";
    char path[PATH_BYTES];
    ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path) - sizeof(beside));
    if (bytes < 0)
        return NULL;
    path[bytes] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return NULL;
    memcpy(slash, beside, sizeof(beside));
    return json_load_file(path, 0, NULL);
}

static bool is_playground(json_t *playground, const char *endpoint)
{
    static const char *const loopback[] = {"127.0.0.1", "localhost", "[::1]"};
    struct place place = {0};
    bool here = false;

    if (place_of(endpoint, &place))
        for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++)
            here |=
                strcmp(place.host, loopback[i]) == 0 && lists_port(json_object_get(playground, "ports"), place.port);
    place_free(&place);
    return here;
}

static bool find_ring_dir(const char *endpoint, char out[PATH_BYTES])
{
    const char *dir = getenv("AIS_TRACING_RING_DIR");
    json_t *playground = NULL;
    if (!dir || !*dir) {
        playground = load_playground();
        dir = is_playground(playground, endpoint) ? json_string_value(json_object_get(playground, "ring_dir")) : NULL;
    }
    snprintf(out, PATH_BYTES, "%s", dir ? dir : "");
    json_decref(playground);
    return *out && access(out, W_OK | X_OK) == 0; /* the library would create it: nobody would read there */
}

void trace_start(const char *endpoint, unsigned threads)
{
    char ring_dir[PATH_BYTES];
    if (find_ring_dir(endpoint, ring_dir))
        aistrace_start(&(struct aistrace_options){
            .service_name = "ais",
            .version = AISTRACE_BUILD_VERSION,
            .ring_dir = ring_dir,
            .ring_bytes = threads == 1 ? RING_BYTES_SHORT : RING_BYTES_LONG,
            .thread_slots = threads,
        });
}

#else

void trace_start(const char *endpoint, unsigned threads)
{
    (void)endpoint, (void)threads;
}

#endif

void trace_stop(void)
{
    aistrace_stop();
}

/* ---- commands ---- */

void trace_command_start(struct trace_command *command, const char *name)
{
    struct aistrace_span_options options = {
        .kind = AISTRACE_KIND_CLIENT,
        .root = true,
        .buffer = command->body,
        .buffer_bytes = sizeof(command->body),
    };

    aistrace_span_start(&command->span, name, &options);
    command->before = aistrace_set_current(aistrace_span_context(&command->span));
}

void trace_command_names(struct trace_command *command, const char *bucket, const char *object)
{
    if (*bucket)
        aistrace_span_set_string(&command->span, "ais.bucket.name", bucket);
    if (*object)
        aistrace_span_set_string(&command->span, "ais.object.name", object);
}

void trace_command_fail(struct trace_command *command, const char *why)
{
    aistrace_span_set_status(&command->span, AISTRACE_STATUS_ERROR, why);
}

void trace_command_end(struct trace_command *command)
{
    aistrace_set_current(command->before);
    aistrace_span_end(&command->span);
}

/* ---- requests ---- */

static void append_header(struct curl_slist **headers, const char *name, const char *value)
{
    char line[AISTRACE_TRACE_STATE_BYTES + 32];
    snprintf(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *grown = curl_slist_append(*headers, line);
    if (grown)
        *headers = grown;
}

static void propagate(const struct aistrace_context *context, const char *url, struct curl_slist **headers)
{
    const char *query = strchr(url, '?');
    char value[AISTRACE_TRACE_STATE_BYTES + 1];
    if ((query && strstr(query, "&traceparent=")) || aistrace_traceparent_write(context, value) == 0)
        return;
    append_header(headers, "traceparent", value);
    if (aistrace_tracestate_write(context, value) > 0)
        append_header(headers, "tracestate", value);
}

void trace_request_start(struct trace_request *request, const char *method, const char *route, const char *url,
                         unsigned redirects, struct curl_slist **headers)
{
    struct aistrace_span *span = &request->span;
    struct aistrace_span_options options = {
        .kind = AISTRACE_KIND_CLIENT,
        .buffer = request->body,
        .buffer_bytes = sizeof(request->body),
    };
    struct place place = {0};
    char name[SPAN_NAME_BYTES];

    snprintf(name, sizeof(name), "%s %s", method, route);
    aistrace_span_start(span, name, &options);
    propagate(aistrace_span_context(span), url, headers);
    if (!aistrace_span_recording(span))
        return;
    aistrace_span_set_string(span, "http.request.method", method);
    aistrace_span_set_string(span, "url.template", route);
    aistrace_span_set_string(span, "url.scheme", "http");
    if (place_of(url, &place)) {
        aistrace_span_set_string(span, "url.path", place.path);
        aistrace_span_set_string(span, "server.address", place.host);
        aistrace_span_set_int(span, "server.port", atoi(place.port));
    }
    place_free(&place);
    aistrace_span_set_string(span, "network.protocol.version", "1.1");
    if (redirects > 0)
        aistrace_span_set_int(span, "http.request.resend_count", redirects);
}

void trace_request_mismatch(struct trace_request *request, const char *expected, const char *found)
{
    struct aistrace_attribute attributes[] = {
        aistrace_attr_string("ais.checksum.type", CHECKSUM_TYPE),
        aistrace_attr_string("ais.checksum.expected", expected),
        aistrace_attr_string("ais.checksum.found", found),
    };

    aistrace_span_add_event(&request->span, "checksum mismatch", attributes,
                            sizeof(attributes) / sizeof(attributes[0]));
}

void trace_request_end(struct trace_request *request, long status, uint64_t sent_bytes, uint64_t received_bytes,
                       const char *error)
{
    struct aistrace_span *span = &request->span;
    aistrace_span_set_int(span, "http.request.body.size", (int64_t)sent_bytes);
    if (status > 0) {
        aistrace_span_set_int(span, "http.response.status_code", status);
        aistrace_span_set_int(span, "http.response.body.size", (int64_t)received_bytes);
    }
    if (*error)
        aistrace_span_set_status(span, AISTRACE_STATUS_ERROR, error);
    aistrace_span_end(span);
}
