# SPDX-License-Identifier: MIT
"""Fault 12: no room for rings, and segments that are cut or scribbled over while they are in use."""

import mmap
import os
import random
import signal
import subprocess
import time

from accounting import wait_settled
from harness import check, check_equal, gen_result, wait_for
from oracle import Producer
from rows import check_nothing_dropped, fault

RING_BYTES = 256 << 10


def small_tmpfs(scene, size):
    os.mkdir(scene.ring_dir, 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", scene.ring_dir], check=True)


def lines_with(process, text):
    return [line for line in process.stderr().splitlines() if text in line]


@fault(12, namespaces=("mount",))
def test_threads_without_room_for_a_ring_are_counted_and_warned_of_once(scene, row):
    small_tmpfs(scene, "2560k")  # of which rings may have a quarter
    server = scene.server("count")
    oracle = scene.oracle()
    sidecar = scene.sidecar(server.port)
    generator = scene.gen(threads=6, rate=6_000, count=12_000, ring_size=RING_BYTES, env={"AIS_TRACING_DEBUG": "1"})
    committed = gen_result(generator)["committed"]
    metrics = wait_settled(sidecar, committed)
    row.attempts = 6
    report = oracle.report([Producer.of_gen(generator)], [server], metrics)
    row.add(report)
    check({"no_memory"} <= report.dropped().keys() <= {"no_memory", "ring_full"}, f"dropped {report.dropped()}")
    check(committed > 0, "threads that had room are traced")
    check_equal(len(lines_with(generator, "a thread has no ring")), 1, "warnings of the program")
    check_equal(len(lines_with(sidecar, "(no_memory)")), 1, "warnings of the daemon")


@fault(12, namespaces=("mount",))
def test_a_program_without_room_for_a_segment_runs_on_and_counts(scene, row):
    small_tmpfs(scene, "64k")
    server = scene.server("count")
    oracle = scene.oracle()
    sidecar = scene.sidecar(server.port)
    with open(os.path.join(scene.ring_dir, "filler"), "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    generator = scene.gen(threads=2, count=2_000)
    result = gen_result(generator)
    row.attempts = 1
    report = oracle.report([Producer.of_gen(generator)], [server], sidecar.metrics())
    report.problems = [text for text in report.problems if "producer_dropped" not in text]  # it has no segment to tell
    row.add(report)
    check_equal((result["committed"], result["dropped"]["no_segment"]), (0, 2_000), "committed, recorded nowhere")
    check_equal(len(lines_with(generator, "no segment")), 1, "warnings of the program")


@fault(12, namespaces=("mount",))
def test_a_state_file_without_room_delays_farewells_and_counts_once(scene, row):
    small_tmpfs(scene, "2m")
    server = scene.server("count")
    oracle = scene.oracle()
    sidecar = scene.sidecar(server.port)
    # Killed, for a program that ends by itself gives memory back, in which the state file would find room.
    generators = [scene.gen(threads=1, rate=500, count=500, holds_all=True, attributes=2, linger=3600) for _ in range(3)]
    wait_for(lambda: len(scene.segments()) == 3, "three segments")
    filler = os.path.join(scene.ring_dir, "filler")
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    wait_settled(sidecar, 1500)
    for generator in generators:
        generator.signal(signal.SIGKILL)
        generator.wait()
    wait_for(lambda: lines_with(sidecar, "finished segments stay"), "the warning of the daemon")
    check_equal(len(scene.segments()), 3, "segments that stay")
    metrics = wait_settled(sidecar, 1500)
    oracle.report(list(map(Producer.of_gen, generators)), [server], metrics).check()
    os.unlink(filler)
    wait_for(lambda: not scene.segments(), "the segments are gone")
    row.attempts = 1
    report = oracle.report(list(map(Producer.of_gen, generators)), [server], sidecar.metrics())
    row.add(report)
    check_nothing_dropped(report)
    check_equal(len(lines_with(sidecar, "finished segments stay")), 1, "warnings of the daemon")


def segment_of(scene, process):
    """Path of a producer's segment, by its pid in the header."""
    def find():
        for name in scene.segments():
            with open(os.path.join(scene.ring_dir, name), "rb") as file:
                if int.from_bytes(os.pread(file.fileno(), 4, 120), "little") == process.pid:
                    return os.path.join(scene.ring_dir, name)
        return None
    return wait_for(find, "the segment")


def end_victim(victim):
    """A producer whose segment was damaged may die of it; what it did is its own affair."""
    victim.signal(signal.SIGKILL)
    victim.wait()


def others_are_intact(scene, row, damage, victims=4):
    """damage(path, number) of live segments, while another producer works."""
    server = scene.server("count")
    oracle = scene.oracle()
    sidecar = scene.sidecar(server.port, aistraced={"flush_interval": "50ms"})
    other = scene.gen(threads=2, rate=10_000, duration="60m", ring_size=64 << 20)
    hostile = [scene.gen(threads=2, rate=10_000, duration="60m", ring_size=RING_BYTES) for _ in range(victims)]
    paths = [segment_of(scene, victim) for victim in hostile]
    oracle.hold()
    wait_for(lambda: sidecar.metrics().value("aistrace_spans_exported_total") > 2_000, "spans exported")
    for number, path in enumerate(paths):
        damage(path, number)
        row.attempts += 1
        check(sidecar.running(), f"the daemon survives ({sidecar.popen.returncode})")
    time.sleep(0.5)
    for victim in hostile:
        end_victim(victim)
    other.signal(signal.SIGTERM)
    committed = gen_result(other)["committed"]
    ours = Producer.of_gen(other)
    wait_for(lambda: set(ours.log) <= set(server.span_ids()), f"all {committed} spans of the other arrive")
    wait_for(lambda: sidecar.metrics().value("aistrace_segments_quarantined_total") > 0, "segments are quarantined")
    pids = [victim.pid for victim in hostile]
    wait_for(lambda: oracle.report([ours], [server], hostile=pids).total("in_ring") == 0, "the other's are settled")
    report = oracle.report([ours], [server], hostile=pids)
    row.add(report)
    check_nothing_dropped(report)
    return sidecar


@fault(12)
def test_a_truncated_segment_is_quarantined_and_others_are_intact(scene, row):
    def cut(path, number):
        with open(path, "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            os.ftruncate(file.fileno(), (0, 4096, 28 << 10, size - RING_BYTES // 2)[number])
        time.sleep(0.3)
    others_are_intact(scene, row, cut)


@fault(12)
def test_a_producer_scribbling_over_its_segment_disturbs_no_other(scene, row):
    def scribble(path, number):
        chance = random.Random(number)
        with open(path, "r+b") as file:
            size = min(os.fstat(file.fileno()).st_size, (48 << 10) + 2 * RING_BYTES)
            with mmap.mmap(file.fileno(), size) as memory:
                for _ in range(20_000):
                    # mostly where the producer's and the daemon's words are: counters, positions, ledgers
                    at = chance.randrange(20 << 10, 48 << 10) if chance.random() < 0.3 else chance.randrange(48 << 10, size)
                    at &= ~7
                    memory[at:at + 8] = chance.choice((chance.randbytes(8), b"\xff" * 8, bytes(8)))
    others_are_intact(scene, row, scribble)
