# SPDX-License-Identifier: MIT
"""Fault 6: the server goes away, refuses and resets, at each frame boundary."""

import os
import signal

import harness
from accounting import wait_settled
from harness import check, check_equal, gen_result, wait_for
from oracle import Producer
from rows import check_nothing_dropped, fault

HERE = os.path.dirname(os.path.abspath(__file__))
BOUNDARIES = 24  # frames of a connection: its start, and several requests
CUTS = 10  # each of the first makes the daemon wait longer before it connects again


def broken_into(scene, row, kinds, may_repeat, rate=4_000, boundaries=BOUNDARIES):
    server = scene.server("count", delay_ms=5)
    oracle = scene.oracle()
    relay = scene.start("frames", ["/usr/bin/python3", os.path.join(HERE, "frames.py"), "--to", server.port, "--kinds",
                                   ",".join(kinds), "--boundaries", boundaries])
    port = int(wait_for(relay.stdout, 20, "the relay listening").split()[1])
    sidecar = scene.sidecar(port, aistraced={"flush_interval": "10ms", "max_batch_spans": 50,
                                             "retry": {"initial": "20ms", "max": "100ms"}})
    generator = scene.gen(threads=2, rate=rate, duration="10m", ring_size=16 << 20)
    wanted = boundaries * len(kinds)
    wait_for(lambda: len(relay.stdout().splitlines()) > wanted, 120, f"{wanted} times broken in")
    generator.signal(signal.SIGTERM)
    metrics = wait_settled(sidecar, gen_result(generator)["committed"])
    row.attempts += wanted
    codes = metrics.family("aistrace_export_requests_total", "code")
    row.notes["requests"] = {code: int(count) for code, count in codes.items() if count}
    report = oracle.report([Producer.of_gen(generator)], [server], metrics,
                           may_repeat=set(harness.gen_log(generator)) if may_repeat else None)
    row.add(report)
    check_nothing_dropped(report)
    return report


@fault(6)
def test_goaway_and_refused_streams_at_each_frame_lose_nothing_and_repeat_nothing(scene, row):
    report = broken_into(scene, row, ("goaway", "behind", "refused", "cancelled"), may_repeat=False)
    check_equal(report.duplicates(), {}, "duplicates")


@fault(6)
def test_connections_cut_at_each_frame_lose_nothing(scene, row):
    report = broken_into(scene, row, ("cut",), may_repeat=True, rate=500, boundaries=CUTS)
    check(len(report.duplicates()) < report.total("committed") / 2, "repeated")
