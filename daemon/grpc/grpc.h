/* SPDX-License-Identifier: MIT
 *
 * gRPC status codes, and what an exporter does about an answer. Pure. Source: gRPC's statuscodes and PROTOCOL-HTTP2,
 * the OTLP specification's failure handling.
 */
#ifndef GRPC_H
#define GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum grpc_code {
    GRPC_OK,
    GRPC_CANCELLED,
    GRPC_UNKNOWN,
    GRPC_INVALID_ARGUMENT,
    GRPC_DEADLINE_EXCEEDED,
    GRPC_NOT_FOUND,
    GRPC_ALREADY_EXISTS,
    GRPC_PERMISSION_DENIED,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_FAILED_PRECONDITION,
    GRPC_ABORTED,
    GRPC_OUT_OF_RANGE,
    GRPC_UNIMPLEMENTED,
    GRPC_INTERNAL,
    GRPC_UNAVAILABLE,
    GRPC_DATA_LOSS,
    GRPC_UNAUTHENTICATED,
    GRPC_CODES
};
const char *grpc_code_name(enum grpc_code code);

/* A call's end. Text and bytes are borrowed for the callback. */
struct grpc_result {
    enum grpc_code code;
    bool unprocessed;    /* the server surely did not process it: repeat at once, not counted as an attempt */
    const char *message; /* percent-decoded grpc-message, or a text of this side; never NULL */
    const uint8_t *body; /* OK: the response message */
    size_t body_bytes;
    const uint8_t *details; /* grpc-status-details-bin, base64-decoded: google.rpc.Status */
    size_t details_bytes;
};

enum grpc_verdict { GRPC_EXPORTED, GRPC_RETRY, GRPC_REFUSED };
struct grpc_decision {
    enum grpc_verdict verdict;
    uint64_t retry_after_ms; /* from RetryInfo; 0: none */
    uint64_t rejected;       /* partial success */
    char message[256];       /* for the log: the server's words, printable */
};
void grpc_decide(const struct grpc_result *result, struct grpc_decision *out);

/* A longer delay in a server's RetryInfo is cut to this. */
enum { GRPC_RETRY_AFTER_MAX_MS = 60 * 60 * 1000 };

/* The status of an answer without grpc-status. */
enum grpc_code grpc_code_from_http(int status);
enum grpc_code grpc_code_from_h2_error(uint32_t error, bool *unprocessed);

/* The prefix of a message: a flag, and the length (big-endian). */
enum { GRPC_PREFIX_BYTES = 5 };
void grpc_put_prefix(uint8_t out[GRPC_PREFIX_BYTES], bool gzipped, uint32_t bytes);
uint32_t grpc_prefix_length(const uint8_t prefix[GRPC_PREFIX_BYTES]);

/* The value of grpc-status. Not a known number: GRPC_UNKNOWN. */
enum grpc_code grpc_code_parse(const char *text, size_t bytes);

/* The value of a `-bin` header in place, padded or not; of several joined by commas the first. -> 0 and *decoded, or
 * -EINVAL, text then undefined. */
int grpc_base64_decode(uint8_t *text, size_t bytes, size_t *decoded);

/* The value of grpc-timeout: at most 8 digits and a unit. */
enum { GRPC_TIMEOUT_MAX = 12 };
void grpc_format_timeout(uint64_t timeout_ms, char out[GRPC_TIMEOUT_MAX]);

#endif
