# SPDX-License-Identifier: MIT
"""Faults 6, 7 and 15: servers that go away, refuse, reset, take a part, and misbehave in every other way."""

import importlib.machinery
import importlib.util
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
    port = int(wait_for(relay.stdout, "the relay listening").split()[1])
    sidecar = scene.sidecar(port, aistraced={"flush_interval": "10ms", "max_batch_spans": 50,
                                             "retry": {"initial": "20ms", "max": "100ms"}})
    generator = scene.gen(threads=2, rate=rate, duration="60m", ring_size=16 << 20)
    wanted = boundaries * len(kinds)
    wait_for(lambda: len(relay.stdout().splitlines()) > wanted, f"{wanted} times broken in")
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


# ---- fault 7


def answered(scene, row, count=20_000, rate=5_000, **server_options):
    """A load towards a server that answers as told. -> (Report, Metrics)"""
    server = scene.server("count", **server_options)
    oracle = scene.oracle()
    sidecar = scene.sidecar(server.port, aistraced={"flush_interval": "20ms", "max_batch_spans": 100,
                                                    "retry": {"initial": "20ms", "max": "200ms"}})
    generator = scene.gen(threads=2, rate=rate, count=count, ring_size=16 << 20, linger=3600)
    wait_for(generator.stdout, "the generator is done")
    metrics = wait_settled(sidecar, count)
    generator.signal(signal.SIGTERM)
    gen_result(generator)
    requests = {code: int(n) for code, n in metrics.family("aistrace_export_requests_total", "code").items() if n}
    row.attempts += sum(n for code, n in requests.items() if code != "OK") or requests["OK"]
    row.notes["requests"] = requests
    report = oracle.report([Producer.of_gen(generator)], [server], metrics)
    row.add(report)
    return report, requests


@fault(7)
def test_seventy_percent_unavailable_costs_time_but_no_span(scene, row):
    report, requests = answered(scene, row, fail="UNAVAILABLE", fail_share=0.7)
    check_nothing_dropped(report)
    check(requests["UNAVAILABLE"] > requests["OK"], f"requests: {requests}")
    check_equal(report.total("received"), report.exported(), "received, and exported")


@fault(7)
def test_resource_exhausted_with_retry_info_is_retried(scene, row):
    report, requests = answered(scene, row, fail="RESOURCE_EXHAUSTED", fail_share=0.5, retry_info_ms=50)
    check_nothing_dropped(report)
    check(requests["RESOURCE_EXHAUSTED"] > 0, f"requests: {requests}")


@fault(7)
def test_resource_exhausted_without_retry_info_is_counted_as_refused(scene, row):
    report, requests = answered(scene, row, fail="RESOURCE_EXHAUSTED", fail_share=0.3)
    check_equal(list(report.dropped()), ["refused"], "reasons")
    check_equal(report.total("received"), report.exported(), "received, and exported")
    check(requests["RESOURCE_EXHAUSTED"] > 0, f"requests: {requests}")


@fault(7)
def test_partial_success_is_counted_and_never_retried(scene, row):
    report, requests = answered(scene, row, reject=3)
    check_nothing_dropped(report)
    check_equal(list(requests), ["OK"], "answers")
    check_equal(report.total("rejected") + report.spool.rejected, 3 * requests["OK"], "rejected")
    check_equal(report.exported(), 20_000 - 3 * requests["OK"], "exported")
    check_equal(report.total("received"), 20_000, "received")


# ---- fault 15


def end_to_end_test(name):
    """A program of test/e2e as a module."""
    path = os.path.join(harness.ROOT, "test", "e2e", name)
    loader = importlib.machinery.SourceFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


@fault(15, timeout_s=1800)
def test_every_misbehaving_server_is_survived_without_growing_and_counted(scene, row):
    """test_hostile_servers, with the oracle looking on. Those servers keep nothing, so only the ledgers can be asked."""
    tests = end_to_end_test("test_hostile_servers")
    watched = []

    class Watched(tests.Victim):
        def __init__(self, its_scene, name, **aistraced):
            its_scene.ring_dir = its_scene.path(name)
            self.oracle = its_scene.oracle()
            super().__init__(its_scene, name, **aistraced)
            watched.append(self)

        def produce(self, seconds):
            self.generator = scene.gen(ring_dir=self.ring_dir, rate=tests.RATE, duration=f"{seconds}s", threads=1,
                                       ring_size=16 << 20)
    tests.Victim = Watched
    tests.test_every_misbehaviour_is_survived_without_growing(scene)
    hostile = [process for process in scene.processes if process.name.startswith("hostile")]
    row.attempts = sum(line.split("\t")[0] != "an answer" for process in hostile
                       for line in process.stdout().splitlines()[1:])
    for victim in watched:
        row.add(victim.oracle.report([Producer.of_gen(victim.generator)], [], victim.sidecar.metrics(), kept=False))
