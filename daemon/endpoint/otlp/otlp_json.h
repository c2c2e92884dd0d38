/* SPDX-License-Identifier: MIT
 *
 * OTLP/JSON from OTLP's protobuf bytes: protobuf's JSON mapping, and OTLP's exceptions from it (trace and span ids in
 * lower-case hex, enums as numbers). The generated descriptors give names and types. Fields that are not in the bytes
 * are left out; of a field that is there several times, but not repeated, the last counts. Pure.
 */
#ifndef OTLP_JSON_H
#define OTLP_JSON_H

#include "base/buf.h"
#include "wire.h"

/* Appends a message, checked by wire_check, as a JSON object. -> 0 or -ENOMEM. */
int otlp_json_message(struct buf *out, const ProtobufCMessageDescriptor *message, struct wire_bytes bytes);

/* The bytes in base64, as a JSON string. The double of these bits, as the shortest JSON number that reads back as the
 * same; NaN and the infinities as strings. -> 0 or -ENOMEM. */
int otlp_json_base64(struct buf *out, struct wire_bytes bytes);
int otlp_json_double(struct buf *out, uint64_t bits);

#endif
