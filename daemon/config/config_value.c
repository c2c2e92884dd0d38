/* SPDX-License-Identifier: MIT */
#include "config_value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

int config_parse_bool(const char *text, bool *out)
{
    if (strcasecmp(text, "true") != 0 && strcasecmp(text, "false") != 0)
        return -EINVAL;
    *out = strcasecmp(text, "true") == 0;
    return 0;
}

/* Leading digits of text. */
static int parse_digits(const char *text, const char **rest, uint64_t *out)
{
    uint64_t value = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        unsigned digit = (unsigned)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return -ERANGE;
        value = value * 10 + digit;
    }
    if (p == text)
        return -EINVAL;
    *rest = p;
    *out = value;
    return 0;
}

int config_parse_count(const char *text, uint64_t *out)
{
    const char *rest;
    uint64_t value;
    int err = parse_digits(text, &rest, &value);
    if (err || *rest)
        return err ? err : -EINVAL;
    *out = value;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* Ascending. */
static const struct unit durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
static const struct unit sizes[] = {{"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
enum { UNITS = 4 };

static int parse_with_unit(const char *text, const struct unit units[UNITS], uint64_t *out)
{
    const char *rest;
    uint64_t value;
    int err = parse_digits(text, &rest, &value);
    if (err)
        return err;
    if (value == 0 && !*rest) {
        *out = 0;
        return 0;
    }
    for (int i = 0; i < UNITS; i++) {
        if (strcmp(rest, units[i].name) != 0)
            continue;
        if (value > UINT64_MAX / units[i].factor)
            return -ERANGE;
        *out = value * units[i].factor;
        return 0;
    }
    return -EINVAL;
}

int config_parse_duration_ms(const char *text, uint64_t *out)
{
    return parse_with_unit(text, durations, out);
}

int config_parse_size_bytes(const char *text, uint64_t *out)
{
    return parse_with_unit(text, sizes, out);
}

static void format_with_unit(uint64_t value, const struct unit units[UNITS], char out[CONFIG_VALUE_TEXT])
{
    int i = UNITS - 1;
    while (i > 0 && (value == 0 || value % units[i].factor != 0))
        i--;
    snprintf(out, CONFIG_VALUE_TEXT, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
}

void config_format_duration_ms(uint64_t ms, char out[CONFIG_VALUE_TEXT])
{
    format_with_unit(ms, durations, out);
}

void config_format_size_bytes(uint64_t bytes, char out[CONFIG_VALUE_TEXT])
{
    format_with_unit(bytes, sizes, out);
}

/* strtod alone would take "inf", hexadecimal and leading blanks. The program keeps the C locale. */
int config_parse_double(const char *text, double *out)
{
    if (!*text || text[strspn(text, "0123456789.eE+-")] != '\0')
        return -EINVAL;
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text)
        return -EINVAL;
    if (!isfinite(value))
        return -ERANGE;
    *out = value;
    return 0;
}

static bool is_port(const char *text)
{
    uint64_t port;
    return strlen(text) < CONFIG_PORT_BYTES && config_parse_count(text, &port) == 0 && port <= 65535;
}

static bool is_name(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr(".-_", text[i]))
            return false;
    }
    return true;
}

static bool is_ipv6(const char *text)
{
    struct in6_addr address;
    char plain[INET6_ADDRSTRLEN];
    size_t bytes = strcspn(text, "%"); /* a zone may follow */
    if (bytes >= sizeof(plain) || (text[bytes] == '%' && !is_name(text + bytes + 1, strlen(text + bytes + 1))))
        return false;
    memcpy(plain, text, bytes);
    plain[bytes] = '\0';
    return inet_pton(AF_INET6, plain, &address) == 1;
}

int config_parse_address(const char *text, struct config_address *out, const char **problem)
{
    struct config_address address = {0};
    bool bracketed = text[0] == '[';
    const char *host = bracketed ? text + 1 : text;
    const char *end = bracketed ? strchr(host, ']') : host + strcspn(host, ":");
    if (!end) {
        *problem = "the bracket is not closed: IPv6 is written [::1]:4317";
        return -EINVAL;
    }
    const char *port = bracketed ? end + 1 : end;
    size_t bytes = (size_t)(end - host);
    if (bytes >= sizeof(address.host)) {
        *problem = "the host name is too long; names have at most 255 bytes";
        return -EINVAL;
    }
    memcpy(address.host, host, bytes);
    if (*port != '\0' && *port != ':') {
        *problem = "after the bracket comes :PORT";
        return -EINVAL;
    }
    if (!bracketed && *port && strchr(port + 1, ':')) {
        *problem = "more than one colon: an IPv6 address is written in brackets, as in [::1]:4317";
        return -EINVAL;
    }
    if (*port && !is_port(port + 1)) {
        *problem = "the port is a number up to 65535";
        return -EINVAL;
    }
    if (bracketed ? !is_ipv6(address.host) : !is_name(address.host, bytes)) {
        *problem = bracketed ? "what is in the brackets is not an IPv6 address, as in [::1]:4317"
                             : "a host is a name or an address; it is written HOST:PORT";
        return -EINVAL;
    }
    if (*port)
        snprintf(address.port, sizeof(address.port), "%s", port + 1);
    *out = address;
    return 0;
}

bool config_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    size_t bytes = strlen(host);
    static const char suffix[] = ".localhost"; /* RFC 6761 */
    return strcasecmp(host, "localhost") == 0 ||
           (bytes > sizeof(suffix) - 1 && strcasecmp(host + bytes - (sizeof(suffix) - 1), suffix) == 0);
}

static const struct {
    const char *prefix;
    enum config_scheme scheme;
} schemes[] = {{"http://", CONFIG_SCHEME_HTTP}, {"https://", CONFIG_SCHEME_HTTPS}};

/* unix:/path, or unix:///path as gRPC writes it as well. */
static int parse_unix(const char *text, enum config_scheme *scheme, struct config_address *out, const char **problem)
{
    struct config_address address = {0};
    if (strncmp(text, "///", 3) == 0)
        text += 2;
    if (text[0] != '/' || text[1] == '/' || text[1] == '\0') {
        *problem = "the path of a socket begins at the root: unix:/run/collector.sock";
        return -EINVAL;
    }
    if (strlen(text) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        *problem = "the path of a socket has at most 107 bytes";
        return -EINVAL;
    }
    snprintf(address.host, sizeof(address.host), "%s", text);
    *scheme = CONFIG_SCHEME_UNIX;
    *out = address;
    return 0;
}

int config_parse_endpoint(const char *text, enum config_scheme *scheme, struct config_address *out,
                          const char **problem)
{
    enum config_scheme found = CONFIG_SCHEME_NONE;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && found == CONFIG_SCHEME_NONE; i++) {
        size_t bytes = strlen(schemes[i].prefix);
        if (strncasecmp(text, schemes[i].prefix, bytes) == 0) {
            found = schemes[i].scheme;
            text += bytes;
        }
    }
    if (found == CONFIG_SCHEME_NONE && strncasecmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, scheme, out, problem);
    if (strstr(text, "://")) {
        *problem = "the scheme is http:// or https://, or there is none";
        return -EINVAL;
    }
    if (strchr(text, '@')) {
        *problem = "user and password do not belong here; a token goes through exporter_auth";
        return -EINVAL;
    }
    char address[CONFIG_HOST_BYTES + CONFIG_PORT_BYTES + 4];
    size_t bytes = strcspn(text, "/");
    if (text[bytes] && (found == CONFIG_SCHEME_NONE || text[bytes + 1])) {
        *problem = "gRPC has no path; it is written HOST:PORT";
        return -EINVAL;
    }
    if (bytes >= sizeof(address)) {
        *problem = "the host name is too long; names have at most 255 bytes";
        return -EINVAL;
    }
    memcpy(address, text, bytes);
    address[bytes] = '\0';
    struct config_address parsed;
    int err = config_parse_address(address, &parsed, problem);
    if (err)
        return err;
    if (!*parsed.host) {
        *problem = "the host is missing; it is written HOST:PORT";
        return -EINVAL;
    }
    uint64_t port;
    if (*parsed.port && config_parse_count(parsed.port, &port) == 0 && port == 0) {
        *problem = "the port is a number from 1 to 65535";
        return -EINVAL;
    }
    if (!*parsed.port)
        snprintf(parsed.port, sizeof(parsed.port), "4317");
    *scheme = found;
    *out = parsed;
    return 0;
}

/* Headers that belong to HTTP/2 or to gRPC itself. */
static const char *const reserved_headers[] = {"te",         "content-type",      "user-agent",       "host",
                                               "connection", "transfer-encoding", "proxy-connection", "upgrade",
                                               "keep-alive", "content-length"};

int config_parse_header_name(const char *text, char **out, const char **problem)
{
    size_t bytes = strlen(text);
    if (bytes == 0 || bytes > 100 ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != bytes) {
        *problem = "a header name is made of letters, digits, '-', '_' and '.'";
        return -EINVAL;
    }
    bool reserved = strncasecmp(text, "grpc-", 5) == 0 || (bytes > 4 && strcasecmp(text + bytes - 4, "-bin") == 0);
    for (size_t i = 0; i < sizeof(reserved_headers) / sizeof(reserved_headers[0]); i++)
        reserved |= strcasecmp(text, reserved_headers[i]) == 0;
    if (reserved) {
        *problem = "this header belongs to HTTP or gRPC itself; name another, such as authorization";
        return -EINVAL;
    }
    char *name = strdup(text);
    if (!name)
        return -ENOMEM;
    for (char *p = name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    *out = name;
    return 0;
}

enum { EDIT_BYTES = 48 };

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

size_t config_edit_distance(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    if (rows > EDIT_BYTES || columns > EDIT_BYTES)
        return SIZE_MAX;
    size_t cost[EDIT_BYTES + 1][EDIT_BYTES + 1];
    for (size_t i = 0; i <= rows; i++) {
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            size_t differs = tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]);
            cost[i][j] = smallest(cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + differs);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && cost[i - 2][j - 2] + 1 < cost[i][j])
                cost[i][j] = cost[i - 2][j - 2] + 1;
        }
    }
    return cost[rows][columns];
}
