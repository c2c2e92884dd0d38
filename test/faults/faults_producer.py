# SPDX-License-Identifier: MIT
"""Faults 1, 2 and 13: producers that are killed, stopped, that fork, exec, and come and go."""

import os
import signal

import harness
from accounting import RingState, wait_settled
from harness import Skip, check, check_equal, gen_result, wait_for
from inject import at, injected
from oracle import Producer
from rows import check_nothing_dropped, fault

LINE_BYTES = 28  # of attempt_log.h
POINTS = ("logged", "begun", "middle", "filled", "published")


def logged_producers(process, killed=()):
    """-> [Producer] of a log of attempt_log.h, one a pid; of the killed the last span may not have begun."""
    logs = {}
    with open(process.log_path, "rb") as file:
        for line in file:
            pid, span_id = line[-LINE_BYTES:].split()  # a kill may have torn the line before, whose call never began
            logs.setdefault(int(pid), {})[span_id] = True
    return [Producer(f"process {pid}", [pid], log, killed_threads=int(pid in killed)) for pid, log in logs.items()]


def stepped_producers(process):
    """-> ([Producer], {pid: (begun, published)}, {"steps": N, "begun": B, "published": P}) of its log and output."""
    lines = process.stdout().splitlines()
    course = dict(zip(lines[0].split()[::2], map(int, lines[0].split()[1::2])))
    stepped = {int(pid): (int(begun), int(published)) for pid, _, begun, published in map(str.split, lines[1:])}
    learner = next(iter(stepped))
    producers = logged_producers(process, killed=stepped.keys() - {learner})
    return producers, stepped, course


def start_logged(scene, program, *arguments):
    """step_producer or storm_producer, with a log of its own."""
    scene.logged = getattr(scene, "logged", 0) + 1
    log_path = scene.path(f"{program}-{scene.logged}.log")
    process = scene.start(program, [harness.helper(program), scene.ring_dir, scene.held_dir, log_path, *arguments])
    process.log_path = log_path
    return process


def start_stepper(scene, *arguments):
    return start_logged(scene, "step_producer", *arguments)


def end_of_stepper(process):
    status = process.wait()
    if status == 77:
        raise Skip("ptrace is not allowed here")
    check_equal(status, 0, f"exit of the stepper ({process.stderr()})")


def check_whole(server):
    """No torn span: each that was stepped through has all it was given."""
    for _, request in server.requests():
        for block in request.resource_spans:
            for span in block.scope_spans[0].spans:
                values = {a.key: a.value for a in span.attributes}
                check(span.name == "stepped" and values["text"].string_value == "some thirty bytes of payload.." and
                      values["number"].int_value == 7 and span.end_time_unix_nano >= span.start_time_unix_nano,
                      f"a torn span: {span}")


def check_course(report, stepped):
    """Each producer's figures are those of the instruction it was killed at: that is, all three kinds."""
    kinds = set()
    for account in report.accounts:
        begun, published = stepped[int(account.name.split()[1])]
        kinds.add((begun, published))
        check_equal((account.committed, account.dropped["interrupted"]), (2 + published, begun - published),
                    f"committed and interrupted of {account.name}, killed with begun {begun}, published {published}")
    check_equal(kinds, {(0, 0), (1, 0), (1, 1)}, "how far producers were when they were killed")


@fault(1)
def test_a_producer_killed_at_any_instruction_of_a_span_leaves_exact_counts(scene, row):
    server = scene.server("parse")
    oracle = scene.oracle()
    sidecar = scene.sidecar(server.port, aistraced={"flush_interval": "20ms"})
    stepper = start_stepper(scene, "kill", "every", 1)
    end_of_stepper(stepper)
    wait_for(lambda: not scene.segments(), "the dead producers' segments are gone")
    producers, stepped, course = stepped_producers(stepper)
    report = oracle.report(producers, [server], sidecar.metrics())
    row.attempts = len(producers) - 1
    row.notes = course
    row.add(report)
    check_course(report, stepped)
    check_whole(server)


# Where a daemon is killed while it books and removes what a dead producer left.
DAEMON_POINTS = ("shmring_reader_fill", "batch_seal", "shmring_reader_commit", "segment_add_to_totals", "totals_note")


@fault(1)
def test_producer_and_daemon_killed_in_pairs_at_named_points_lose_and_tear_nothing(scene, row):
    server = scene.server("parse")
    oracle = scene.oracle()
    config = scene.config(server.port, aistraced={"flush_interval": "10ms"})
    steppers, may_repeat = [], set()
    for daemon_point in DAEMON_POINTS:
        for point in POINTS:
            prefix, _ = injected(scene, *at(daemon_point))
            sidecar = scene.sidecar(server.port, config=config, up=False, prefix=prefix)
            stepper = start_stepper(scene, "kill", point)
            end_of_stepper(stepper)
            check_equal(sidecar.wait(), -signal.SIGKILL, f"end of the daemon at {daemon_point}")
            may_repeat |= RingState(scene).unreleased
            steppers.append(stepper)
            row.attempts += 1
    sidecar = scene.sidecar(server.port, config=config)
    wait_for(lambda: not scene.segments(), "the dead producers' segments are gone")
    producers = [producer for stepper in steppers for producer in stepped_producers(stepper)[0]]
    row.add(oracle.report(producers, [server], sidecar.metrics(), may_repeat))
    check_whole(server)


@fault(2)
def test_a_producer_stopped_in_mid_write_disturbs_no_other(scene, row):
    server = scene.server("count")
    oracle = scene.oracle()
    sidecar = scene.sidecar(server.port)
    steppers = []
    for point in POINTS:
        stepper = start_stepper(scene, "stop", point)
        stepper.stopped = int(wait_for(lambda s=stepper: s.stdout().splitlines()[2:], "stopped")[0].split()[0])
        steppers.append(stepper)
    other = scene.gen(threads=2, rate=20_000, count=40_000, holds_all=True)
    gen_result(other)
    wait_for(lambda: sidecar.metrics().value("aistrace_spans_exported_total") >= 40_000 + 5 * 5,
             "the other's spans are exported while the producers are stopped")
    check_equal(set(other_ids := server.span_ids()) >= set(harness.gen_log(other)), True, "the other's spans arrived")
    check_equal(len(set(other_ids)), len(other_ids), "distinct spans")
    for stepper in steppers:
        check(stepper.running(), "a producer is still stopped")
        os.kill(stepper.stopped, signal.SIGCONT)
        end_of_stepper(stepper)
    metrics = wait_settled(sidecar, 40_000 + 5 * 6)
    wait_for(lambda: not scene.segments(), "the segments are gone")
    row.attempts = len(POINTS)
    producers = [p for stepper in steppers for p in stepped_producers(stepper)[0]]
    for producer in producers:
        producer.killed_threads = 0
    row.add(oracle.report([Producer.of_gen(other), *producers], [server], metrics))


def storm(scene, row, mode, count, spans, all_killed=False, aistraced=None):
    """A storm_producer with the daemon at work. -> Report"""
    server = scene.server("count")
    oracle = scene.oracle()
    sidecar = scene.sidecar(server.port, aistraced=aistraced)
    process = start_logged(scene, "storm_producer", mode, count, spans)
    check_equal(process.wait(), 0, f"exit of the producers ({process.stderr()})")
    producers = logged_producers(process)
    for producer in producers:
        producer.killed_threads = int(all_killed)
    wait_for(lambda: not scene.segments(), "the segments are gone")
    row.attempts += count
    report = oracle.report(producers, [server], sidecar.metrics())
    row.add(report)
    return report, oracle.state()


@fault(13)
def test_children_of_a_fork_are_counted_each_on_its_own(scene, row):
    report, _ = storm(scene, row, "fork", 200, 50)
    check_nothing_dropped(report)
    check_equal(sorted({account.committed for account in report.accounts}), [50, 200 * 51 + 50],
                "committed by children and parent")


@fault(13)
def test_children_killed_while_they_write_are_counted_each_on_its_own(scene, row):
    report, _ = storm(scene, row, "killed", 200, 20, all_killed=True)
    check(report.dropped().get("interrupted", 0) <= 200, "at most one interrupted span a child")


@fault(13)
def test_a_program_that_executes_itself_begins_a_new_segment_and_loses_none(scene, row):
    report, state = storm(scene, row, "exec", 20, 50)
    check_nothing_dropped(report)
    check_equal(sorted(slot["committed"] for slot in state.slots), [50] * 21, "committed in each segment")


@fault(13)
def test_more_threads_than_slots_are_counted_to_the_span(scene, row):
    report, _ = storm(scene, row, "threads", 400, 100)
    check_equal(report.total("attempted"), 40_000, "attempted")
    check(set(report.dropped()) in ({"no_slot"}, {"no_slot", "ring_full"}), f"dropped {report.dropped()}")


@fault(13)
def test_threads_one_after_another_share_a_slot(scene, row):
    report, state = storm(scene, row, "short", 1000, 20)
    check_nothing_dropped(report)
    check_equal(len(state.slots), 1, "slots used")


@fault(13, namespaces=("pid",))
def test_a_pid_that_comes_round_again_is_another_producer(scene, row):
    report, state = storm(scene, row, "reuse", 50, 40)
    check_nothing_dropped(report)
    check_equal(len(report.accounts), 1, "pids")
    check_equal([slot["committed"] for slot in state.slots], [40] * 50, "committed in each segment")
