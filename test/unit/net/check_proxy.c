/* SPDX-License-Identifier: MIT
 *
 * Proxies of the environment: their addresses, who is reached without them, and what is said to them.
 */
#include <errno.h>
#include <string.h>

#include "net/proxy.h"
#include "support/test.h"

static const struct {
    const char *url;
    const char *host, *port, *credentials; /* host NULL: refused */
} urls[] = {
    {"http://proxy.example:8080", "proxy.example", "8080", NULL},
    {"HTTP://proxy.example:8080/", "proxy.example", "8080", NULL},
    {"proxy.example:8080", "proxy.example", "8080", NULL},
    {"http://proxy.example", "proxy.example", "3128", NULL},
    {"http://[2001:db8::1]:8080", "2001:db8::1", "8080", NULL},
    {"http://[2001:db8::1]", "2001:db8::1", "3128", NULL},
    {"http://user:secret@proxy.example:8080", "proxy.example", "8080", "Basic dXNlcjpzZWNyZXQ="},
    {"http://u:s%40%3a@proxy.example:8080", "proxy.example", "8080", "Basic dTpzQDo="},
    {"http://user@proxy.example:8080", "proxy.example", "8080", "Basic dXNlcg=="},
    {"http://a:b@c@proxy.example:8080", "proxy.example", "8080", "Basic YTpiQGM="},
    {"https://proxy.example:8080", NULL, NULL, NULL},
    {"socks5://proxy.example:1080", NULL, NULL, NULL},
    {"http://proxy.example:8080/path", NULL, NULL, NULL},
    {"http://proxy.example:0", NULL, NULL, NULL},
    {"http://proxy.example:65536", NULL, NULL, NULL},
    {"http://proxy.example:port", NULL, NULL, NULL},
    {"http://proxy.example:", NULL, NULL, NULL},
    {"http://:8080", NULL, NULL, NULL},
    {"http://[::1:8080", NULL, NULL, NULL},
    {"http://[::1]8080", NULL, NULL, NULL},
    {"http://u:%4@proxy.example", NULL, NULL, NULL},
    {"http://u:%zz@proxy.example", NULL, NULL, NULL},
    {"http://", NULL, NULL, NULL},
    {"http://a b:1", NULL, NULL, NULL},
};

static void check_text(const char *text, const char *expected)
{
    if (expected)
        ck_assert_str_eq(text, expected);
    else
        ck_assert_ptr_null(text);
}

LOOP_TEST(an_address_is_read_or_refused, COUNT(urls))
{
    struct proxy proxy;
    ck_assert_int_eq(proxy_parse(urls[_i].url, &proxy), urls[_i].host ? 0 : -EINVAL);
    check_text(proxy.host, urls[_i].host);
    check_text(proxy.port, urls[_i].port);
    check_text(proxy.credentials, urls[_i].credentials);
    proxy_done(&proxy);
}

static const struct {
    const char *list, *host;
    bool bypassed;
} bypasses[] = {
    {NULL, "collector.example", false},
    {"", "collector.example", false},
    {NULL, "localhost", true},
    {NULL, "LOCALHOST", true},
    {NULL, "127.0.0.1", true},
    {NULL, "127.9.9.9", true},
    {NULL, "::1", true},
    {NULL, "128.0.0.1", false},
    {"*", "collector.example", true},
    {"collector.example", "collector.example", true},
    {"Collector.Example", "collector.example", true},
    {"example", "collector.example", true},
    {".example", "collector.example", true},
    {".collector.example", "collector.example", true},
    {"lector.example", "collector.example", false},
    {"other.example, collector.example", "collector.example", true},
    {"other.example collector.example", "collector.example", true},
    {"a.collector.example", "collector.example", false},
    {"collector.example:4317", "collector.example", true},
    {"collector.example:4318", "collector.example", false},
    {"10.1.2.3", "10.1.2.3", true},
    {"10.1.2.3:4317", "10.1.2.3", true},
    {"10.1.2.3", "10.1.2.4", false},
    {"10.0.0.0/8", "10.1.2.3", true},
    {"10.0.0.0/9", "10.127.2.3", true},
    {"10.0.0.0/9", "10.128.2.3", false},
    {"10.1.2.2/31", "10.1.2.3", true},
    {"0.0.0.0/0", "10.1.2.3", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"0.0.0.0/33", "10.1.2.3", false},
    {"192.168.0.0/", "10.1.2.3", false},
    {"192.168.0.0/x", "10.1.2.3", false},
    {"10.0.0.0/8x", "10.1.2.3", false},
    {"10.0.0.0/8", "10.example", false},
    {"2001:db8::/32", "2001:db8:1::1", true},
    {"2001:db8::/32", "2001:db9::1", false},
    {"2001:db8::1", "2001:db8:0::1", true},
    {"2.3", "10.1.2.3", false},
    {",, ,", "collector.example", false},
    {".", "collector.example", false},
};

LOOP_TEST(who_is_reached_directly_is_told_from_the_list, COUNT(bypasses))
{
    ck_assert_msg(proxy_is_bypassed(bypasses[_i].list, bypasses[_i].host, "4317") == bypasses[_i].bypassed, "%s: %s",
                  bypasses[_i].list, bypasses[_i].host);
}

TEST(a_tunnel_is_asked_for)
{
    struct proxy proxy;
    struct buf out = {0};
    ck_assert_int_eq(proxy_parse("http://user:secret@proxy.example", &proxy), 0);
    ck_assert_int_eq(proxy_request(&proxy, "2001:db8::1", "4317", &out), 0);
    ck_assert_int_eq(buf_append(&out, "", 1), 0);
    ck_assert_str_eq((char *)out.data, "CONNECT [2001:db8::1]:4317 HTTP/1.1\r\nHost: [2001:db8::1]:4317\r\n"
                                       "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n");
    proxy_done(&proxy);
    buf_done(&out);
}

static const struct {
    const char *head;
    int result;
    const char *says;
} answers[] = {
    {"HTTP/1.1 200 Connection established\r\n\r\n", 1, NULL},
    {"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n", 1, NULL},
    {"HTTP/1.1 200\r\n\r\n", 1, NULL},
    {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", -EPROTO, "USER:PASSWORD"},
    {"HTTP/1.1 403 Forbidden\r\n\r\n", -EPROTO, "403"},
    {"HTTP/1.1 502 Bad Gateway\r\n\r\n", -EPROTO, "502"},
    {"HTTP/2 200\r\n\r\n", -EPROTO, "as an HTTP proxy does"},
    {"HTTP/1.1 2x0 OK\r\n\r\n", -EPROTO, "as an HTTP proxy does"},
    {"HTTP/1.1\r\n\r\n", -EPROTO, "as an HTTP proxy does"},
    {"SSH-2.0\r\n\r\n", -EPROTO, "as an HTTP proxy does"},
};

LOOP_TEST(an_answer_is_understood_at_its_last_byte, COUNT(answers))
{
    char why[PROXY_WHY_BYTES] = "";
    size_t bytes = strlen(answers[_i].head);
    for (size_t some = 1; some < bytes; some++)
        ck_assert_int_eq(proxy_answer(answers[_i].head, some, why), 0);
    ck_assert_int_eq(proxy_answer(answers[_i].head, bytes, why), answers[_i].result);
    if (answers[_i].says)
        ck_assert_msg(strstr(why, answers[_i].says), "%s", why);
}

TEST(an_answer_without_end_is_refused)
{
    static char head[PROXY_HEAD_MAX_BYTES];
    char why[PROXY_WHY_BYTES];
    memset(head, 'x', sizeof(head));
    ck_assert_int_eq(proxy_answer(head, sizeof(head) - 1, why), 0);
    ck_assert_int_eq(proxy_answer(head, sizeof(head), why), -EPROTO);
}
