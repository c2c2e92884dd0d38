# SPDX-License-Identifier: MIT
"""P11: what a span costs its producer while the sidecar is dead, stands still, or has no endpoint."""

import contextlib
import os
import signal
import subprocess

from measure import SIDECAR_CPU, Failed, Missing, Result, by_median, harness, median, percentile, pin, program
from stage import stage
from svg import chart, distribution

RING_BYTES, FULL_RING_BYTES = 32 << 20, 1 << 20
OUTAGES = ("sidecar dead", "sidecar stopped", "endpoint dead")
CONDITIONS = ("normal", *OUTAGES)
BLOCKS = 10  # of a phase before the next one has its turn
SINGLES = 3000
SETTLE_TIMEOUT_S = 60
COUNTED_SPANS = 10_000
STEADY_CLOCK = {"AIS_TRACING_CLOCK": "system"}  # under valgrind the CPU's counter runs as fast as ever, and the line
# through it, good for a while, would be drawn anew every few spans
NO_SPOOL = {"spool": {"max_bytes": 0}}  # so that a full ring stays full


class Patient:
    """One producer and its sidecar, which is made to fail and to recover: what is compared is the same process."""

    def __init__(self, here):
        self.here = here
        self.well = here.sidecar.config
        self.no_endpoint = here.scene.config(harness.free_port(), aistraced=NO_SPOOL)
        self.producer = here.producer(RING_BYTES)

    def fail(self, outage):
        if outage == "sidecar stopped":
            self.here.sidecar.signal(signal.SIGSTOP)
            return
        self.here.sidecar.kill()
        if outage == "endpoint dead":
            self._start(self.no_endpoint)

    def recover(self, outage):
        """Until everything that waited has been delivered."""
        if outage == "sidecar stopped":
            self.here.sidecar.signal(signal.SIGCONT)
        else:
            self.here.sidecar.kill()
            self._start(self.well)
        harness.wait_for(self.here.sidecar.settled, "the rings are empty again", deadline_s=SETTLE_TIMEOUT_S)

    def _start(self, config):
        self.here.sidecar = self.here.scene.sidecar(0, config=config)
        pin(self.here.sidecar.pid, SIDECAR_CPU)
        self.here.await_segments(1)

    def phase(self, full):
        """-> (ns a span by block, ns of single spans); checks that the ring had room all the time, or never"""
        before = self.producer.numbers("counters")
        blocks, singles = self.producer.numbers(f"blocks {BLOCKS}"), self.producer.numbers(f"singles {SINGLES}")
        attempted, committed, _ = (now - then for now, then in zip(self.producer.numbers("counters"), before))
        if committed != (0 if full else attempted):
            raise Failed(f"of {attempted:.0f} spans {committed:.0f} were written, ring full: {full}")
        return blocks, singles


def cost(context):
    phases = {(outage, when): [] for outage in OUTAGES for when in ("normal", "room", "full")}
    with stage(aistraced=NO_SPOOL) as here:
        patient = Patient(here)
        for _ in range(context.pick(20, 6)):
            for outage in OUTAGES:
                phases[outage, "normal"].append(patient.phase(False))
                patient.fail(outage)
                phases[outage, "room"].append(patient.phase(False))
                patient.producer.ask("fill")
                phases[outage, "full"].append(patient.phase(True))
                patient.recover(outage)
    chart(context.path("bench-outage.svg"), "Cost of a span, blocks of 1,000, ring not full", "ns a span",
          "% of blocks", {"normal": distribution(every(phases, OUTAGES, "normal", 0)),
                          **{outage: distribution(every(phases, [outage], "room", 0)) for outage in OUTAGES}})
    yield result("P11-room", phases, "room")
    yield result("P11-full", phases, "full")


def every(phases, outages, when, part):
    """All blocks (part 0) or single spans (part 1) of phases."""
    return [ns for outage in outages for phase in phases[outage, when] for ns in phase[part]]


def result(row, phases, when):
    """Of the three outages the worst."""
    ratios = {outage: [median(cost[0]) / median(normal[0]) for cost, normal in
                       zip(phases[outage, when], phases[outage, "normal"])] for outage in OUTAGES}
    worst = max(OUTAGES, key=lambda outage: median(ratios[outage]))
    normal = median(every(phases, OUTAGES, "normal", 0))
    p999 = {"normal": percentile(every(phases, OUTAGES, "normal", 1), 0.999)}
    p999.update((outage, percentile(every(phases, [outage], when, 1), 0.999)) for outage in OUTAGES)
    return by_median(row, ratios[worst], f"normal {normal:.1f} ns", worst=worst, normal_ns=normal, p999_ns=p999,
                     ratio={outage: median(ratios[outage]) for outage in OUTAGES},
                     ns={outage: median(every(phases, [outage], when, 0)) for outage in OUTAGES})


# ---- instructions and system calls


def wrapped(condition, ring_bytes, wrapper, full=False, env=None):
    """Runs a producer under another program, in the condition, to its end."""
    with stage(aistraced=NO_SPOOL) as here:
        here.scene_dir()
        command = [*wrapper, program("producer"), here.scene.ring_dir, str(ring_bytes), "1"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env={**os.environ, **(env or {})}) as process:
            if process.stdout.readline() != "ready\n":
                raise Missing(f"{wrapper[0]}: {process.stderr.read().strip()[-200:]}")
            here.await_segments(1)
            if condition == "endpoint dead":
                here.sink.close()
            elif condition != "normal":
                here.sidecar.signal(signal.SIGKILL if condition == "sidecar dead" else signal.SIGSTOP)
            process.communicate(("fill\n" if full else "") + f"count {COUNTED_SPANS}\n")


def instructions(condition):
    """-> instructions a span while the ring has room"""
    with temporary_file() as path:
        wrapped(condition, RING_BYTES, ["valgrind", "--tool=callgrind", "--collect-atstart=no",
                                        "--toggle-collect=bench_span", f"--callgrind-out-file={path}"], env=STEADY_CLOCK)
        with open(path, encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(("summary:", "totals:")):
                    return int(line.split()[1]) / COUNTED_SPANS
    raise Failed("callgrind counted nothing")


def calls(condition):
    """-> system calls between the markers, ring full at first"""
    with temporary_file() as path:
        wrapped(condition, FULL_RING_BYTES, ["strace", "-f", "-o", path], full=condition != "normal")
        with open(path, encoding="ascii", errors="replace") as file:
            lines = file.read().split("getppid(")
    if len(lines) != 3:
        raise Missing("strace cannot trace here")
    return lines[1].count("\n") - 1  # the rest of the first marker's own line


@contextlib.contextmanager
def temporary_file():
    scene = harness.Scene()
    try:
        yield scene.path("out")
    finally:
        scene.done()


def instruction_counts(_context):
    counts = {condition: instructions(condition) for condition in CONDITIONS}
    yield Result("P11-instructions", max(counts[outage] for outage in OUTAGES) / counts["normal"],
                 floor=f"normal {counts['normal']:.0f}", instructions=counts)


def system_calls(_context):
    counts = {condition: calls(condition) for condition in CONDITIONS}
    yield Result("P11-calls", max(counts[outage] for outage in OUTAGES), floor=f"normal {counts['normal']}",
                 calls=counts)


BENCHMARKS = {("P11-room", "P11-full"): cost, ("P11-instructions",): instruction_counts, ("P11-calls",): system_calls}
