/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../node/checksum.h"
#include "trace.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    STALLED_SECONDS = 60,
    EXPECT_TIMEOUT_MS = 10000,
    MAX_REDIRECTS = 5,
    ASK_BYTES = 1024 * 1024,
    MAX_TEXT_BYTES = 256 * 1024 * 1024,
};

struct transfer {
    const struct api_call *call;
    struct api_answer *answer;
    CURL *curl;
    struct trace_request trace;
    char location[API_URL_BYTES]; /* of a redirect, as it came: libcurl would take ".." for a path's */
    char header_error[2048];      /* Hdr-Error: what a HEAD's answer says in place of a body */
};

static bool header_value(const char *line, size_t bytes, const char *name, char *out, size_t capacity)
{
    size_t from = strlen(name);
    if (bytes <= from || line[from] != ':' || strncasecmp(line, name, from) != 0)
        return false;
    for (from++; from < bytes && line[from] == ' '; from++)
        ;
    for (; bytes > from && (line[bytes - 1] == '\r' || line[bytes - 1] == '\n'); bytes--)
        ;
    snprintf(out, capacity, "%.*s", (int)(bytes - from), line + from);
    return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    struct api_answer *answer = transfer->answer;
    size_t bytes = size * count;
    if (bytes > 5 && strncmp(line, "HTTP/", 5) == 0) { /* a redirect's headers are not the answer's */
        answer->checksum_type[0] = answer->checksum_value[0] = '\0';
        transfer->header_error[0] = transfer->location[0] = '\0';
    }
    header_value(line, bytes, "Location", transfer->location, sizeof(transfer->location));
    header_value(line, bytes, "Ais-Checksum-Type", answer->checksum_type, sizeof(answer->checksum_type));
    header_value(line, bytes, "Ais-Checksum-Value", answer->checksum_value, sizeof(answer->checksum_value));
    header_value(line, bytes, "Hdr-Error", transfer->header_error, sizeof(transfer->header_error));
    return bytes;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    struct api_answer *answer = transfer->answer;
    size_t bytes = size * count;
    long status = 0;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->call->receive && status < 300) {
        answer->checksum = checksum_update(answer->checksum, data, bytes);
        answer->body_bytes += bytes;
        return fwrite(data, 1, bytes, transfer->call->receive);
    }
    if (bytes > MAX_TEXT_BYTES - answer->text_bytes)
        return 0;
    char *grown = realloc(answer->text, answer->text_bytes + bytes + 1);
    if (!grown)
        return 0;
    memcpy(grown + answer->text_bytes, data, bytes);
    answer->text = grown;
    answer->text_bytes += bytes;
    grown[answer->text_bytes] = '\0';
    return bytes;
}

static size_t on_read(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    size_t bytes = fread(data, 1, size * count, transfer->call->send);
    if (bytes == 0 && ferror(transfer->call->send))
        return CURL_READFUNC_ABORT;
    transfer->answer->checksum = checksum_update(transfer->answer->checksum, data, bytes);
    transfer->answer->body_bytes += bytes;
    return bytes;
}

/* Before the body goes once more: what went already is taken back. */
static int rewind_body(struct transfer *transfer)
{
    struct api_answer *answer = transfer->answer;
    if (!transfer->call->send || answer->body_bytes == 0)
        return 0;
    if (fseeko(transfer->call->send, 0, SEEK_SET) != 0)
        return -errno;
    answer->checksum = 0;
    answer->body_bytes = 0;
    return 0;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
    return offset == 0 && origin == SEEK_SET && rewind_body(arg) == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static void set_options(struct transfer *transfer, const char *url, unsigned redirects, struct curl_slist **headers)
{
    const struct api_call *call = transfer->call;
    CURL *curl = transfer->curl;
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "ais/" AISTRACE_BUILD_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALLED_SECONDS);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    if (strcmp(call->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (call->send) {
        /* The proxy's redirect then comes before a byte of the body has gone; a target is asked first when it is much.
         */
        bool ask = redirects == 0 || call->send_bytes < 0 || call->send_bytes > ASK_BYTES;
        *headers = curl_slist_append(*headers, ask ? "Expect: 100-continue" : "Expect:");
        curl_easy_setopt(curl, CURLOPT_EXPECT_100_TIMEOUT_MS, (long)EXPECT_TIMEOUT_MS);
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->send_bytes);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, transfer);
    } else {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
        if (call->text) {
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->text);
            *headers = curl_slist_append(*headers, "Content-Type: application/json");
        }
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
}

static void explain_refusal(struct transfer *transfer)
{
    struct api_answer *answer = transfer->answer;
    const char *text = transfer->header_error[0] ? transfer->header_error : answer->text;
    json_t *json = text ? json_loads(text, 0, NULL) : NULL;
    const char *message = json_string_value(json_object_get(json, "message"));
    if (message)
        snprintf(answer->error, sizeof(answer->error), "%s (status %ld)", message, answer->status);
    else
        snprintf(answer->error, sizeof(answer->error), "status %ld", answer->status);
    json_decref(json);
}

/* What arrived, and what the target stored, must be what was sent. */
static void verify(struct transfer *transfer)
{
    struct api_answer *answer = transfer->answer;
    char checksum[CHECKSUM_TEXT_BYTES];
    checksum_text(answer->checksum, checksum);
    if (strcmp(answer->checksum_type, CHECKSUM_TYPE) == 0 && strcmp(answer->checksum_value, checksum) != 0) {
        trace_request_mismatch(&transfer->trace, answer->checksum_value, checksum);
        snprintf(answer->error, sizeof(answer->error), "checksum mismatch: the target says %s %s, the bytes say %s",
                 CHECKSUM_TYPE, answer->checksum_value, checksum);
    }
}

void api_endpoint(char out[API_ENDPOINT_BYTES])
{
    const char *endpoint = getenv("AIS_ENDPOINT");
    snprintf(out, API_ENDPOINT_BYTES, "%s", endpoint && *endpoint ? endpoint : "http://127.0.0.1:8080");
}

int api_init(struct api *api)
{
    api_endpoint(api->endpoint);
    api->curl = curl_easy_init();
    return api->curl ? 0 : -ENOMEM;
}

void api_done(struct api *api)
{
    curl_easy_cleanup(api->curl);
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 307 || status == 308;
}

static bool follow(struct transfer *transfer, char url[API_URL_BYTES], unsigned redirects)
{
    struct api_answer *answer = transfer->answer;
    if (redirects >= MAX_REDIRECTS)
        snprintf(answer->error, sizeof(answer->error), "more than %d redirects", MAX_REDIRECTS);
    else if (strncmp(transfer->location, "http://", 7) != 0)
        snprintf(answer->error, sizeof(answer->error), "a redirect to nowhere (status %ld)", answer->status);
    else
        memcpy(url, transfer->location, API_URL_BYTES);
    return !answer->error[0];
}

/* One HTTP request. -> whether the answer redirects, with the new address in place of url's. */
static bool request(struct transfer *transfer, char url[API_URL_BYTES], unsigned redirects)
{
    const struct api_call *call = transfer->call;
    struct api_answer *answer = transfer->answer;
    struct curl_slist *headers = NULL;
    char detail[CURL_ERROR_SIZE] = "";
    curl_off_t length = 0, received = 0;
    bool redirected = false;
    trace_request_start(&transfer->trace, call->method, call->route, url, redirects, &headers);
    set_options(transfer, url, redirects, &headers);
    curl_easy_setopt(transfer->curl, CURLOPT_ERRORBUFFER, detail);
    CURLcode code = curl_easy_perform(transfer->curl);
    answer->status = 0;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_getinfo(transfer->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl_easy_getinfo(transfer->curl, CURLINFO_SIZE_DOWNLOAD_T, &received);
    answer->length_bytes = length > 0 ? (uint64_t)length : 0;
    if (code == CURLE_OPERATION_TIMEDOUT || code == CURLE_COULDNT_CONNECT)
        snprintf(answer->error, sizeof(answer->error), "%s (is the cluster up? AIS_ENDPOINT names its proxy)", detail);
    else if (code != CURLE_OK)
        snprintf(answer->error, sizeof(answer->error), "%s", *detail ? detail : curl_easy_strerror(code));
    else if (is_redirect(answer->status))
        redirected = follow(transfer, url, redirects);
    else if (answer->status >= 300)
        explain_refusal(transfer);
    else if (call->send || call->receive)
        verify(transfer);
    trace_request_end(&transfer->trace, answer->status, call->send ? answer->body_bytes : 0, (uint64_t)received,
                      answer->error);
    curl_easy_setopt(transfer->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    return redirected;
}

int api_do(struct api *api, const struct api_call *call, struct api_answer *answer)
{
    struct transfer transfer = {.call = call, .answer = answer, .curl = api->curl};
    unsigned redirects = 0;
    *answer = (struct api_answer){0};
    char url[API_URL_BYTES];
    if (snprintf(url, sizeof(url), "%s%s", api->endpoint, call->path) >= (int)sizeof(url)) {
        snprintf(answer->error, sizeof(answer->error), "AIS_ENDPOINT is too long");
        return -1;
    }
    while (request(&transfer, url, redirects++)) {
        free(answer->text);
        answer->text = NULL;
        answer->text_bytes = 0;
        if (rewind_body(&transfer) < 0) {
            snprintf(answer->error, sizeof(answer->error), "redirected half-way, and the input cannot be read again");
            break;
        }
    }
    return answer->error[0] ? -1 : 0;
}
