/* SPDX-License-Identifier: MIT
 *
 * Values of query parameters as strangers write them: ids, whole numbers, durations. Each function returns whether the
 * text is such a value; when it is not, the output is untouched. Pure.
 */
#ifndef PARAMETER_H
#define PARAMETER_H

#include <stdbool.h>
#include <stdint.h>

#include "endpoint/otlp/wire.h"

/* 1 to 32 hexadecimal digits; a short id is padded with zeros in front. */
bool parameter_id(struct wire_bytes text, uint8_t id[16]);

/* Decimal digits, up to UINT64_MAX. */
bool parameter_number(struct wire_bytes text, uint64_t *out);

/* "1.2s", "100ms", "1h30m", "500us"; also µs, ns, d, and 0 without a unit. */
bool parameter_duration(struct wire_bytes text, uint64_t *out_ns);

#endif
