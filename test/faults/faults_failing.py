# SPDX-License-Identifier: MIT
"""Fault 11: every allocation and every system call of the daemon's own code fails, once, and for a while."""

import concurrent.futures
import os
import shutil
import signal

import harness
from faults_endpoint import Proxy
from harness import Failure, Scene, check, check_equal, gen_result, http_get, wait_for
from inject import injected, told
from oracle import Producer
from rows import fault

LANES = 3
FOR_A_WHILE_MS = 300
FIRST, SECOND = 240, 80  # spans before and after the reload; the first fill more than a quarter of their rings
START_CODES = {71: "system", 78: "configuration"}  # exits allowed before the daemon runs
SANITIZED = os.path.join(harness.ROOT, "build", "asan", "test", "aistraced_failing")


class Since:
    """What a server has received from now on."""

    def __init__(self, server):
        self.server = server
        self.before = len(server.span_ids())

    def span_ids(self):
        return self.server.span_ids()[self.before:]


class Lane:
    """Runs sessions one after another; a daemon that is ill is watched by nobody but the test."""

    def __init__(self, number, with_spool):
        self.number = number
        self.with_spool = with_spool  # the endpoint is away at first, and spans go through the spool
        self.scene = Scene()
        self.server = self.scene.server("count")
        self.proxy = Proxy(self.scene, self.server.port)
        self.reports = []

    def session(self, name, start, may_be_mute=False):
        """start(scene, config) -> sidecar with something that fails. may_be_mute: its writing to the log, too."""
        scene = self.scene
        scene.other_rings(f"rings-{name}")
        oracle = scene.oracle()
        received = Since(self.server)
        generators = [self.spans(oracle, FIRST)]
        spool = {"dir": scene.path(f"spool-{name}"), "max_bytes": "16MiB"} if self.with_spool else {"max_bytes": 0}
        config = scene.config(self.proxy.port, aistraced={"flush_interval": "20ms", "drain_deadline": "3s", "spool": spool,
                                                          "retry": {"initial": "50ms", "max": "100ms"}})
        self.proxy.mode("cut" if self.with_spool else "pass")
        sidecar = start(scene, config)
        try:
            self.run(sidecar, oracle, generators, may_be_mute)
            metrics = self.settle(config, generators, sidecar)
            self.reports.append(oracle.report(list(map(Producer.of_gen, generators)), [received], metrics,
                                              may_repeat=set(received.span_ids())))
            self.reports[-1].check()
        except Failure as problem:
            raise Failure(f"{name}: {problem}\n" + sidecar.tail(200)) from None
        finally:
            for generator in generators:
                os.unlink(generator.log_path)
            oracle.close()
            for directory in (scene.ring_dir, scene.held_dir, scene.path(f"spool-{name}")):
                shutil.rmtree(directory, ignore_errors=True)

    def spans(self, oracle, count):
        """A generator that stays until the oracle has a hold on its segment."""
        generator = self.scene.gen(threads=2, count=count, ring_size="64KiB", attributes=2, linger=60)
        wait_for(generator.stdout, "the generator's summary")
        oracle.hold()
        generator.signal(signal.SIGTERM)
        check_equal(gen_result(generator)["committed"], count, "committed")
        return generator

    def run(self, sidecar, oracle, generators, may_be_mute):
        """Start, drain, export, reload, drain, export, TERM."""
        started = wait_for(lambda: is_up(sidecar) or not sidecar.running(), "up, or ended")
        if not sidecar.running():
            check_equal_code(sidecar, START_CODES)
            check(sidecar.stderr() or may_be_mute, "it ended without a word")
            return
        check(started, "started")
        # What fills less than a quarter of its ring waits there for the endpoint.
        enough = 1 if self.with_spool else FIRST
        wait_for(lambda: released(oracle) >= enough or not sidecar.running(), "the first spans are released")
        sidecar.signal(signal.SIGHUP)
        self.proxy.mode("pass")
        generators.append(self.spans(oracle, SECOND))
        wait_for(lambda: released(oracle) >= FIRST + SECOND or not sidecar.running(), "the rest is released")
        check(sidecar.running(), f"the daemon ended at work, with {sidecar.popen.returncode}")
        sidecar.signal(signal.SIGTERM)
        sidecar.wait()
        check_equal_code(sidecar, {0: "", 69: ""})

    def settle(self, config, generators, failed):
        """A daemon without a fault does what is left. -> its last metrics"""
        self.proxy.mode("pass")
        sidecar = self.scene.sidecar(self.proxy.port, config={**config})

        def settled():
            metrics = sidecar.settled()
            return metrics if metrics and not metrics.value("aistrace_spans_spooled") else None
        metrics = wait_for(settled, "a sound daemon does the rest")
        sidecar.signal(signal.SIGTERM)
        check_equal(sidecar.wait(), 0, "exit of a sound daemon")
        check_equal(self.scene.segments(), [], "segments left")
        complaint = harness.sanitizers_complaint(failed)
        check(not complaint, complaint)
        check_equal(int(metrics.value("aistrace_spans_committed_total")), FIRST + SECOND * (len(generators) - 1),
                    "committed")
        return metrics


def released(oracle):
    return sum(slot["released"] for slot in oracle.state().slots)


def is_up(sidecar):
    return " reading " in sidecar.stderr() or answers(sidecar)


def answers(sidecar):
    try:
        return http_get(f"http://{sidecar.metrics_listen}/livez", timeout_s=1)[0] == 200
    except OSError:
        return False


def check_equal_code(sidecar, allowed):
    check(sidecar.popen.returncode in allowed, f"exit {sidecar.popen.returncode}, allowed are {sorted(allowed)}")


def exhaust(row, total, start_of, with_spool):
    """Sessions for every N of 1 ... total, once and for a while, in LANES at a time."""
    numbers = [(number, ms) for number in range(1, total + 1) for ms in (0, FOR_A_WHILE_MS)]
    lanes = [Lane(number, with_spool) for number in range(LANES)]

    def work(lane):
        problems = []
        for number, ms in numbers[lane.number::LANES]:
            try:
                lane.session(f"{number}-{ms}", start_of(number, ms), may_be_mute=ms > 0)
            except Failure as problem:
                problems.append(str(problem))
            end_all(lane.scene)
        return problems
    try:
        with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
            problems = [problem for found in pool.map(work, lanes) for problem in found]
        row.attempts += len(numbers)
        for lane in lanes:
            for report in lane.reports:
                row.add_quietly(report)
    finally:
        for lane in lanes:
            lane.scene.done()
    check(not problems, f"{len(problems)} of {len(numbers)}:\n" + "\n".join(problems))


def end_all(scene):
    for process in scene.processes[2:]:  # all but the server and the proxy
        if process.running():
            process.kill()
    del scene.processes[2:]


def count_of(start_of, with_spool):
    """How many calls a session without a fault makes."""
    lane = Lane(0, with_spool)
    try:
        lane.session("count", start_of(0, 0))
        return told(lane.scene.path("told"))["eligible"]
    finally:
        lane.scene.done()


def failing_calls(row, with_spool):
    def start_of(number, ms):
        def start(scene, config):
            action = ("fail", number, ms) if number else ("count",)
            prefix, out = injected(scene, *action)
            prefix[1] = scene.path("told") if not number else out
            return scene.sidecar(0, config=config, up=False, prefix=prefix)
        return start
    total = count_of(start_of, with_spool)
    row.notes["system_calls"] = total
    exhaust(row, total + 5, start_of, with_spool)


def failing_allocations(row, with_spool):
    program = SANITIZED if os.path.exists(SANITIZED) else harness.helper("aistraced_failing")

    def start_of(number, ms):
        def start(scene, config):
            env = {"FAIL_ALLOC": f"{number},{ms},{scene.path('told')}", "ASAN_OPTIONS": "detect_leaks=1:exitcode=99"}
            return scene.sidecar(0, config=config, up=False, program=program, env=env)
        return start
    total = count_of(start_of, with_spool)
    row.notes["allocations"] = total
    row.notes["sanitized"] = program == SANITIZED
    exhaust(row, total + 5, start_of, with_spool)


@fault(11, timeout_s=1800)
def test_every_system_call_of_the_daemon_fails_once_and_for_a_while(_scene, row):
    failing_calls(row, with_spool=False)


@fault(11, timeout_s=1800)
def test_every_system_call_of_the_daemon_that_spools_fails_once_and_for_a_while(_scene, row):
    failing_calls(row, with_spool=True)


@fault(11, timeout_s=1800)
def test_every_allocation_of_the_daemon_fails_once_and_for_a_while(_scene, row):
    failing_allocations(row, with_spool=False)


@fault(11, timeout_s=1800)
def test_every_allocation_of_the_daemon_that_spools_fails_once_and_for_a_while(_scene, row):
    failing_allocations(row, with_spool=True)
