/* SPDX-License-Identifier: MIT
 *
 * Values written as text: durations, sizes, shares, addresses. Pure. All return 0 or -errno and leave outputs alone on
 * failure: -EINVAL not of the form, -ERANGE of the form but too large to hold.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int config_parse_bool(const char *text, bool *out);            /* true, false */
int config_parse_count(const char *text, uint64_t *out);       /* decimal digits */
int config_parse_duration_ms(const char *text, uint64_t *out); /* 200ms, 1s, 5m, 1h; 0 */
int config_parse_size_bytes(const char *text, uint64_t *out);  /* 512B, 4KiB, 64MiB, 1GiB; 0 */
int config_parse_double(const char *text, double *out);        /* decimal, finite, nothing around it */

/* The largest unit that divides the value. Room for both: CONFIG_VALUE_TEXT. */
enum { CONFIG_VALUE_TEXT = 32 };
void config_format_duration_ms(uint64_t ms, char out[CONFIG_VALUE_TEXT]);
void config_format_size_bytes(uint64_t bytes, char out[CONFIG_VALUE_TEXT]);

enum { CONFIG_HOST_BYTES = 256, CONFIG_PORT_BYTES = 8 };
struct config_address {
    char host[CONFIG_HOST_BYTES]; /* without brackets; may be empty where the caller allows it */
    char port[CONFIG_PORT_BYTES]; /* "" when there is none */
};

/* HOST, HOST:PORT, [v6], [v6]:PORT, :PORT. problem: a static text that says what is wrong and how it is written. */
int config_parse_address(const char *text, struct config_address *out, const char **problem);

/* A loopback address, or a name that always means one. */
bool config_is_loopback(const char *host);

enum config_scheme { CONFIG_SCHEME_NONE, CONFIG_SCHEME_HTTP, CONFIG_SCHEME_HTTPS, CONFIG_SCHEME_UNIX };

/* An OTLP endpoint: address with or without scheme, port 4317 unless given; or unix:/path, which is then the host. */
int config_parse_endpoint(const char *text, enum config_scheme *scheme, struct config_address *out,
                          const char **problem);

/* The name of a request header for the token, in lower case. problem as above. */
int config_parse_header_name(const char *text, char **out, const char **problem);

/* Edits (insert, delete, replace, swap neighbours) between two keys; SIZE_MAX when one is too long to compare. */
size_t config_edit_distance(const char *a, const char *b);

#endif
