# SPDX-License-Identifier: MIT
"""P8, P9: what the sidecar uses while little or nothing happens."""

import subprocess
import time

import measure
from measure import Result, cpu_ns, cpu_share, private_mb, program, resident_mb
from stage import stage

SEGMENTS, THREADS, RING_BYTES = 8, 4, 1 << 20
SETTLE_S = 3  # adaptive polling has slowed down by then
DEFAULT_FLUSH = {"flush_interval": "1s"}


def idle(context):
    seconds = context.pick(60, 20)
    with stage(aistraced=DEFAULT_FLUSH) as here:
        here.fill(SEGMENTS, THREADS, RING_BYTES)
        time.sleep(SETTLE_S)
        loop = subprocess.Popen([program("sleep_loop"), "100000", str(seconds * 1000), str(measure.OTHER_CPU)],
                                stdout=subprocess.PIPE, text=True)
        begin, used = time.monotonic_ns(), cpu_ns(here.sidecar.pid)
        bare_ns = int(loop.communicate()[0].split("\n")[0])
        used, took = cpu_ns(here.sidecar.pid) - used, time.monotonic_ns() - begin
    percent, bare_percent = 100 * used / took, 100 * bare_ns / took
    detail = {"seconds": seconds, "sidecar_percent": percent, "bare_loop_percent": bare_percent}
    yield Result("P8-cpu", percent, floor=f"bare loop {bare_percent:.3f} %", **detail)
    yield Result("P8-ratio", percent / bare_percent, floor=f"bare loop {bare_percent:.3f} %", **detail)
    for rate in (100, 10_000):
        yield paced(context, rate)


def paced(context, rate):
    seconds = context.pick(15, 5)
    with stage(aistraced=DEFAULT_FLUSH) as here:
        producer = here.producer(RING_BYTES)
        producer.send(f"pace {rate} {(seconds + 2) * 1000}")
        time.sleep(1)
        percent = cpu_share(here.sidecar.pid, seconds)
        producer.answer()
        return Result(f"P8-{rate}", percent, seconds=seconds, ns_per_span=percent / 100 * 1e9 / rate)


def memory(context, row, tls):
    """Private pages; where only root may see which they are, all pages outside the rings."""
    readings = []
    with stage(tls=tls, aistraced=DEFAULT_FLUSH) as here:
        def read():
            readings.append((private_mb(here.sidecar.pid, here.scene.ring_dir), resident_mb(here.sidecar.pid)))

        producer = here.producer(RING_BYTES)
        time.sleep(SETTLE_S)
        read()
        seconds = context.pick(10, 4)
        producer.send(f"pace 10000 {seconds * 1000}")
        for _ in range(seconds):
            time.sleep(0.8)
            read()
        producer.answer()
    private, resident = zip(*readings)
    detail = {"idle_with_shared_mb": resident[0], "busy_with_shared_mb": max(resident[1:])}
    if None in private:
        yield Result(row, max(resident), floor="shared libraries included", **detail)
    else:
        yield Result(row, max(private), floor=f"with shared libraries {max(resident):.1f}", idle_mb=private[0],
                     busy_mb=max(private[1:]), **detail)


def memory_plaintext(context):
    yield from memory(context, "P9-plaintext", False)


def memory_tls(context):
    yield from memory(context, "P9-TLS", True)


BENCHMARKS = {("P8-cpu", "P8-ratio", "P8-100", "P8-10000"): idle, ("P9-plaintext",): memory_plaintext,
              ("P9-TLS",): memory_tls}
