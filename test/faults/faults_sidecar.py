# SPDX-License-Identifier: MIT
"""Faults 3 and 4: the daemon killed and ended, with producers at work."""

import itertools
import os
import random
import re
import signal
import time
from types import MappingProxyType

from accounting import RingState, wait_settled
from harness import check, check_equal, gen_log, gen_result, wait_for
from inject import after, at, injected
from oracle import Producer
from rows import FULL, check_nothing_dropped, fault

RING_BYTES = 64 << 20  # minutes: for most of the time there is no daemon
LAST_WORDS = re.compile(r"stopped: exported (\d+), .* left in the rings (\d+)")


class Load:
    """Two producers of two threads each; and a daemon that is killed again and again."""

    def __init__(self, scene, rate=2_500, server=MappingProxyType({}), **aistraced):
        self.scene = scene
        self.server = scene.server("count", **server)
        self.oracle = scene.oracle()
        self.config = scene.config(self.server.port, aistraced={"flush_interval": "20ms", **aistraced})
        self.generators = [scene.gen(threads=2, rate=rate, duration="60m", ring_size=RING_BYTES) for _ in range(2)]
        self.may_repeat = set()
        self.bound = 0

    def sidecar(self, prefix=(), up=False):
        return self.scene.sidecar(self.server.port, config=self.config, up=up, prefix=prefix)

    def killed(self):
        """After each kill: notes what may come twice."""
        unreleased = RingState(self.scene).unreleased
        self.may_repeat |= unreleased
        self.bound += len(unreleased)

    def finish(self, row):
        for generator in self.generators:
            generator.signal(signal.SIGTERM)
        committed = sum(gen_result(generator)["committed"] for generator in self.generators)
        metrics = wait_settled(self.sidecar(up=True), committed)
        report = self.oracle.report(list(map(Producer.of_gen, self.generators)), [self.server], metrics, self.may_repeat)
        row.add(report)
        row.notes["duplicates_allowed"] = self.bound
        check(sum(report.duplicates().values()) <= self.bound, "more duplicates than were unreleased at the kills")
        check(report.dropped().keys() <= {"ring_full"}, f"dropped {report.dropped()}")


def cycles(count):
    return count * 5 if FULL else count


@fault(3)
def test_the_daemon_killed_at_random_200_times_under_load_loses_nothing(scene, row):
    load = Load(scene, server={"delay_ms": 200})
    chance = random.Random(3)
    for cycle in range(cycles(200)):
        sidecar = load.sidecar()
        if cycle % 10 == 9:  # with a request on the wire that has been received and is not answered
            received = os.path.getsize(load.server.out)
            wait_for(lambda r=received: os.path.getsize(load.server.out) > r, "a request", interval_s=0.005)
        # Most live for some passes; some hardly begin; some get far enough to have much on the wire.
        time.sleep(chance.choice((0.005, 0.02, 0.1, 0.2, 0.3)) * chance.random())
        check_equal(sidecar.kill(), -signal.SIGKILL, "end of the daemon")
        load.killed()
        row.attempts += 1
    load.finish(row)
    check(row.duplicates > 0, "no kill met spans on the wire")


@fault(3)
def test_the_daemon_killed_at_every_system_call_loses_nothing(scene, row):
    load = Load(scene, rate=1_000)
    number = 0
    while number < cycles(300):
        # Every one of the start, of the first passes and of the first export; then ever fewer.
        number += 1 if number < 160 else 7
        prefix, _ = injected(scene, "kill", number)
        sidecar = load.sidecar(prefix)
        check_equal(sidecar.wait(), -signal.SIGKILL, f"end of the daemon at its system call {number}")
        load.killed()
        row.attempts += 1
    load.finish(row)


@fault(3)
def test_the_daemon_killed_at_every_instruction_of_a_commit_loses_nothing(scene, row):
    load = Load(scene, rate=1_000)
    for function, steps in (("shmring_reader_commit", range(0, 120)), ("batch_finish", range(0, 60, 5)),
                            ("batch_seal", range(0, 60, 5))):
        for step in steps:
            prefix, _ = injected(scene, *at(function, 1 + step % 2, step))
            sidecar = load.sidecar(prefix)
            check_equal(sidecar.wait(), -signal.SIGKILL, f"end of the daemon {step} instructions into {function}")
            load.killed()
            row.attempts += 1
    load.finish(row)


@fault(3)
def test_the_daemon_killed_at_every_system_call_of_a_farewell_counts_once(scene, row):
    """Dead producers' segments: the last ledger is noted once, however often the noting is cut short."""
    server = scene.server("count")
    oracle = scene.oracle()
    config = scene.config(server.port, aistraced={"flush_interval": "5ms"})
    generators, may_repeat = [], set()
    for number in itertools.count(1):
        if not scene.segments():
            generators += [scene.gen(threads=1, count=50, ring_size="64KiB") for _ in range(3)]
            check_equal([gen_result(generator)["committed"] for generator in generators[-3:]], [50] * 3, "committed")
        oracle.hold()
        prefix, _ = injected(scene, *after("segment_add_to_totals", number))
        sidecar = scene.sidecar(server.port, config=config, up=False, prefix=prefix)
        wait_for(lambda s=sidecar: not s.running() or "metrics at" in s.stderr(), "up")
        sidecar.signal(signal.SIGTERM)  # so that it takes leave of the dead at once
        if sidecar.wait() == 0:
            break
        check_equal(sidecar.popen.returncode, -signal.SIGKILL, f"end at system call {number} of removing a segment")
        may_repeat |= RingState(scene).unreleased
        row.attempts += 1
    check(row.attempts > 12, f"removing a segment takes more than {row.attempts} system calls")
    sidecar = scene.sidecar(server.port, config=config)
    wait_for(lambda: not scene.segments(), "no segment is left")
    committed = 50 * len(generators)
    row.add(oracle.report(list(map(Producer.of_gen, generators)), [server], wait_settled(sidecar, committed),
                          may_repeat))


@fault(4)
def test_sigterm_under_load_loses_nothing_and_tells_what_is_left(scene, row):
    load = Load(scene, rate=20_000, drain_deadline="2s", spool={"max_bytes": 0})  # the rings' ledgers tell all
    for _ in range(cycles(10)):
        sidecar = load.sidecar(up=True)
        exported = sidecar.metrics().value("aistrace_spans_exported_total")
        wait_for(lambda s=sidecar, e=exported: s.metrics().value("aistrace_spans_exported_total") > e, "it exports")
        status = sidecar.terminate()
        check(status in (0, 69), f"exit of the daemon: {status}")
        state = RingState(scene)
        said = LAST_WORDS.search(sidecar.stderr().splitlines()[-1])
        check(said, f"last words: {sidecar.stderr().splitlines()[-1]!r}")
        check_equal(int(said.group(1)), sum(slot["exported"] for slot in state.slots), "exported, as the daemon went")
        check(int(said.group(2)) <= len(state.unreleased), f"{said.group(2)} left, of {len(state.unreleased)} in the rings")
        row.attempts += 1
    load.finish(row)
    check_equal(row.duplicates, 0, "duplicates after SIGTERM")


@fault(4)
def test_sigterm_with_the_endpoint_away_leaves_everything_in_the_rings(scene, row):
    server = scene.server("count")
    oracle = scene.oracle()
    config = scene.config(server.port, aistraced={"drain_deadline": "500ms", "spool": {"max_bytes": 0}})
    server.process.signal(signal.SIGSTOP)
    generator = scene.gen(threads=2, rate=10_000, count=20_000, ring_size=RING_BYTES)
    may_repeat = set()
    for _ in range(3):
        sidecar = scene.sidecar(server.port, config=config)
        wait_for(lambda s=sidecar: s.metrics().value("aistrace_spans_in_flight") > 0, "spans in flight")
        check_equal(sidecar.terminate(), 69, "exit of the daemon with spans left")
        may_repeat |= RingState(scene).unreleased
        row.attempts += 1
    gen_result(generator)
    server.process.signal(signal.SIGCONT)
    metrics = wait_settled(scene.sidecar(server.port, config=config), 20_000)
    report = oracle.report([Producer.of_gen(generator)], [server], metrics, may_repeat)
    row.add(report)
    check_nothing_dropped(report)


@fault(4)
def test_sigterm_with_the_endpoint_away_spools_what_is_left(scene, row):
    server = scene.server("count")
    oracle = scene.oracle()
    config = scene.config(server.port, aistraced={"drain_deadline": "500ms"})
    server.process.signal(signal.SIGSTOP)
    generators = []
    for _ in range(3):
        sidecar = scene.sidecar(server.port, config=config)
        generators.append(scene.gen(threads=2, rate=10_000, count=2_000, ring_size=RING_BYTES))
        gen_result(generators[-1])
        check_equal(sidecar.terminate(), 0, "exit of the daemon with everything spooled")
        check_equal(len(RingState(scene).unreleased), 0, "spans in the rings")
        row.attempts += 1
    server.process.signal(signal.SIGCONT)
    metrics = wait_settled(scene.sidecar(server.port, config=config), 6_000)
    may_repeat = set(gen_log(*generators))  # what was on the wire reaches the server when it goes on
    report = oracle.report(list(map(Producer.of_gen, generators)), [server], metrics, may_repeat)
    row.add(report)
    check_nothing_dropped(report)
