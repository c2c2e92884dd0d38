# SPDX-License-Identifier: MIT
"""What every end-to-end test needs: processes, ring directories, ports, metrics, waiting, and a small runner.

A test program defines functions named test_..., each with one argument, a Scene, and ends with harness.main().
It builds nothing: programs are taken from BUILD_DIR (default: build). It runs below test/tidy, which ends and removes
what it leaves, also when it is killed.

No deadline here is a promise of the product: each only ends a test that hangs, and passes as soon as what is waited for
has happened, however busy the machine is.
"""

import inspect
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD_DIR", "build"))
AISTRACED = os.path.join(BUILD, "bin", "aistraced")
AISTRACE = os.path.join(BUILD, "bin", "aistrace")
TAILS = 12  # so many processes' last words are shown of a test that failed
TEST_TIMEOUT_S = 900  # of one test function: a hang is a failure, not a stuck suite
DEADLINE_S = 120.0  # of one condition
ENDS_WITHIN_S = 15  # a program that is told to end; then it is killed
TIDY = os.path.join(ROOT, "test", "tidy")
PLACE = os.environ.get("AISTRACE_TEST_ROOT", "/dev/shm")  # where a test's files are


class Failure(Exception):
    """A promise was not kept."""


class TimedOut(Failure):
    pass


def helper(name):
    """Path of a program built from test/helpers."""
    return os.path.join(BUILD, "test", name)


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_equal(actual, expected, what):
    if actual != expected:
        raise Failure(f"{what}: {actual!r}, expected {expected!r}")


def elsewhere(path):
    """Notes a path outside the test's directory, to be removed at the end also of a test that is killed. -> path"""
    if PLACE != "/dev/shm":
        with open(os.path.join(PLACE, "elsewhere"), "a", encoding="utf-8") as file:
            file.write(path + "\n")
    return path


def wait_for(condition, what="condition", *, deadline_s=DEADLINE_S, interval_s=0.02):
    """Calls condition until it returns something true, and returns that."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimedOut(f"{what}: not within {deadline_s:g} s")
        time.sleep(interval_s)


def free_port():
    """A port nobody listens on. Below the range the kernel takes ports of outgoing connections from: otherwise a client
    that keeps trying a port without a listener can end up connected to itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        lowest = int(file.read().split()[0])
    while True:
        port = random.randrange(10_000, lowest) if lowest > 10_000 else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
            except OSError:
                continue


_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: \d+)?$")
_SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer.*|.*runtime error: .*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics(dict):
    """(name, ((label, value), ...)) -> number, from Prometheus text."""

    def __init__(self, text):
        super().__init__()
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            match = _SAMPLE.match(line)
            check(match, f"not a Prometheus sample: {line!r}")
            labels = tuple(sorted(_LABEL.findall(match.group(2) or "")))
            key = (match.group(1), labels)
            check(key not in self, f"metric given twice: {line!r}")
            self[key] = float(match.group(3))

    def value(self, name, **labels):
        """One sample; it must be there."""
        key = (name, tuple(sorted(labels.items())))
        check(key in self, f"no metric {name} {labels}")
        return self[key]

    def total(self, name):
        """Sum over all labels; 0 when there is none."""
        return sum(value for (n, _), value in self.items() if n == name)

    def family(self, name, label):
        """{label's value: sample} of one metric."""
        return {dict(labels)[label]: value for (n, labels), value in self.items() if n == name}


def http_get(url, timeout_s=DEADLINE_S):
    """-> (status, body text)"""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Process:
    """A child with its output in files. Only ever signalled by its own pid."""

    def __init__(self, name, argv, directory, env=None):
        self.name = name
        self.argv = argv
        self.out_path = os.path.join(directory, name + ".out")
        self.err_path = os.path.join(directory, name + ".err")
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                          env={**os.environ, **(env or {})})
        self.pid = self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def wait(self, deadline_s=DEADLINE_S):
        """-> exit status, negative for a signal"""
        try:
            return self.popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{self.name} (pid {self.pid}) still runs after {deadline_s:g} s") from None

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def terminate(self, deadline_s=DEADLINE_S):
        self.signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def stdout(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def stderr(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def tail(self, lines=15):
        text = (self.stdout() + self.stderr()).splitlines()
        return "\n".join(f"      {self.name}| {line}" for line in text[-lines:])


def sanitizers_complaint(process):
    """-> text, or None"""
    complaint = _SANITIZER.search(process.stderr())
    return f"{process.name}: {complaint.group(0)}" if complaint else None


class Sidecar(Process):
    """aistraced with a configuration file of its own. prefix: a command that becomes it; program: another build."""

    def __init__(self, name, directory, config, prefix=(), env=None, program=None):
        self.config = config
        self.metrics_listen = config["aistraced"]["metrics_listen"]
        path = os.path.join(directory, name + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file, indent=2)
        super().__init__(name, [*prefix, program or AISTRACED, "--config", path], directory, env)

    def metrics(self):
        status, text = http_get(f"http://{self.metrics_listen}/metrics")
        check_equal(status, 200, "/metrics")
        return Metrics(text)

    def try_metrics(self):
        try:
            return self.metrics()
        except OSError:
            if not self.running():
                raise Failure(f"{self.name} ended with {self.popen.returncode}") from None
            return None

    def settled(self):
        """Metrics when nothing is unread, in flight or in the spool, else None."""
        metrics = self.try_metrics()
        if metrics is None:
            return None
        left = sum(metrics.value("aistrace_spans_" + name) for name in ("in_flight", "unread", "spooled"))
        return metrics if left == 0 else None


def ring_for(spans, attributes=6):
    """-> bytes of a ring that holds so many spans of `aistrace gen`"""
    return max(64 << 10, 1 << (spans * (128 + 40 * attributes)).bit_length())


def unmount_below(directory):
    with open("/proc/self/mounts", encoding="utf-8") as file:
        points = [line.split()[1] for line in file]
    for point in reversed(points):
        if point.startswith(directory + "/"):
            subprocess.run(["umount", "-l", point], check=False)


class Scene:
    """One test's directory, processes and servers; everything goes at its end."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="e2e-", dir=PLACE)
        self.other_rings("rings")
        self.processes = []
        self.names = {}
        self.oracles = []

    def other_rings(self, name):
        """From now on another ring directory; so many attempts have a scene in common."""
        self.ring_dir = os.path.join(self.directory, name)  # whoever comes first creates it
        self.held_dir = os.path.join(self.directory, name + "-held")  # second links to segments, for an oracle
        os.mkdir(self.held_dir)

    def path(self, name):
        return os.path.join(self.directory, name)

    def _unique(self, name):
        self.names[name] = self.names.get(name, 0) + 1
        return name if self.names[name] == 1 else f"{name}-{self.names[name]}"

    def start(self, name, argv, env=None):
        process = Process(self._unique(name), [str(arg) for arg in argv], self.directory, env)
        self.processes.append(process)
        return process

    def config(self, port, tracing=None, aistraced=None):
        return {
            "tracing": {"enabled": True, "exporter_endpoint": f"http://127.0.0.1:{port}",
                        "sampler_probability": "1.0", **(tracing or {})},
            "aistraced": {"ring_dir": self.ring_dir, "metrics_listen": f"127.0.0.1:{free_port()}",
                          "flush_interval": "200ms", "retry": {"initial": "200ms", "max": "1s"},
                          **(aistraced or {})},
        }

    def sidecar(self, port, tracing=None, aistraced=None, config=None, up=True, **how):
        """Starts aistraced towards 127.0.0.1:port, and waits until it answers /livez."""
        sidecar = Sidecar(self._unique("aistraced"), self.directory,
                          config or self.config(port, tracing, aistraced), **how)
        self.processes.append(sidecar)
        if up:
            def alive():
                check(sidecar.running(), f"aistraced ended with {sidecar.popen.returncode} at start")
                try:
                    return http_get(f"http://{sidecar.metrics_listen}/livez")[0] == 200
                except OSError:
                    return False
            wait_for(alive, "aistraced up")
        return sidecar

    def server(self, mode="count", port=0, out=None, **options):
        from otlp_server import OtlpServer
        return OtlpServer(self, mode, port, out, options)

    def oracle(self):
        """An oracle.Oracle that watches the ring directory from now on."""
        from oracle import Oracle
        self.oracles.append(Oracle(self))
        return self.oracles[-1]

    def gen(self, log=True, ring_dir=None, env=None, holds_all=False, **options):
        """Starts `aistrace gen`; underscores in option names become hyphens. holds_all: with rings that hold all of
        count, so that no span is dropped however long the sidecar gets no processor."""
        argv = [AISTRACE, "gen", "--ring-dir", ring_dir or self.ring_dir]
        if holds_all:
            options["ring_size"] = ring_for(options["count"], options.get("attributes", 6))  # its threads may share one
        for key, value in options.items():
            argv += ["--" + key.replace("_", "-"), value]
        name = self._unique("gen")
        log_path = self.path(name + ".log")
        if log:
            argv += ["--log", log_path]
        process = Process(name, [str(arg) for arg in argv], self.directory, env)
        process.log_path = log_path
        self.processes.append(process)
        return process

    def segments(self):
        try:
            return sorted(name for name in os.listdir(self.ring_dir) if name.endswith(".ring"))
        except FileNotFoundError:
            return []

    def end_well(self):
        """After a test that passed: sidecars still running end by TERM, and no sanitizer has complained."""
        for process in self.processes:
            if isinstance(process, Sidecar) and process.running():
                check(process.terminate() in (0, 69), f"{process.name} ended with {process.popen.returncode}")
        for process in self.processes:
            complaint = sanitizers_complaint(process)
            check(not complaint, complaint)

    def done(self):
        for process in reversed(self.processes):
            if process.running():
                process.signal(signal.SIGCONT)
                process.kill()
        for oracle in self.oracles:
            oracle.close()
        unmount_below(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)


def gen_result(process):
    """Waits for a generator's clean end. -> its JSON"""
    check_equal(process.wait(), 0, f"exit of {process.name}")
    return json.loads(process.stdout())


LOG_LINE_BYTES = 69  # of `aistrace gen --log`; the log of a killed generator has gaps of NUL bytes


NO_SPAN = b"0" * 16  # the id of a span that is not recorded: tracing is off, or there is no segment


def gen_log_lines(process):
    """The whole lines of a generator's log, each an attempt."""
    with open(process.log_path, "rb") as file:
        data = file.read()
    for at in range(0, len(data), LOG_LINE_BYTES):
        line = data[at:at + LOG_LINE_BYTES]
        if line.endswith(b"\n"):
            yield line
        else:
            check(process.popen.returncode == -signal.SIGKILL, f"a torn line in {process.name}'s log")


def gen_log(*processes):
    """What generators say they attempted: {span_id: (trace_id, parent or b"", sampled)}, ids as hex bytes."""
    spans = {}
    count = 0
    for process in processes:
        for line in gen_log_lines(process):
            trace_id, span_id, parent, sampled = line.split()
            if span_id != NO_SPAN:
                spans[span_id] = (trace_id, b"" if parent == NO_SPAN else parent, sampled == b"1")
                count += 1
    check_equal(len(spans), count, "distinct span ids in the generators' logs")
    return spans


class Skip(Exception):
    """The machine cannot do what the test needs; the reason is printed, and test/run prints it again."""


def _alarm(_number, _frame):
    raise TimedOut(f"test still ran after {TEST_TIMEOUT_S} s")


def run_test(name, function, timeout_s=TEST_TIMEOUT_S):
    """Runs function(scene), prints how it went. -> "passed", "failed" or "skipped"."""
    scene = Scene()
    started = time.monotonic()
    problem = None
    signal.signal(signal.SIGALRM, _alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are taken along
    signal.alarm(timeout_s)
    try:
        function(scene)
        scene.end_well()
    except Skip as reason:
        print(f"SKIP {name}: {reason}", flush=True)
        return "skipped"
    except Exception as error:  # pylint: disable=broad-except
        problem = error
        signal.alarm(0)
        for process in scene.processes:
            process.running()
    finally:
        signal.alarm(0)
        tails = [process.tail() for process in scene.processes[-TAILS:]] if problem else []
        scene.done()
    took = time.monotonic() - started
    if problem is None:
        print(f"ok   {name} ({took:.1f} s)", flush=True)
        return "passed"
    print(f"FAIL {name} ({took:.1f} s): {problem}", flush=True)
    if isinstance(problem, Failure):
        frames = traceback.extract_tb(problem.__traceback__)
        print("      at " + " < ".join(f"{os.path.basename(f.filename)}:{f.lineno}" for f in reversed(frames)))
    else:
        traceback.print_exception(problem, file=sys.stdout)
    for tail in tails:
        if tail:
            print(tail)
    sys.stdout.flush()
    return "failed"


def below_tidy():
    """From here on this program is one that test/tidy started."""
    if PLACE == "/dev/shm":
        os.execv(TIDY, [TIDY, sys.executable, *sys.argv])


def main():
    """Runs the test_ functions of the calling program in order; arguments select by part of the name. Exits."""
    below_tidy()
    module = sys.modules["__main__"]
    tests = [(name, f) for name, f in vars(module).items() if name.startswith("test_") and inspect.isfunction(f)]
    tests = [(name, f) for name, f in tests if not sys.argv[1:] or any(part in name for part in sys.argv[1:])]
    results = [run_test(name, function) for name, function in tests]
    passed, failed, skipped = map(results.count, ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    sys.exit(0 if failed == 0 and passed > 0 else 1)
