/* SPDX-License-Identifier: MIT
 *
 * Checks a span record in private memory, completely: the encoder then reads it without any check.
 */
#ifndef RECORD_DECODE_H
#define RECORD_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "span_format.h"

/* A checked record; borrows the payload. */
struct span_view {
    struct aistrace_span_record fixed;
    const uint8_t *items;
    uint32_t items_bytes;
    uint16_t flags; /* enum aistrace_sampling */
};

/* -> 0; -EBADMSG with *problem a static text. Checked: every length, tag, type and nesting; ids not zero; kind and
 * status in range; no more attributes, events, links than the limits (repeated keys not counted twice). Texts may
 * be other than UTF-8: the encoder repairs them. */
int record_decode(const uint8_t *payload, size_t bytes, uint16_t type, uint16_t flags, struct span_view *out,
                  const char **problem);

/* The same for a segment's resource. */
int record_check_resource(const uint8_t *items, size_t bytes, const char **problem);

#endif
