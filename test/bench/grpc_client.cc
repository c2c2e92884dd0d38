// SPDX-License-Identifier: MIT
//
//   grpc_client PORT REQUESTS SPANS
//
// The peer that P6 speaks of: spans as protobuf C++ messages, sent by gRPC C++'s synchronous client, REQUESTS times
// SPANS of them, on core 0. Prints the process's CPU nanoseconds for it, without the start.
#include <grpcpp/grpcpp.h>
#include <sched.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h"

namespace collector = opentelemetry::proto::collector::trace::v1;
namespace otlp = opentelemetry::proto::trace::v1;

static uint64_t cpu_ns()
{
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

template <class Span> static void set_string(Span *span, const char *key, const char *value)
{
    auto *attribute = span->add_attributes();
    attribute->set_key(key);
    attribute->mutable_value()->set_string_value(value);
}

template <class Span> static void set_int(Span *span, const char *key, int64_t value)
{
    auto *attribute = span->add_attributes();
    attribute->set_key(key);
    attribute->mutable_value()->set_int_value(value);
}

static void add_span(otlp::ScopeSpans *scope, uint64_t number)
{
    uint64_t id[2] = {number * 0x9E3779B97F4A7C15u, number + 1};
    auto *span = scope->add_spans();
    span->set_trace_id(id, sizeof(id));
    span->set_span_id(id, 8);
    span->set_name("GET /v1/objects/{bucket}/{object}");
    span->set_kind(otlp::Span::SPAN_KIND_INTERNAL);
    span->set_start_time_unix_nano(1700000000000000000u + number);
    span->set_end_time_unix_nano(1700000000000012345u + number);
    set_string(span, "http.request.method", "GET");
    set_string(span, "url.scheme", "http");
    set_string(span, "ais.bucket.name", "bucket");
    set_string(span, "ais.object.name", "object/0001");
    set_int(span, "http.response.status_code", 200);
    set_int(span, "http.response.body.size", 1048576);
}

static void send(collector::TraceService::Stub *stub, uint64_t first, uint64_t spans)
{
    collector::ExportTraceServiceRequest request;
    collector::ExportTraceServiceResponse response;
    grpc::ClientContext context;
    auto *resource_spans = request.add_resource_spans();
    set_string(resource_spans->mutable_resource(), "service.name", "bench");
    auto *scope = resource_spans->add_scope_spans();
    scope->mutable_scope()->set_name("aistrace");
    for (uint64_t i = 0; i < spans; i++)
        add_span(scope, first + i);
    grpc::Status status = stub->Export(&context, request, &response);
    if (!status.ok()) {
        fprintf(stderr, "Export: %s\n", status.error_message().c_str());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 64;
    uint64_t requests = strtoull(argv[2], nullptr, 10), spans = strtoull(argv[3], nullptr, 10);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(0, sizeof(set), &set); // before gRPC starts its threads
    auto channel =
        grpc::CreateChannel(std::string("127.0.0.1:") + argv[1], grpc::InsecureChannelCredentials());
    auto stub = collector::TraceService::NewStub(channel);
    send(stub.get(), 0, spans);
    uint64_t begin = cpu_ns();
    for (uint64_t i = 1; i <= requests; i++)
        send(stub.get(), i * spans, spans);
    printf("%llu\n", static_cast<unsigned long long>(cpu_ns() - begin));
    return 0;
}
