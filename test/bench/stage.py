# SPDX-License-Identifier: MIT
"""What measurements of the sidecar share: a sink, a sidecar on a core of its own, producers, TLS."""

import contextlib
import errno
import os
import signal
import time

import measure
from measure import Failed, Missing, Talker, harness, program, run

ATTACH_TIMEOUT_S = 60
SPAN_BYTES_MIN = 192  # of a record in the ring, by which laps are counted
STOPPED_S = 0.15  # longer than the sidecar's idle sleep: when it goes on, its timer is due


class Stage:
    """A directory with a sidecar, and what is started beside it; everything goes at its end."""

    def __init__(self, sink="count", tls=False, aistraced=None):
        self.scene = harness.Scene()
        self.talkers = []
        try:
            certificate = self._certificate() if tls else ()
            self.sink = self.talk("sink", sink, *certificate, first="port ")
            self.port = int(self.sink.greeting.split()[1])
            config = self.scene.config(self.port, self._endpoint(tls),
                                       {"flush_interval": "10ms", **self._trust(certificate), **(aistraced or {})})
            self.sidecar = self._start(config, tls)
        except BaseException:
            self.close()
            raise

    def _endpoint(self, tls):
        return {"exporter_endpoint": f"https://127.0.0.1:{self.port}"} if tls else {}

    @staticmethod
    def _trust(certificate):
        return {"ca_file": certificate[0]} if certificate else {}

    def _certificate(self):
        cert, key = self.scene.path("cert.pem"), self.scene.path("key.pem")
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=aistrace bench", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert])
        return cert, key

    def _start(self, config, tls):
        try:
            sidecar = self.scene.sidecar(self.port, config=config)
        except harness.Failure as error:
            said = self.scene.processes[-1].stderr().strip()[-300:]
            if tls and ("not in this version" in said or os.strerror(errno.EOPNOTSUPP) in said):
                raise Missing("TLS is not available in this build") from None
            raise Failed(f"{error}: {said}") from None
        measure.pin(sidecar.pid, measure.SIDECAR_CPU)
        return sidecar

    def talk(self, name, *args, first="ready"):
        talker = Talker([program(name), *args], first)
        self.talkers.append(talker)
        return talker

    def fill(self, segments, threads, ring_bytes):
        """Producers that the sidecar has attached."""
        self.scene_dir()
        fill = self.talk("fill", self.scene.ring_dir, segments, threads, ring_bytes)
        self.await_segments(segments)
        return fill

    def producer(self, ring_bytes, cpu=measure.OTHER_CPU):
        self.scene_dir()
        producer = self.talk("producer", self.scene.ring_dir, ring_bytes, cpu)
        self.await_segments(1)
        return producer

    def scene_dir(self):
        os.makedirs(self.scene.ring_dir, mode=0o700, exist_ok=True)

    def await_segments(self, count):
        harness.wait_for(lambda: self.sidecar.metrics().value("aistrace_segments") == count,
                         f"{count} segments attached", deadline_s=ATTACH_TIMEOUT_S, interval_s=0.1)

    @contextlib.contextmanager
    def stopped(self):
        """The sidecar stands still meanwhile."""
        self.sidecar.signal(signal.SIGSTOP)
        harness.wait_for(self._is_stopped, "the sidecar stopped", interval_s=0.005)
        try:
            yield
        finally:
            self.sidecar.signal(signal.SIGCONT)

    def _is_stopped(self):
        with open(f"/proc/{self.sidecar.pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "T"

    def drain(self, fill, spans_per_thread):
        """Lets the rings fill while the sidecar stands still, then lets it empty them. -> Drain"""
        with self.stopped():
            spans, dropped = fill.ask(f"write {spans_per_thread}").split()
            if int(dropped):
                raise Failed(f"{dropped} of {spans} spans did not fit into the rings")
            time.sleep(STOPPED_S)
            before = self._used()
        wall_ns = fill.ask("await")
        if wall_ns == "late":
            raise Failed("the sidecar did not empty the rings")
        after = self._used()
        return Drain(int(spans), int(wall_ns), *(now - then for now, then in zip(after, before)))

    def warm_up(self, fill, spans_per_thread, ring_bytes):
        """Drains until every page of the rings has been mapped by both sides, as after a while of real work."""
        for _ in range(ring_bytes // (spans_per_thread * SPAN_BYTES_MIN) + 1):
            self.drain(fill, spans_per_thread)

    def check_delivered(self):
        """Rings empty also when spans are dropped; then the figure is not one of delivery."""
        metrics = harness.wait_for(self.sidecar.settled, "the sidecar has settled everything")
        committed, exported = (metrics.value(f"aistrace_spans_{name}_total") for name in ("committed", "exported"))
        if committed != exported:
            raise Failed(f"of {committed:.0f} spans only {exported:.0f} were delivered")

    def _used(self):
        received, requests = map(int, self.sink.ask("totals").split())
        return measure.cpu_ns(self.sidecar.pid), received, requests

    def close(self):
        for talker in reversed(self.talkers):
            talker.close()
        self.scene.done()


class Drain:
    """What one emptying of filled rings took."""

    def __init__(self, spans, wall_ns, cpu_ns, received, requests):
        self.spans = spans
        self.wall_ns = wall_ns
        self.cpu_ns = cpu_ns
        self.received = received
        self.requests = requests

    def cpu_per_span(self):
        return self.cpu_ns / self.spans


@contextlib.contextmanager
def stage(**options):
    made = Stage(**options)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def ring_dir():
    """A directory for rings without a sidecar."""
    scene = harness.Scene()
    os.makedirs(scene.ring_dir, mode=0o700)
    try:
        yield scene.ring_dir
    finally:
        scene.done()
