/* SPDX-License-Identifier: MIT
 *
 * gRPC's parts of a message and of header fields: prefix, status, base64, timeout.
 */
#include "grpc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void grpc_put_prefix(uint8_t out[GRPC_PREFIX_BYTES], bool gzipped, uint32_t bytes)
{
    out[0] = gzipped;
    for (unsigned i = 1; i < GRPC_PREFIX_BYTES; i++)
        out[i] = (uint8_t)(bytes >> (8 * (GRPC_PREFIX_BYTES - 1 - i)));
}

uint32_t grpc_prefix_length(const uint8_t prefix[GRPC_PREFIX_BYTES])
{
    return (uint32_t)prefix[1] << 24 | (uint32_t)prefix[2] << 16 | (uint32_t)prefix[3] << 8 | prefix[4];
}

enum grpc_code grpc_code_parse(const char *text, size_t bytes)
{
    if (bytes == 0 || bytes > 2)
        return GRPC_UNKNOWN;
    unsigned code = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return GRPC_UNKNOWN;
        code = code * 10 + (unsigned)(text[i] - '0');
    }
    return code < GRPC_CODES ? (enum grpc_code)code : GRPC_UNKNOWN;
}

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

int grpc_base64_decode(uint8_t *text, size_t bytes, size_t *decoded)
{
    size_t digits = 0;
    while (digits < bytes && base64_digit(text[digits]) >= 0)
        digits++;
    size_t end = digits;
    while (end < bytes && text[end] == '=' && end - digits < 2)
        end++;
    if (end > digits && end % 4 != 0)
        return -EINVAL;
    if ((end < bytes && text[end] != ',') || digits % 4 == 1)
        return -EINVAL;

    size_t out = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < digits; i++) {
        bits = bits << 6 | (uint32_t)base64_digit(text[i]);
        if (i % 4 != 0)
            text[out++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    *decoded = out;
    return 0;
}

void grpc_format_timeout(uint64_t timeout_ms, char out[GRPC_TIMEOUT_MAX])
{
    enum { MAX_DIGITS = 99999999 };
    uint64_t seconds = timeout_ms / 1000;
    if (timeout_ms <= MAX_DIGITS)
        snprintf(out, GRPC_TIMEOUT_MAX, "%" PRIu64 "m", timeout_ms);
    else
        snprintf(out, GRPC_TIMEOUT_MAX, "%" PRIu64 "S", seconds <= MAX_DIGITS ? seconds : MAX_DIGITS);
}
