/* SPDX-License-Identifier: MIT */
#include "admin_http.h"

#include <string.h>

#include "base/buf.h"

static const struct {
    const char *path;
    enum admin_page page;
} pages[] = {{"/metrics", ADMIN_METRICS}, {"/livez", ADMIN_LIVEZ}, {"/readyz", ADMIN_READYZ}};

static const struct {
    int status;
    const char *phrase;
    const char *header;
} statuses[] = {
    {200, "OK", ""},
    {400, "Bad Request", ""},
    {404, "Not Found", ""},
    {405, "Method Not Allowed", "Allow: GET, HEAD\r\n"},
    {431, "Request Header Fields Too Large", ""},
    {500, "Internal Server Error", ""},
    {503, "Service Unavailable", ""},
};

/* A word of the request line. */
struct word {
    const char *begin;
    size_t bytes;
};

static bool is_visible(char c)
{
    return c > ' ' && c < 0x7f;
}

static struct word take_word(const char **p, const char *end)
{
    const char *at = *p;
    while (at < end && is_visible(*at))
        at++;
    struct word word = {.begin = *p, .bytes = (size_t)(at - *p)};
    *p = at;
    return word;
}

static bool word_is(struct word word, const char *text)
{
    return word.bytes == strlen(text) && memcmp(word.begin, text, word.bytes) == 0;
}

static bool is_method(struct word word)
{
    for (size_t i = 0; i < word.bytes; i++) {
        if (word.begin[i] < 'A' || word.begin[i] > 'Z')
            return false;
    }
    return word.bytes > 0 && word.bytes <= 16;
}

static bool is_version(struct word word)
{
    return word_is(word, "HTTP/1.1") || word_is(word, "HTTP/1.0");
}

/* The request line has not come whole: only what is there of the method may be judged. -> 0 or 400 */
static int judge_partial_line(const char *data, const char *end)
{
    const char *p = data;
    struct word method = take_word(&p, end);
    bool whole = p < end;
    if (whole ? *p != ' ' || !is_method(method) : method.bytes > 0 && !is_method(method))
        return 400;
    return 0;
}

static bool head_complete(const char *data, size_t bytes)
{
    return memmem(data, bytes, "\r\n\r\n", 4) || memmem(data, bytes, "\n\n", 2);
}

int admin_http_parse(const char *data, size_t bytes, struct admin_request *out)
{
    const char *end = memchr(data, '\n', bytes);
    if (!end)
        return judge_partial_line(data, data + bytes);
    if (end > data && end[-1] == '\r')
        end--;
    const char *p = data;
    struct word method = take_word(&p, end);
    if (p == end || *p++ != ' ' || !is_method(method))
        return 400;
    struct word target = take_word(&p, end);
    if (p == end || *p++ != ' ' || target.bytes == 0)
        return 400;
    struct word version = take_word(&p, end);
    if (p != end || !is_version(version))
        return 400;
    if (!head_complete(data, bytes))
        return 0;
    bool head = word_is(method, "HEAD");
    out->head = head;
    if (!head && !word_is(method, "GET"))
        return 405;
    const char *query = memchr(target.begin, '?', target.bytes);
    if (query)
        target.bytes = (size_t)(query - target.begin);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (word_is(target, pages[i].path)) {
            out->page = pages[i].page;
            return 200;
        }
    }
    return 404;
}

int admin_http_response(int status, bool head, const struct buf *body, struct buf *out)
{
    size_t row = 0;
    while (statuses[row].status != status)
        row++;
    bool own = body->len == 0;
    size_t bytes = own ? strlen(statuses[row].phrase) + 1 : body->len;
    int err = buf_printf(out,
                         "HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                         "Content-Length: %zu\r\n%sCache-Control: no-store\r\nConnection: close\r\n\r\n",
                         status, statuses[row].phrase, bytes, statuses[row].header);
    if (err || head)
        return err;
    return own ? buf_printf(out, "%s\n", statuses[row].phrase) : buf_append(out, body->data, body->len);
}
