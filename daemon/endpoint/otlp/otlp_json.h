/* SPDX-License-Identifier: MIT
 *
 * OTLP/JSON from OTLP's protobuf bytes: protobuf's JSON mapping, and OTLP's exceptions from it (trace and span ids in
 * lower-case hex, enums as numbers). The generated descriptors say how; what is on the wire is written, a field of
 * several values by its last one. Pure.
 */
#ifndef OTLP_JSON_H
#define OTLP_JSON_H

#include "base/buf.h"
#include "wire.h"

/* Appends a message, checked by wire_check, as a JSON object. -> 0 or -ENOMEM. */
int otlp_json_message(struct buf *out, const ProtobufCMessageDescriptor *message, struct wire_bytes bytes);

/* A JSON string of the bytes in base64; the shortest JSON number that reads back as the same double, or a string for
 * what is not a number. -> 0 or -ENOMEM. */
int otlp_json_base64(struct buf *out, struct wire_bytes bytes);
int otlp_json_double(struct buf *out, uint64_t bits);

#endif
