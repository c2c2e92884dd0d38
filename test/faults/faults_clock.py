# SPDX-License-Identifier: MIT
"""Fault 14: the wall clock steps by an hour, for daemon and producers; the real one is left alone."""

import time

from accounting import wait_settled
from harness import check, check_equal, gen_result
from oracle import Producer
from rows import check_nothing_dropped, fault

LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
HOUR_S = 3600
STEPS_S = (0, HOUR_S, -HOUR_S, 0, -HOUR_S, HOUR_S)  # of the offset, one after another
STEP_EVERY_S = 1.0
FLUSH_MS = 200


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
    sidecar = scene.sidecar(server.port, aistraced={"flush_interval": f"{FLUSH_MS}ms"}, env=env)
    seconds = STEP_EVERY_S * len(STEPS_S)
    generator = scene.gen(threads=2, rate=1_000, duration=f"{seconds:.0f}s", ring_size=4 << 20, env=env)
    for seconds in STEPS_S:
        step(seconds)
        time.sleep(STEP_EVERY_S)
        row.attempts += 1
    metrics = wait_settled(sidecar, gen_result(generator)["committed"])
    report = oracle.report([Producer.of_gen(generator)], [server], metrics)
    row.add(report)
    check_nothing_dropped(report)
    check_intervals(server, row)


def check_intervals(server, row):
    arrivals, offsets, longest_ns = [], set(), 0
    for arrival, request in server.requests():
        arrivals.append(arrival)
        for block in request.resource_spans:
            for span in block.scope_spans[0].spans:
                longest_ns = max(longest_ns, span.end_time_unix_nano - span.start_time_unix_nano)
                check(span.end_time_unix_nano >= span.start_time_unix_nano, f"a span that ends before it starts: {span}")
                offsets.add(round((span.start_time_unix_nano - arrival) / 1e9 / HOUR_S))
    check_equal(offsets, {-1, 0, 1}, "hours by which spans' clocks differ from the endpoint's")
    gap_ms = max(later - earlier for earlier, later in zip(arrivals, arrivals[1:])) / 1e6
    row.notes = {"longest_span_ms": round(longest_ns / 1e6, 1), "longest_gap_between_requests_ms": round(gap_ms)}
    check(longest_ns < 1e9, f"a span of {longest_ns / 1e9:.1f} s: the step is in its duration")
    check(gap_ms < FLUSH_MS + 1000, f"{gap_ms:.0f} ms between two requests, with a flush interval of {FLUSH_MS} ms")
