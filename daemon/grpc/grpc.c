/* SPDX-License-Identifier: MIT */
#include "grpc.h"

#include <string.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

static const char RETRY_INFO_TYPE[] = "/google.rpc.RetryInfo";

static const struct {
    const char *name;
    enum grpc_verdict verdict;
} CODES[GRPC_CODES] = {
    [GRPC_OK] = {"OK", GRPC_EXPORTED},
    [GRPC_CANCELLED] = {"CANCELLED", GRPC_RETRY},
    [GRPC_UNKNOWN] = {"UNKNOWN", GRPC_REFUSED},
    [GRPC_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", GRPC_REFUSED},
    [GRPC_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", GRPC_RETRY},
    [GRPC_NOT_FOUND] = {"NOT_FOUND", GRPC_REFUSED},
    [GRPC_ALREADY_EXISTS] = {"ALREADY_EXISTS", GRPC_REFUSED},
    [GRPC_PERMISSION_DENIED] = {"PERMISSION_DENIED", GRPC_REFUSED},
    [GRPC_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", GRPC_REFUSED}, /* GRPC_RETRY with RetryInfo */
    [GRPC_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", GRPC_REFUSED},
    [GRPC_ABORTED] = {"ABORTED", GRPC_RETRY},
    [GRPC_OUT_OF_RANGE] = {"OUT_OF_RANGE", GRPC_RETRY},
    [GRPC_UNIMPLEMENTED] = {"UNIMPLEMENTED", GRPC_REFUSED},
    [GRPC_INTERNAL] = {"INTERNAL", GRPC_REFUSED},
    [GRPC_UNAVAILABLE] = {"UNAVAILABLE", GRPC_RETRY},
    [GRPC_DATA_LOSS] = {"DATA_LOSS", GRPC_RETRY},
    [GRPC_UNAUTHENTICATED] = {"UNAUTHENTICATED", GRPC_REFUSED},
};

const char *grpc_code_name(enum grpc_code code)
{
    return (unsigned)code < GRPC_CODES ? CODES[code].name : "UNKNOWN";
}

enum grpc_code grpc_code_from_http(int status)
{
    static const struct {
        int status;
        enum grpc_code code;
    } table[] = {
        {400, GRPC_INTERNAL},      {401, GRPC_UNAUTHENTICATED}, {403, GRPC_PERMISSION_DENIED},
        {404, GRPC_UNIMPLEMENTED}, {429, GRPC_UNAVAILABLE},     {431, GRPC_INTERNAL},
        {502, GRPC_UNAVAILABLE},   {503, GRPC_UNAVAILABLE},     {504, GRPC_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].status == status)
            return table[i].code;
    return GRPC_UNKNOWN;
}

enum grpc_code grpc_code_from_h2_error(uint32_t error, bool *unprocessed)
{
    enum { REFUSED_STREAM = 0x7, CANCEL = 0x8, ENHANCE_YOUR_CALM = 0xb }; /* RFC 9113, 7 */
    *unprocessed = error == REFUSED_STREAM;
    switch (error) {
    case REFUSED_STREAM:
        return GRPC_UNAVAILABLE;
    case CANCEL:
        return GRPC_CANCELLED;
    case ENHANCE_YOUR_CALM:
        return GRPC_RESOURCE_EXHAUSTED;
    default:
        return GRPC_INTERNAL;
    }
}

static void set_message(struct grpc_decision *out, const char *text)
{
    size_t i = 0;
    for (; text[i] && i + 1 < sizeof(out->message); i++)
        out->message[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    out->message[i] = '\0';
}

static uint64_t duration_ms(const Google__Protobuf__Duration *duration)
{
    if (!duration || duration->seconds < 0 || duration->nanos < 0)
        return 0;
    if (duration->seconds >= GRPC_RETRY_AFTER_MAX_MS / 1000)
        return GRPC_RETRY_AFTER_MAX_MS;
    uint64_t nanos = duration->nanos < 1000000000 ? (uint64_t)duration->nanos : 999999999;
    return (uint64_t)duration->seconds * 1000 + (nanos + 999999) / 1000000;
}

/* -> true when the details hold a RetryInfo. */
static bool find_retry_info(const struct grpc_result *result, uint64_t *retry_after_ms)
{
    if (!result->details_bytes)
        return false;
    Google__Rpc__Status *status = google__rpc__status__unpack(NULL, result->details_bytes, result->details);
    if (!status)
        return false;
    bool found = false;
    for (size_t i = 0; i < status->n_details && !found; i++) {
        const Google__Protobuf__Any *any = status->details[i];
        const char *type = strrchr(any->type_url, '/');
        if (!type || strcmp(type, RETRY_INFO_TYPE) != 0)
            continue;
        Google__Rpc__RetryInfo *info = google__rpc__retry_info__unpack(NULL, any->value.len, any->value.data);
        if (!info)
            continue;
        *retry_after_ms = duration_ms(info->retry_delay);
        found = true;
        google__rpc__retry_info__free_unpacked(info, NULL);
    }
    google__rpc__status__free_unpacked(status, NULL);
    return found;
}

/* The server has taken the spans: an answer that cannot be read changes nothing about that. */
static void read_partial_success(const struct grpc_result *result, struct grpc_decision *out)
{
    if (!result->body_bytes)
        return;
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse *response =
        opentelemetry__proto__collector__trace__v1__export_trace_service_response__unpack(NULL, result->body_bytes,
                                                                                          result->body);
    if (!response) {
        set_message(out, "the response message cannot be read");
        return;
    }
    const Opentelemetry__Proto__Collector__Trace__V1__ExportTracePartialSuccess *partial = response->partial_success;
    if (partial) {
        out->rejected = partial->rejected_spans > 0 ? (uint64_t)partial->rejected_spans : 0;
        set_message(out, partial->error_message);
    }
    opentelemetry__proto__collector__trace__v1__export_trace_service_response__free_unpacked(response, NULL);
}

void grpc_decide(const struct grpc_result *result, struct grpc_decision *out)
{
    enum grpc_code code = (unsigned)result->code < GRPC_CODES ? result->code : GRPC_UNKNOWN;
    *out = (struct grpc_decision){.verdict = CODES[code].verdict};
    set_message(out, result->message);
    if (code == GRPC_OK) {
        read_partial_success(result, out);
        return;
    }
    bool has_retry_info = find_retry_info(result, &out->retry_after_ms);
    if (result->unprocessed || (code == GRPC_RESOURCE_EXHAUSTED && has_retry_info))
        out->verdict = GRPC_RETRY;
}
