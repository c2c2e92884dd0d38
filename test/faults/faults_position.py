# SPDX-License-Identifier: MIT
"""Fault 17: positions and counters near the values at which they, or a half of them, wrap."""

import signal

from accounting import wait_settled
from faults_producer import logged_producers, start_logged
from harness import check, check_equal, wait_for
from rows import fault

RING_BYTES = 64 << 10
SPANS = 5_000  # a thread: some fifteen laps
THREADS = 2


class Aged:
    """What a producer had behind it when the test began, taken off again."""

    def __init__(self, oracle, records, drops):
        self.records = records
        self.drops = drops
        state = oracle.state
        oracle.state = lambda **options: self.younger(state(**options))

    def younger(self, state):
        for slot in state.slots:
            for key, count in (("committed", self.records), ("released", self.records), ("exported", self.records),
                               ("begun", self.records + self.drops), ("drop.0", self.drops)):
                slot[key] -= count
        return state

    def younger_metrics(self, metrics):
        for name, labels, count in (("committed_total", (), self.records), ("exported_total", (), self.records),
                                    ("producer_dropped_total", (("reason", "ring_full"),), self.drops)):
            metrics[(f"aistrace_spans_{name}", labels)] -= THREADS * count
        return metrics


def across(scene, row, position, records=0, drops=0, kills=0):
    """A producer begins at a position, in a ring directory of its own. -> where its slots end"""
    name = f"{position:x}-{records}"
    scene.other_rings(f"rings-{name}")
    server = scene.server("count", out=scene.path(f"received-{name}"))
    oracle = scene.oracle()
    aged = Aged(oracle, records, drops)
    process = start_logged(scene, "wrap_producer", f"{position:x}", records, drops, SPANS)
    wait_for(process.stdout, "the producer is ready")
    config = scene.config(server.port, aistraced={"flush_interval": "20ms", "spool": {"max_bytes": 0}})
    sidecar = scene.sidecar(server.port, config=config)
    process.signal(signal.SIGUSR1)
    may_repeat = set()
    for _ in range(kills):
        wait_for(lambda s=sidecar: s.metrics().value("aistrace_spans_unread") or not process.running(), "it writes")
        sidecar.kill()
        may_repeat |= oracle.state().unreleased
        sidecar = scene.sidecar(server.port, config=config)
    check_equal(process.wait(), 0, f"exit of the producer ({process.stderr()})")
    wait_for(lambda: not scene.segments(), "the segment is gone")
    wpos = [slot["wpos"] for slot in oracle.state().slots]
    check_equal(len(wpos), THREADS, "slots")
    report = oracle.report(logged_producers(process), [server], aged.younger_metrics(sidecar.metrics()), may_repeat)
    row.attempts += 1
    row.add(report)
    sidecar.terminate()
    return wpos


def check_crossed(positions, limit):
    for wpos in positions:
        check((wpos - limit) % (1 << 64) < 1 << 40, f"position {wpos:x} has crossed {limit:x}")


@fault(17)
def test_the_identity_holds_across_the_wrap_of_positions(scene, row):
    for limit, before in ((1 << 32, 16), (1 << 32, RING_BYTES - 16), (1 << 63, 1 << 14), (1 << 64, 1 << 16)):
        check_crossed(across(scene, row, limit - before), limit)


@fault(17)
def test_the_identity_holds_across_the_wrap_of_positions_with_the_daemon_killed(scene, row):
    for limit in (1 << 32, 1 << 63, 1 << 64):
        check_crossed(across(scene, row, limit - (1 << 15), kills=5), limit)


@fault(17)
def test_the_identity_holds_where_counters_pass_32_bits(scene, row):
    across(scene, row, 0, records=(1 << 32) - 100, drops=(1 << 32) - 20)
