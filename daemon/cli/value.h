/* SPDX-License-Identifier: MIT
 *
 * OTLP/JSON attributes as text: key=value.
 */
#ifndef VALUE_H
#define VALUE_H

#include <jansson.h>
#include <stddef.h>

#include "base/buf.h"

/* Appends "key=value". Text values stand as they are, quoted when they hold a blank; arrays as [a, b], maps as
 * {k=v}; bytes as base64. A value wider than max columns is cut. -> 0 or -ENOMEM. */
int value_append_attribute(struct buf *out, const json_t *attribute, size_t max_columns);

#endif
