# SPDX-License-Identifier: MIT
"""Fault 14: the wall clock steps by an hour, for daemon and producers; the real one is left alone."""

import os
import signal

from accounting import wait_settled
from harness import check, check_equal, gen_result, wait_for
from oracle import Producer
from rows import check_nothing_dropped, fault

LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
HOUR_S = 3600
STEPS_S = (0, HOUR_S, -HOUR_S, 0, -HOUR_S, HOUR_S)  # of the offset, one after another


@fault(14, programs=(LIBFAKETIME,))
def test_steps_of_the_wall_clock_change_neither_intervals_nor_durations(scene, row):
    offset = scene.path("offset")

    def step(seconds):
        with open(offset, "w", encoding="ascii") as file:
            file.write(f"{seconds:+d}")
    step(0)
    env = {"LD_PRELOAD": LIBFAKETIME, "FAKETIME_TIMESTAMP_FILE": offset, "FAKETIME_NO_CACHE": "1",
           "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    server = scene.server("parse")
    oracle = scene.oracle()
    sidecar = scene.sidecar(server.port, aistraced={"flush_interval": "200ms"}, env=env)
    generator = scene.gen(threads=2, rate=1_000, duration="60m", ring_size=64 << 20, env=env)
    for seconds in STEPS_S:
        size = os.path.getsize(server.out)
        step(seconds)
        wait_for(lambda s=size, h=seconds // HOUR_S: h in hours_off(server, s), f"spans of a clock {seconds:+d} s off")
        row.attempts += 1
    generator.signal(signal.SIGTERM)
    metrics = wait_settled(sidecar, gen_result(generator)["committed"])
    report = oracle.report([Producer.of_gen(generator)], [server], metrics)
    row.add(report)
    check_nothing_dropped(report)
    longest_ns = 0
    for _, span in spans_of(server):
        longest_ns = max(longest_ns, span.end_time_unix_nano - span.start_time_unix_nano)
        check(span.end_time_unix_nano >= span.start_time_unix_nano, f"a span that ends before it starts: {span}")
    check_equal(hours_off(server), {-1, 0, 1}, "hours by which spans' clocks differ from the endpoint's")
    row.notes = {"longest_span_ms": round(longest_ns / 1e6, 1)}
    check(longest_ns < HOUR_S / 2 * 1e9, f"a span of {longest_ns / 1e9:.1f} s: the step is in its duration")


def spans_of(server, offset=0):
    """(arrival in Unix ns, span) of the requests from an offset of the server's file on"""
    for arrival, request in server.requests(offset):
        for block in request.resource_spans:
            for span in block.scope_spans[0].spans:
                yield arrival, span


def hours_off(server, offset=0):
    return {round((span.start_time_unix_nano - arrival) / 1e9 / HOUR_S) for arrival, span in spans_of(server, offset)}
