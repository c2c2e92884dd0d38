/* SPDX-License-Identifier: MIT */
#include "call.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http.h"

enum {
    CONNECT_TIMEOUT_MS = 2000,
    MAX_ANSWER_BYTES = 64 * 1024 * 1024,
    URL_BYTES = 512 + NAMES_OBJECT_ENCODED_BYTES,
};

static size_t collect(char *data, size_t size, size_t count, void *arg)
{
    struct call_answer *answer = arg;
    size_t bytes = size * count;
    if (bytes > MAX_ANSWER_BYTES - answer->bytes)
        return 0;
    char *grown = realloc(answer->body, answer->bytes + bytes + 1);
    if (!grown)
        return 0;
    memcpy(grown + answer->bytes, data, bytes);
    answer->body = grown;
    answer->bytes += bytes;
    grown[answer->bytes] = '\0';
    return bytes;
}

static size_t keep_properties(char *line, size_t size, size_t count, void *arg)
{
    static const char name[] = "Ais-Bucket-Props:";
    struct call_answer *answer = arg;
    size_t bytes = size * count;
    size_t from = sizeof(name) - 1;
    if (bytes >= from && strncasecmp(line, name, from) == 0) {
        for (; from < bytes && line[from] == ' '; from++)
            ;
        for (; bytes > from && (line[bytes - 1] == '\r' || line[bytes - 1] == '\n'); bytes--)
            ;
        snprintf(answer->properties, sizeof(answer->properties), "%.*s", (int)(bytes - from), line + from);
    }
    return size * count;
}

static void explain(struct call_answer *answer, const struct cluster_peer *peer, CURLcode code, const char *detail)
{
    json_t *json;
    const char *message;
    if (answer->status == 0) {
        snprintf(answer->error, sizeof(answer->error), "%s at %s:%u does not answer: %s", peer->id, peer->host,
                 peer->port, *detail ? detail : curl_easy_strerror(code));
    } else if (answer->status >= 400) {
        json = answer->body ? json_loadb(answer->body, answer->bytes, 0, NULL) : NULL;
        message = json_string_value(json_object_get(json, "message"));
        snprintf(answer->error, sizeof(answer->error), "%s: %.400s", peer->id,
                 message && strlen(message) <= 400 ? message : "failed");
        json_decref(json);
    }
}

void call_peer(const struct request *request, const struct cluster_peer *peer, const char *method, const char *path,
               const char *route, const char *text, long deadline_ms, struct call_answer *answer)
{
    struct curl_slist *headers = NULL;
    char detail[CURL_ERROR_SIZE] = "";
    CURLcode code = CURLE_OUT_OF_MEMORY;
    CURL *curl = curl_easy_init();
    *answer = (struct call_answer){0};
    struct trace_call trace;
    trace_call_start(&trace, request, peer, method, path, route, &headers);
    char url[URL_BYTES], caller[64];
    if (curl) {
        snprintf(url, sizeof(url), "http://%s:%u%s?provider=ais", peer->host, peer->port, path);
        snprintf(caller, sizeof(caller), "Ais-Caller-Name: %s", request->node->self.id);
        headers = curl_slist_append(headers, caller);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "aisnode");
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, deadline_ms);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
        curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, keep_properties);
        curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
        if (strcmp(method, "HEAD") == 0)
            curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        else
            curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
        if (text)
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
        code = curl_easy_perform(curl);
        if (code == CURLE_OK)
            curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    }
    explain(answer, peer, code, detail);
    trace_call_end(&trace, answer->status, answer->error);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}
