#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The .proto files are good for Google's compiler and runtime too, and say what goes over the wire.
set -uo pipefail
cd "$(dirname "$0")/../../.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0
check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAIL $name"; fi
}

for file in $(find proto -name '*.proto' | sort); do
    check "protoc compiles $file" protoc --proto_path=proto --descriptor_set_out=/dev/null "${file#proto/}"
done
check "python classes are made" protoc --proto_path=proto --python_out="$out" \
    $(cd proto && find opentelemetry google/rpc -name '*.proto')

/usr/bin/python3 - "$out" <<'PYTHON'
import importlib, sys
out = sys.argv[1]
sys.path.insert(0, out)
import google
google.__path__.append(out + "/google")
def module(name):
    return importlib.import_module(name)
service = module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
trace = module("opentelemetry.proto.trace.v1.trace_pb2")
common = module("opentelemetry.proto.common.v1.common_pb2")
status = module("google.rpc.status_pb2")
details = module("google.rpc.error_details_pb2")
want = {
    service.ExportTraceServiceRequest: "resource_spans=1",
    service.ExportTraceServiceResponse: "partial_success=1",
    service.ExportTracePartialSuccess: "rejected_spans=1 error_message=2",
    trace.ResourceSpans: "resource=1 scope_spans=2 schema_url=3",
    trace.ScopeSpans: "scope=1 spans=2 schema_url=3",
    trace.Span: "trace_id=1 span_id=2 trace_state=3 parent_span_id=4 name=5 kind=6 start_time_unix_nano=7"
                " end_time_unix_nano=8 attributes=9 dropped_attributes_count=10 events=11 dropped_events_count=12"
                " links=13 dropped_links_count=14 status=15 flags=16",
    trace.Span.Event: "time_unix_nano=1 name=2 attributes=3 dropped_attributes_count=4",
    trace.Span.Link: "trace_id=1 span_id=2 trace_state=3 attributes=4 dropped_attributes_count=5 flags=6",
    trace.Status: "message=2 code=3",
    common.KeyValue: "key=1 value=2",
    common.AnyValue: "string_value=1 bool_value=2 int_value=3 double_value=4 array_value=5 kvlist_value=6 bytes_value=7",
    common.InstrumentationScope: "name=1 version=2 attributes=3 dropped_attributes_count=4",
    status.Status: "code=1 message=2 details=3",
    details.RetryInfo: "retry_delay=1",
}
bad = 0
for message, fields in want.items():
    got = " ".join(f"{field.name}={field.number}" for field in message.DESCRIPTOR.fields)
    if got != fields:
        bad += 1
        print(f"FAIL {message.DESCRIPTOR.full_name}: {got}, not {fields}")
method = service.DESCRIPTOR.services_by_name["TraceService"].methods_by_name["Export"].full_name
if method != "opentelemetry.proto.collector.trace.v1.TraceService.Export":
    bad += 1
    print(f"FAIL {method}")
info = details.RetryInfo()
info.retry_delay.FromMilliseconds(1500)
packed = status.Status(code=8)
packed.details.add().Pack(info)
if packed.details[0].type_url != "type.googleapis.com/google.rpc.RetryInfo":
    bad += 1
    print("FAIL RetryInfo in Any")
sys.exit(bad)
PYTHON
check "messages are as the wire contract has them" test $? -eq 0
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
