/* SPDX-License-Identifier: MIT
 *
 * UTF-8 as Unicode defines it: no overlong forms, no surrogates, nothing above U+10FFFF. To repair a text is to
 * put one U+FFFD in place of each maximal part of a bad sequence, as browsers and Python do.
 */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>
#include <stdint.h>

enum { UTF8_REPLACEMENT = 0xfffd };
#define UTF8_BAD UINT32_MAX

/* The first character of bytes > 0 bytes of text. -> how many bytes it takes; *character is UTF8_BAD for a bad part. */
size_t utf8_next(const uint8_t *text, size_t bytes, uint32_t *character);

/* Bytes of the repaired text: at most 3 x bytes. *bad (may be NULL): how many sequences were replaced. */
size_t utf8_repaired_bytes(const uint8_t *text, size_t bytes, size_t *bad);

/* Writes the repaired text, as many bytes as utf8_repaired_bytes says; returns the end of it. */
uint8_t *utf8_repair(uint8_t *out, const uint8_t *text, size_t bytes);

#endif
