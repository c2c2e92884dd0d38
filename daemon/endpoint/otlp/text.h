/* SPDX-License-Identifier: MIT
 *
 * Text from strangers, as JSON strings.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* True for what must not reach a terminal or a log as it is: C0, DEL, C1, and the bidirectional controls. */
int text_is_control(uint32_t character);

/* Appends a JSON string with its quotes; always valid UTF-8 and without control characters. -> 0 or -ENOMEM. */
int text_append_json(struct buf *out, const uint8_t *text, size_t bytes);

#endif
