/* SPDX-License-Identifier: MIT
 *
 * Text from strangers: UTF-8 taken apart, and JSON strings made of it.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { TEXT_REPLACEMENT = 0xfffd };

/* The next character of bytes > 0 bytes of text. -> how many bytes it takes; *out is the character, or
 * TEXT_REPLACEMENT for bytes that are not UTF-8 (as many at once as could have begun a character). */
size_t text_next(const uint8_t *text, size_t bytes, uint32_t *out);

/* True for what must not reach a terminal or a log as it is: C0, DEL, C1, and the bidirectional controls. */
int text_is_control(uint32_t character);

/* Appends a JSON string with its quotes; always valid UTF-8 and without control characters. -> 0 or -ENOMEM. */
int text_append_json(struct buf *out, const uint8_t *text, size_t bytes);

#endif
