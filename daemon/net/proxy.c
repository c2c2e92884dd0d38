/* SPDX-License-Identifier: MIT */
#include "proxy.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/encoding.h"
#include "base/secret.h"

static const char DEFAULT_PORT[] = "3128";

/* ---- the proxy's address ---- */

static int take_credentials(const char *text, size_t bytes, struct proxy *out)
{
    static const char scheme[] = "Basic ";
    size_t bad = 0;
    char *plain = secret_new(bytes + 1);
    out->credentials = secret_new(sizeof(scheme) + BASE64_BYTES(bytes));
    int err = plain && out->credentials ? 0 : -ENOMEM;
    if (!err) {
        plain[percent_decode(plain, text, bytes, &bad)] = '\0';
        *base64_encode(stpcpy(out->credentials, scheme), plain, strlen(plain)) = '\0';
    }
    secret_free(plain);
    return bad ? -EINVAL : err;
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long port = strtoul(text, NULL, 10);
    return digits > 0 && digits <= 5 && !text[digits] && port > 0 && port <= 65535;
}

static int take_address(const char *text, size_t bytes, struct proxy *out)
{
    bool bracket = *text == '[';
    const char *end = text + bytes;
    const char *host_end = memchr(text, bracket ? ']' : ':', bytes);
    if (bracket && !host_end)
        return -EINVAL;
    const char *rest = !host_end ? end : host_end + bracket;
    const char *host = text + bracket;
    size_t host_bytes = (size_t)((host_end ? host_end : end) - host);
    if (!host_bytes || (rest < end && *rest != ':'))
        return -EINVAL;
    out->host = strndup(host, host_bytes);
    out->port = rest < end ? strndup(rest + 1, (size_t)(end - rest - 1)) : strdup(DEFAULT_PORT);
    if (!out->host || !out->port)
        return -ENOMEM;
    return is_port(out->port) && !strpbrk(out->host, " \t\r\n/?#@") ? 0 : -EINVAL;
}

int proxy_parse(const char *url, struct proxy *out)
{
    *out = (struct proxy){0};
    if (strncasecmp(url, "http://", 7) == 0)
        url += 7;
    else if (strstr(url, "://"))
        return -EINVAL;
    size_t bytes = strcspn(url, "/");
    if (url[bytes] && url[bytes + 1])
        return -EINVAL;
    const char *at = memrchr(url, '@', bytes);
    int err = at ? take_credentials(url, (size_t)(at - url), out) : 0;
    const char *address = at ? at + 1 : url;
    if (!err)
        err = take_address(address, bytes - (size_t)(address - url), out);
    if (err)
        proxy_done(out);
    return err;
}

void proxy_done(struct proxy *proxy)
{
    free(proxy->host);
    free(proxy->port);
    secret_free(proxy->credentials);
    *proxy = (struct proxy){0};
}

/* ---- hosts that are reached directly ---- */

struct address {
    int family; /* AF_UNSPEC: a name */
    unsigned char bytes[sizeof(struct in6_addr)];
};

static struct address address_of(const char *text)
{
    struct address address = {.family = AF_INET};
    if (inet_pton(AF_INET, text, address.bytes) == 1)
        return address;
    address.family = inet_pton(AF_INET6, text, address.bytes) == 1 ? AF_INET6 : AF_UNSPEC;
    return address;
}

static bool same_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(a, b, whole) == 0 && (!rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

static bool is_in_range(const struct address *host, const char *range, const char *bits_text)
{
    struct address network = address_of(range);
    size_t digits = strspn(bits_text, "0123456789");
    unsigned long bits = strtoul(bits_text, NULL, 10);
    unsigned long most = network.family == AF_INET ? 32 : 128;
    return network.family != AF_UNSPEC && network.family == host->family && digits > 0 && !bits_text[digits] &&
           bits <= most && same_bits(network.bytes, host->bytes, (unsigned)bits);
}

static bool is_beneath(const char *host, const char *domain)
{
    size_t host_bytes = strlen(host), bytes = strlen(domain);
    if (*domain == '.') {
        domain++;
        bytes--;
    }
    if (!bytes || host_bytes < bytes || strcasecmp(host + host_bytes - bytes, domain) != 0)
        return false;
    return host_bytes == bytes || host[host_bytes - bytes - 1] == '.';
}

static bool entry_matches(char *entry, const char *host, const char *port)
{
    struct address address = address_of(host);
    char *slash = strchr(entry, '/');
    if (strcmp(entry, "*") == 0)
        return true;
    if (slash) {
        *slash = '\0';
        return is_in_range(&address, entry, slash + 1);
    }
    struct address wanted = address_of(entry);
    if (wanted.family != AF_UNSPEC)
        return is_in_range(&address, entry, wanted.family == AF_INET ? "32" : "128");
    char *colon = strrchr(entry, ':');
    if (colon && strcmp(colon + 1, port) != 0)
        return false;
    if (colon)
        *colon = '\0';
    return strcmp(entry, host) == 0 || (address.family == AF_UNSPEC && is_beneath(host, entry));
}

static bool is_this_host(const char *host)
{
    struct address address = address_of(host);
    return strcasecmp(host, "localhost") == 0 || is_in_range(&address, "127.0.0.0", "8") ||
           is_in_range(&address, "::1", "128");
}

bool proxy_is_bypassed(const char *list, const char *host, const char *port)
{
    bool found = is_this_host(host);
    char *copy = list && !found ? strdup(list) : NULL, *save = NULL;
    for (char *entry = copy ? strtok_r(copy, ", \t", &save) : NULL; entry && !found;
         entry = strtok_r(NULL, ", \t", &save))
        found = entry_matches(entry, host, port);
    free(copy);
    return found;
}

/* ---- the tunnel ---- */

int proxy_request(const struct proxy *proxy, const char *host, const char *port, struct buf *out)
{
    bool v6 = strchr(host, ':') != NULL;
    const char *open = v6 ? "[" : "", *shut = v6 ? "]" : "";
    int err = buf_printf(out, "CONNECT %s%s%s:%s HTTP/1.1\r\nHost: %s%s%s:%s\r\n", open, host, shut, port, open, host,
                         shut, port);
    if (!err && proxy->credentials)
        err = buf_printf(out, "Proxy-Authorization: %s\r\n", proxy->credentials);
    return err ? err : buf_printf(out, "\r\n");
}

/* "HTTP/1.x NNN reason" -> NNN, or 0 */
static int status_of(const char *head, size_t bytes)
{
    static const char version[] = "HTTP/1.";
    size_t at = sizeof(version) - 1 + 2; /* the minor version, a blank */
    if (bytes < at + 3 || memcmp(head, version, sizeof(version) - 1) != 0 || head[at - 1] != ' ')
        return 0;
    int status = 0;
    for (size_t i = at; i < at + 3; i++) {
        if (!isdigit((unsigned char)head[i]))
            return 0;
        status = status * 10 + (head[i] - '0');
    }
    return status;
}

int proxy_answer(const char *head, size_t bytes, char why[PROXY_WHY_BYTES])
{
    bool whole = bytes >= 4 && memcmp(head + bytes - 4, "\r\n\r\n", 4) == 0;
    if (!whole && bytes < PROXY_HEAD_MAX_BYTES)
        return 0;
    int status = whole ? status_of(head, bytes) : 0;
    if (status >= 200 && status <= 299)
        return 1;
    if (status == 407)
        snprintf(why, PROXY_WHY_BYTES,
                 "asks for a password (407): https_proxy has to be http://USER:PASSWORD@HOST:PORT");
    else if (status)
        snprintf(why, PROXY_WHY_BYTES,
                 "refuses the tunnel (HTTP status %d): allow CONNECT to that port, or name the endpoint in no_proxy",
                 status);
    else
        snprintf(why, PROXY_WHY_BYTES, "does not answer as an HTTP proxy does: check https_proxy");
    return -EPROTO;
}
