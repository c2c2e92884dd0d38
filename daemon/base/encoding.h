/* SPDX-License-Identifier: MIT
 *
 * Bytes as ASCII text: hexadecimal, base64, percent escapes. Pure.
 */
#ifndef ENCODING_H
#define ENCODING_H

#include <stddef.h>
#include <stdint.h>

/* Two lower-case digits a byte. -> the end of what was written; no NUL */
char *hex_encode(char *out, const void *data, size_t bytes);

/* -> 0 ... 15, or -1: not a hexadecimal digit */
int hex_digit(char c);

/* Four characters for each three bytes begun, padded. -> the end of what was written; no NUL */
#define BASE64_BYTES(bytes) (((bytes) + 2) / 3 * 4)
char *base64_encode(char *out, const void *data, size_t bytes);

/* "%2f" becomes "/". A bad escape stays as it is, and is counted in *bad (may be NULL). out may be text.
 * -> the length of what was written, at most `bytes`; no NUL */
size_t percent_decode(char *out, const char *text, size_t bytes, size_t *bad);

#endif
