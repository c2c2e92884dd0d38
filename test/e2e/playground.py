# SPDX-License-Identifier: MIT
"""A playground of its own for a test: other ports, another name, so that one of the user's goes on undisturbed."""

import json
import os
import random
import re
import subprocess

import harness
from harness import check_equal, wait_for

AIS = os.path.join(harness.BUILD, "bin", "ais")
DEPLOY = os.path.join("test", "playground", "deploy")
NODES_MAX = 16


def _ports():
    """A first port with 40 free ones from it: nodes, sidecars, endpoint."""
    import socket
    for _ in range(200):
        first = random.randrange(20000, 30000, 50)
        try:
            for port in range(first, first + 40):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise harness.Failure("no 40 free ports in a row")


class Playground:
    """deploy, use and remove. Use as `with Playground(scene) as playground:`."""

    def __init__(self, scene, targets=3, proxies=1, env=None, stdin=None, root=harness.ROOT):
        first = _ports()
        self.root = root
        self.scene = scene
        self.targets, self.proxies = targets, proxies
        self.http_port, self.metrics_port = first, first + NODES_MAX
        self.otlp_port, self.query_port = first + 2 * NODES_MAX, first + 2 * NODES_MAX + 1
        self.name = f"playground-test-{os.getpid()}-{first}"
        self.state = harness.elsewhere(os.path.join(root, "build", self.name))
        self.rings = harness.elsewhere(f"/dev/shm/aistrace-{self.name}-{os.getuid()}")
        self.stdin = f"{targets}\n{proxies}\n" if stdin is None else stdin
        self.url = f"http://127.0.0.1:{self.http_port}"
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AIS_", "OTEL_"))}
        self.env = {**clean, "PLAYGROUND_NAME": self.name, "AIS_ENDPOINT": self.url,
                    "PLAYGROUND_HTTP_PORT": str(self.http_port), "PLAYGROUND_METRICS_PORT": str(self.metrics_port),
                    "PLAYGROUND_OTLP_PORT": str(self.otlp_port), "PLAYGROUND_QUERY_PORT": str(self.query_port),
                    **({"PLAYGROUND_BIN": os.path.join(harness.BUILD, "bin")} if root == harness.ROOT else {}),
                    **(env or {})}

    def __enter__(self):
        self.deploy()
        return self

    def __exit__(self, *_):
        self.script("kill")
        self.script("clean")

    def script(self, name, stdin="", prefix=()):
        """-> a finished deploy, kill or clean; prefix: a command that becomes it"""
        return subprocess.run([*prefix, os.path.join(self.root, DEPLOY, name)], input=stdin, env=self.env, text=True,
                              capture_output=True, timeout=harness.DEADLINE_S, check=False)

    def deploy(self, stdin=None):
        result = self.script("deploy", self.stdin if stdin is None else stdin)
        if result.returncode != 0:
            self.__exit__()
        check_equal(result.returncode, 0, f"deploy ({result.stderr[-2000:]})")
        return result.stdout

    def pids(self):
        """{name: pid} of the pid files"""
        found = {}
        for file in os.listdir(self.state):
            if file.endswith(".pid"):
                with open(os.path.join(self.state, file), encoding="ascii") as text:
                    found[file[:-4]] = int(text.read().split()[0])
        return found

    def ais(self, *argv, expect=0, stdin=b"", traced=False):
        """-> stdout of `ais`, as text; with expect != 0 its stderr. traced: it has spans of its own"""
        env = {**self.env, "AIS_TRACING_RING_DIR": os.path.join(self.rings, "p1")} if traced else self.env
        result = subprocess.run([AIS, *argv], env=env, input=stdin, capture_output=True, timeout=harness.DEADLINE_S, check=False)
        check_equal(result.returncode, expect, f"ais {' '.join(argv)} ({result.stderr.decode()})")
        return (result.stderr if expect else result.stdout).decode()

    def curl(self, *argv, stdin=b""):
        """-> stdout of curl, as bytes; the last argument is a path at the proxy"""
        argv = [*argv[:-1], self.url + argv[-1]]
        result = subprocess.run(["curl", "-sS", "--noproxy", "*", *argv], input=stdin, env=self.env,
                                capture_output=True, timeout=harness.DEADLINE_S, check=False)
        check_equal(result.returncode, 0, f"curl {' '.join(argv)} ({result.stderr.decode()})")
        return result.stdout

    def spans(self):
        """All spans that the embedded endpoint has, flattened; through `aistrace traces --json`."""
        result = subprocess.run([harness.AISTRACE, "traces", "--json", "--limit", "0",
                                 "--endpoint", f"http://127.0.0.1:{self.query_port}"],
                                env=self.env, capture_output=True, timeout=harness.DEADLINE_S, check=False)
        check_equal(result.returncode, 0, f"aistrace traces ({result.stderr.decode()})")
        return [span for line in result.stdout.decode().splitlines() for span in flatten(json.loads(line))]

    def settled(self):
        """[metrics of each sidecar] when nothing is unread, in flight or spooled, else None"""
        found = [harness.Metrics(harness.http_get(f"http://127.0.0.1:{self.metrics_port + i}/metrics")[1])
                 for i in range(self.proxies + self.targets)]
        left = sum(metrics.value("aistrace_spans_" + name) for metrics in found
                   for name in ("unread", "in_flight", "spooled"))
        return found if left == 0 else None

    def trace_with(self, name, count=1, **attributes):
        """Waits for a server span of a proxy with this name and these attributes, and for count spans in its trace.
        -> the trace's spans"""
        def found():
            spans = self.spans()
            for span in spans:
                if (span.name == name and span.service.endswith("-proxy") and
                        all(span.attributes.get(key.replace("__", ".")) == value for key, value in attributes.items())):
                    trace = [other for other in spans if other.trace_id == span.trace_id]
                    if len(trace) >= count:
                        return trace
            return None
        return wait_for(found, f"trace of {count} spans with {name} {attributes}", interval_s=0.1)


class Span:  # pylint: disable=too-few-public-methods
    def __init__(self, resource, span):
        self.resource = _attributes(resource)
        self.service = self.resource.get("service.name", "")
        self.node = self.resource.get("daemonID")
        self.trace_id, self.span_id = span["traceId"], span["spanId"]
        self.parent = span.get("parentSpanId", "")
        self.name = span["name"]
        self.kind = span.get("kind")
        self.status = span.get("status", {}).get("code", 0)
        self.message = span.get("status", {}).get("message", "")
        self.start, self.end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
        self.attributes = _attributes(span)
        self.events = span.get("events", [])
        self.trace_state = span.get("traceState", "")


def _attributes(holder):
    out = {}
    for attribute in holder.get("attributes", []):
        (kind, value), = attribute["value"].items()
        out[attribute["key"]] = int(value) if kind == "intValue" else value
    return out


def flatten(data):
    """Spans of one OTLP JSON object."""
    return [Span(resource_spans.get("resource", {}), span) for resource_spans in data["resourceSpans"]
            for scope_spans in resource_spans["scopeSpans"] for span in scope_spans["spans"]]


def running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return not re.search(r"\) [ZX] ", file.read())
    except OSError:
        return False
