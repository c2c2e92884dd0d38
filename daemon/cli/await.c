/* SPDX-License-Identifier: MIT */
#include "await.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"

enum { LOOK_MS = 50, SETTLE_MS = 600, ANSWER_BYTES_MAX = 64 << 10, TIMEOUT_MS = 1000 };

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static size_t on_data(char *data, size_t size, size_t count, void *user)
{
    struct buf *answer = user;
    size_t bytes = size * count;
    return answer->len + bytes <= ANSWER_BYTES_MAX && !buf_append(answer, data, bytes) ? bytes : 0;
}

/* Whether the endpoint says that it has no span; false when it does not answer. */
static bool has_none(CURL *http, struct buf *answer)
{
    answer->len = 0;
    if (curl_easy_perform(http) != CURLE_OK)
        return false;
    json_t *figures = json_loadb((const char *)answer->data, answer->len, 0, NULL);
    json_t *spans = json_object_get(figures, "spans");
    bool none = json_is_integer(spans) && json_integer_value(spans) == 0;
    json_decref(figures);
    return none;
}

static void look(CURL *http, struct buf *answer, uint64_t wait_ns)
{
    uint64_t waited_ns = 0;
    while (has_none(http, answer)) {
        if (waited_ns >= wait_ns)
            return;
        pause_ms(LOOK_MS);
        waited_ns += LOOK_MS * UINT64_C(1000000);
    }
    if (waited_ns > 0)
        pause_ms(SETTLE_MS);
}

void await_first_spans(const char *endpoint, uint64_t wait_ns)
{
    struct buf url = {0}, answer = {0};
    CURL *http = curl_easy_init();
    size_t bytes = strlen(endpoint);
    while (bytes > 0 && endpoint[bytes - 1] == '/')
        bytes--;
    if (http && !buf_printf(&url, "%.*s/v1/stats", (int)bytes, endpoint) && !buf_append(&url, "", 1)) {
        curl_easy_setopt(http, CURLOPT_URL, (const char *)url.data);
        curl_easy_setopt(http, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(http, CURLOPT_NOPROXY, "*");
        curl_easy_setopt(http, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(http, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
        curl_easy_setopt(http, CURLOPT_WRITEFUNCTION, on_data);
        curl_easy_setopt(http, CURLOPT_WRITEDATA, &answer);
        look(http, &answer, wait_ns);
    }
    curl_easy_cleanup(http);
    buf_done(&url);
    buf_done(&answer);
}
