#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""OTLP/gRPC servers on gRPC's C-core, for tests: an implementation of the wire that is not ours.

Modes: `parse` decodes every request with Google's protobuf before it answers, as a collector does; `count` answers
without looking, for load. Both append each request to a file before they answer it (u32 length, u64 arrival in Unix
ns, bytes; little-endian), so that whatever was acknowledged is in the file, even if the server is killed right after.
otlp_scan and requests() read such files afterwards.
"""

import argparse
import concurrent.futures
import hashlib
import importlib
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
FRAME = struct.Struct("<IQ")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def generated():
    """Folder with Python code that protoc made from proto/; made when missing or out of date."""
    proto = os.path.join(ROOT, "proto")
    wanted = os.path.join(proto, "opentelemetry")
    out = os.path.join(ROOT, os.environ.get("BUILD_DIR", "build"), "gen-python")
    sources = sorted(os.path.join(base, name) for base, _, names in os.walk(wanted)
                     for name in names if name.endswith(".proto"))
    stamp = os.path.join(out, "stamp")
    newest = max((os.path.getmtime(source) for source in sources), default=0)
    if not os.path.exists(stamp) or os.path.getmtime(stamp) < newest:
        os.makedirs(out, exist_ok=True)
        subprocess.run(["protoc", f"--proto_path={proto}", f"--python_out={out}", *sources], check=True)
        with open(stamp, "w", encoding="utf-8"):
            pass
    return out


def message_module(name):
    """`trace_service` of the collector, `trace`, `resource` or `common` messages, decoded by Google's protobuf."""
    paths = {"trace_service": "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
             "trace": "opentelemetry.proto.trace.v1.trace_pb2"}
    folder = generated()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(paths[name])


def frames(path, offset=0):
    """(arrival in Unix ns, request bytes) of every whole request in a server's file, from an offset on."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            while len(head := file.read(FRAME.size)) == FRAME.size:
                length, arrival = FRAME.unpack(head)
                data = file.read(length)
                if len(data) < length:
                    return
                yield arrival, data
    except FileNotFoundError:
        return


def requests(path, offset=0):
    """(arrival in Unix ns, ExportTraceServiceRequest) of every request in a server's file, from an offset on."""
    request_type = message_module("trace_service").ExportTraceServiceRequest
    for arrival, data in frames(path, offset):
        yield arrival, request_type.FromString(data)


class OtlpServer:
    """Such a server as a process of a test's scene, and what it received."""

    def __init__(self, scene, mode, port, out, options):
        import harness
        self.scene = scene
        self.out = out or scene.path("received")
        if mode == "parse":
            generated()
        argv = ["/usr/bin/python3", os.path.abspath(__file__), "--mode", mode, "--port", port, "--out", self.out]
        for key, value in options.items():
            argv += ["--" + key.replace("_", "-"), value]
        self.process = scene.start("server", argv)

        def listening():
            harness.check(self.process.running(), f"server ended: {self.process.stderr()[-500:]}")
            return self.process.stdout().strip()
        self.port = int(harness.wait_for(listening, "server listening").split()[-1])

    def requests(self, offset=0):
        return requests(self.out, offset)

    def span_ids(self):
        """All span ids received, hex bytes, in order of arrival, with repetitions."""
        return self.spans()[1]

    def spans(self):
        """-> (trace ids, span ids, parent ids), hex bytes, one entry a span; the parent of a root is b"-"."""
        import harness
        result = subprocess.run([harness.helper("otlp_scan"), "spans", self.out], capture_output=True, check=False)
        harness.check_equal(result.returncode, 0, f"otlp_scan ({result.stderr.decode()})")
        fields = result.stdout.split()
        return fields[0::3], fields[1::3], fields[2::3]

    def sizes(self):
        """-> [(bytes, spans)] of every request, by a scanner that is neither ours nor Google's encoder."""
        import harness
        result = subprocess.run([harness.helper("otlp_scan"), "requests", self.out], capture_output=True, check=False)
        harness.check_equal(result.returncode, 0, f"otlp_scan ({result.stderr.decode()})")
        fields = [int(field) for field in result.stdout.split()]
        return list(zip(fields[0::2], fields[1::2]))

    def stop(self):
        self.process.terminate()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def credentials(options):
    """TLS with what the files hold at each handshake."""
    import grpc

    def configuration():
        authority = read(options.client_ca) if options.client_ca else None
        return grpc.ssl_server_certificate_configuration([(read(options.key), read(options.cert))], authority)
    return grpc.dynamic_ssl_server_credentials(configuration(), configuration, bool(options.client_ca))


def note_token(options, token, context):
    """Appends a token not seen before to --tokens-seen; refuses one that is no line of --tokens-known."""
    import grpc
    if token.encode() not in read(options.tokens_known).split(b"\n"):
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not known")
    with open(options.tokens_seen, "a+", encoding="utf-8") as file:
        file.seek(0)
        if token not in file.read().splitlines():
            file.write(token + "\n")


def field(number, data):
    """A protobuf field of bytes, fewer than 128."""
    return bytes((number << 3 | 2, len(data))) + data


def retry_info(code, delay_ms):
    """google.rpc.Status with a RetryInfo, for grpc-status-details-bin."""
    delay = bytes((1 << 3, delay_ms // 1000)) + bytes((2 << 3,)) + varint(delay_ms % 1000 * 1_000_000)
    details = field(1, b"type.googleapis.com/google.rpc.RetryInfo") + field(2, field(1, delay))
    return bytes((1 << 3, code)) + field(3, details)


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes((value,))


def partial_success(rejected):
    """An answer that takes all spans but so many; nothing for 0."""
    return field(1, b"\x08" + varint(rejected) + field(2, b"as the test wants")) if rejected else b""


def serve(options):
    import grpc

    out = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    lock = threading.Lock()
    failures = options.fail_count
    acknowledged = set()
    repeats = 0
    decode = message_module("trace_service").ExportTraceServiceRequest.FromString if options.mode == "parse" else None

    def export(request, context):
        nonlocal failures, repeats
        arrival = time.time_ns()
        if options.token_header:
            note_token(options, dict(context.invocation_metadata()).get(options.token_header, ""), context)
        with lock:
            refuse = failures > 0 or random.random() < options.fail_share
            failures -= failures > 0
            if options.fail_share:
                name = hashlib.sha1(request).digest()
                repeats += name in acknowledged
                if not refuse:
                    acknowledged.add(name)
        if refuse:
            if options.retry_info_ms:
                code = getattr(grpc.StatusCode, options.fail).value[0]
                context.set_trailing_metadata((("grpc-status-details-bin", retry_info(code, options.retry_info_ms)),))
            context.abort(getattr(grpc.StatusCode, options.fail), "as the test wants")
        if decode:
            try:
                decode(request)
            except Exception as error:  # pylint: disable=broad-except
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"does not decode: {error}")
        with lock:  # one writev is not atomic when it is cut short, so the lock spans the whole request
            head = FRAME.pack(len(request), arrival)
            done = os.writev(out, [head, request])
            if done != len(head) + len(request):
                os._exit(3)
        if options.delay_ms:
            time.sleep(options.delay_ms / 1000)
        return partial_success(options.reject)

    handler = grpc.unary_unary_rpc_method_handler(export, request_deserializer=None, response_serializer=None)
    service, method = METHOD[1:].split("/")
    arguments = [("grpc.so_reuseport", 0)]
    if options.max_message_bytes:
        arguments.append(("grpc.max_receive_message_length", options.max_message_bytes))
    if options.no_gzip:  # all but identity are off
        arguments.append(("grpc.compression_enabled_algorithms_bitset", 1))
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=options.workers), options=arguments)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    address = f"unix:{options.socket}" if options.socket else f"127.0.0.1:{options.port}"
    port = server.add_secure_port(address, credentials(options)) if options.cert else server.add_insecure_port(address)
    if port == 0:
        sys.exit(f"port {options.port} is taken")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    server.start()
    print(f"listening {port}", flush=True)
    stopped.wait()
    if options.fail_share:
        print(f"repeats {repeats}", flush=True)
    server.stop(grace=2).wait()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["parse", "count"], default="count")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--socket", help="path of a Unix socket instead of a port")
    parser.add_argument("--out", required=True)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--fail", default="UNAVAILABLE", help="status of the first --fail-count requests")
    parser.add_argument("--fail-count", type=int, default=0)
    parser.add_argument("--fail-share", type=float, default=0,
                        help="of all requests, by chance; at its end the server says how often it was sent what it had taken")
    parser.add_argument("--retry-info-ms", type=int, default=0, help="goes with each failure")
    parser.add_argument("--reject", type=int, default=0, help="spans of each request, as partial success says it")
    parser.add_argument("--no-gzip", default="")
    parser.add_argument("--delay-ms", type=int, default=0)
    parser.add_argument("--max-message-bytes", type=int, default=0, help="0: gRPC's default of 4 MiB")
    parser.add_argument("--cert", help="PEM; with it TLS, with --key; read again at each handshake")
    parser.add_argument("--key")
    parser.add_argument("--client-ca", help="PEM; with it clients have to have a certificate signed by it")
    parser.add_argument("--token-header", help="with it requests have to have a token")
    parser.add_argument("--tokens-known", help="file with those that are accepted, a line each; read at each request")
    parser.add_argument("--tokens-seen", help="file for those that came")
    return parser.parse_args()


if __name__ == "__main__":
    serve(arguments())
