# SPDX-License-Identifier: MIT
"""Faults 9 and 10, and what the spool promises of 3, 5 and 8: outages, kills, full and failing disks, damaged files."""

import bisect
import errno
import glob
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import harness
from accounting import RingState, wait_settled
from faults_endpoint import NO_RETRY, Proxy, own_memory_kib, returns
from faults_protocol import end_to_end_test
from harness import check, check_equal, gen_result, wait_for
from inject import injected, told
from oracle import Producer
from rows import FULL, check_nothing_dropped, fault

RATE = 20_000
RING_BYTES = 4 << 20
LONG_RING_BYTES = 32 << 20  # ten seconds of the outage's rate, should the daemon get no processor
# The acceptance of the spool: how long the endpoint is away, spans a second, the spool's bound.
OUTAGE_S, OUTAGE_RATE, OUTAGE_SPOOL = (600, 5_000, "1GiB") if FULL else (60, 20_000, "512MiB")
OWN_MAX_KIB = 16 << 10  # of the daemon's memory, beside the mapped rings


def on_disk():
    """A directory on a disk, for as long as the test runs."""
    return harness.elsewhere(tempfile.mkdtemp(prefix="aistrace-faults-", dir=os.environ.get("SPOOL_DIR", "/var/tmp")))


def spool(directory, max_bytes="64MiB", **options):
    return {"spool": {"dir": os.path.join(directory, "spool"), "max_bytes": max_bytes}, **options}


def spooled(sidecar):
    metrics = sidecar.try_metrics()
    return metrics.value("aistrace_spans_spooled") if metrics else 0


def ends(generator):
    """Ends a generator that would go on. -> spans committed"""
    generator.signal(signal.SIGTERM)
    return gen_result(generator)["committed"]


def report_of(oracle, generators, servers, sidecar, may_repeat=None):
    """Ends the producers, waits until everything is accounted for and the spool is empty. -> Report"""
    committed = sum(map(ends, generators))
    wait_settled(sidecar, committed)
    wait_for(lambda: spooled(sidecar) == 0, "the spool is empty")
    return oracle.report(list(map(Producer.of_gen, generators)), servers, sidecar.metrics(), set(may_repeat or ()))


def settle(row, oracle, generators, server, sidecar, may_repeat=None):
    """As report_of, and adds it to the row."""
    report = report_of(oracle, generators, [server], sidecar, may_repeat)
    row.add(report)
    return report


def copy(source, target):
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True)


# ---- faults 3 and 4, with a spool


@fault(3, timeout_s=1200)
def test_the_daemon_killed_200_times_with_the_spool_on_loses_nothing(scene, row):
    server = scene.server("count")
    proxy = Proxy(scene, server.port)
    oracle = scene.oracle()
    config = scene.config(proxy.port, aistraced=spool(on_disk(), "512MiB", flush_interval="20ms"))
    generators = [scene.gen(threads=2, rate=5_000, duration="30m", ring_size=512 << 10) for _ in range(2)]
    chance = random.Random(33)
    for cycle in range(1000 if FULL else 200):
        if cycle % 10 == 0:
            proxy.mode("cut" if cycle % 20 == 0 else "pass")
        sidecar = scene.sidecar(proxy.port, config=config, up=False)
        time.sleep(chance.choice((0.005, 0.05, 0.2, 0.6, 1.0)) * chance.random())
        check_equal(sidecar.kill(), -signal.SIGKILL, "end of the daemon")
        row.attempts += 1
    proxy.mode("cut")
    sidecar = scene.sidecar(proxy.port, config=config)
    wait_for(lambda: spooled(sidecar) > 0, "spans in the spool")
    proxy.mode("pass")
    for generator in generators:
        ends(generator)
    report = settle(row, oracle, generators, server, sidecar, may_repeat=set(harness.gen_log(*generators)))
    row.notes["spooled_by_ledgers"] = report.total("spooled")
    check(report.total("spooled") > 0, "something went through the spool")
    check(report.dropped().keys() <= {"ring_full"}, f"dropped {report.dropped()}")


@fault(4)
def test_sigterm_with_the_endpoint_away_spools_the_rest_and_ends_clean(scene, row):
    server = scene.server("count")
    proxy = Proxy(scene, server.port)
    oracle = scene.oracle()
    config = scene.config(proxy.port, aistraced=spool(scene.directory, drain_deadline="5s"))
    proxy.mode("cut")
    generators = []
    for _ in range(5):
        generators.append(scene.gen(threads=2, count=2_000, ring_size=RING_BYTES, linger=3600))
        wait_for(generators[-1].stdout, "the generator's summary")
        sidecar = scene.sidecar(proxy.port, config=config)
        check_equal(sidecar.terminate(), 0, "exit of a daemon that has spooled what was left")
        last = sidecar.stderr().splitlines()[-1]
        left = re.search(r"in the spool (\d+), left in the rings (\d+)", last)
        check(left, f"the last line: {last!r}")
        check_equal((int(left.group(1)), int(left.group(2))), (2_000 * len(generators), 0), "in the spool, in the rings")
        row.attempts += 1
    proxy.mode("pass")
    report = settle(row, oracle, generators, server, scene.sidecar(proxy.port, config=config))
    check_equal(report.total("spooled"), 10_000, "spooled by the ledgers")
    check_nothing_dropped(report)


# ---- faults 5 and 8, with a spool


def arrivals(server):
    """{span id: Unix time of arrival}"""
    import otlp_server
    ids = iter(server.span_ids())
    return {next(ids): arrival / 1e9 for (arrival, _), (_, count) in zip(otlp_server.frames(server.out), server.sizes())
            for _ in range(count)}


@fault(8, timeout_s=1200)
def test_an_endpoint_away_for_a_minute_costs_no_span_and_little_memory(scene, row):
    """The acceptance of the spool. FULL: ten minutes."""
    directory = on_disk()
    servers = [scene.server("count")]
    port = servers[0].port
    oracle = scene.oracle()
    sidecar = scene.sidecar(port, aistraced=spool(directory, OUTAGE_SPOOL, **NO_RETRY))
    generator = scene.gen(threads=2, rate=OUTAGE_RATE, duration="60m", attributes=6, ring_size=LONG_RING_BYTES)
    wait_for(lambda: sidecar.metrics().value("aistrace_spans_exported_total") > OUTAGE_RATE, "spans exported")
    servers[0].process.kill()
    most = 0
    for _ in range(OUTAGE_S):
        time.sleep(1)
        most = max(most, own_memory_kib(sidecar))
    wait_for(lambda: spooled(sidecar) > OUTAGE_RATE * OUTAGE_S / 2, "the outage's spans in the spool")
    behind = spooled(sidecar)
    first = returns(scene, port, servers)
    live = scene.gen(threads=1, rate=200, count=400, linger=3600)
    wait_for(live.stdout, "the live spans are written")
    written = time.time()
    ends(generator)
    row.attempts = 1
    row.add(report_of(oracle, [generator, live], servers, sidecar, servers[0].span_ids()))
    log = harness.gen_log(live)
    came = arrivals(servers[1])
    last = max(when for span_id, when in came.items() if span_id in log)
    order = sorted(came.values())
    before, ahead = bisect.bisect_right(order, written), bisect.bisect_left(order, last)
    row.notes.update(spooled=int(behind), own_kib=most, first_request_s=round(first, 3), live_late_s=round(last - written, 3))
    check_equal(dict(row.dropped), {}, "dropped")
    check(most < OWN_MAX_KIB, f"{most} KiB of memory of its own")
    check(ahead <= before + (len(order) - before) / 2, f"the last live span came as number {ahead} of {len(order)}; "
          f"{before} had come when it was written")


@fault(5, programs=("strace",))
def test_a_spool_too_small_for_the_outage_counts_the_excess(scene, row):
    server = scene.server("count")
    proxy = Proxy(scene, server.port)
    oracle = scene.oracle()
    proxy.mode("cut")
    sidecar = scene.sidecar(proxy.port, aistraced=spool(scene.directory, "4MiB", max_batch_bytes="256KiB"))
    generator = scene.gen(threads=2, rate=RATE, count=RATE * 4, ring_size=256 << 10, linger=3600)
    wait_for(generator.stdout, "the generator's summary")
    row.attempts = 1
    check(sidecar.metrics().value("aistrace_spool_file_bytes") <= 4 << 20, "the spool is within its bound")
    proxy.mode("pass")
    report = settle(row, oracle, [generator], server, sidecar)
    check_equal(list(report.dropped()), ["ring_full"], "reasons")


@fault(5)
def test_a_sidecar_with_64_mib_survives_an_outage_with_the_default_spool(scene, row):
    limit = end_to_end_test("test_spool").MemoryLimit(64 << 20)
    server = scene.server("count")
    proxy = Proxy(scene, server.port)
    proxy.mode("cut")
    oracle = scene.oracle()
    with limit:
        sidecar = scene.sidecar(proxy.port)
    try:
        generator = scene.gen(threads=4, rate=2 * RATE, duration="60m", attributes=6)
        time.sleep(60 if FULL else 10)
        row.attempts = 1
        check(sidecar.running(), "the sidecar is alive")
        proxy.mode("pass")
        report = settle(row, oracle, [generator], server, sidecar)
        check(report.dropped().keys() <= {"ring_full"}, f"dropped {report.dropped()}")
        check_equal(sidecar.terminate(), 0, "exit")
    finally:
        sidecar.kill()
        limit.remove()


# ---- fault 9


class Trouble:
    """A spool that fills up during an outage, gets into trouble, and is well again."""

    def __init__(self, scene, row, directory):
        self.scene, self.row = scene, row
        self.server = scene.server("count", out=os.path.join(scene.ring_dir + ".received"))
        self.proxy = Proxy(scene, self.server.port)
        self.proxy.mode("cut")
        self.oracle = scene.oracle()
        self.config = scene.config(self.proxy.port, aistraced=spool(directory, max_batch_bytes="256KiB"))

    def start(self, prefix=()):
        self.sidecar = self.scene.sidecar(self.proxy.port, config=self.config, prefix=prefix)
        self.generator = self.scene.gen(threads=2, rate=RATE, duration="60m", ring_size=512 << 10)

    def rings_are_full(self):
        """The spool takes nothing."""
        dropped = self.sidecar.metrics().family("aistrace_spans_producer_dropped_total", "reason")
        return dropped.get("ring_full", 0) > 0

    def wait_until_it_goes_on(self):
        before = spooled(self.sidecar)
        wait_for(lambda: spooled(self.sidecar) > before + 1000, "spans go to the spool")

    def finish(self, says):
        """The endpoint returns: what was committed arrives, and what found no room is counted."""
        self.proxy.mode("pass")
        report = settle(self.row, self.oracle, [self.generator], self.server, self.sidecar)
        self.row.attempts += 1
        check(report.dropped().keys() <= {"ring_full"}, f"dropped {report.dropped()}")
        check(says in self.sidecar.stderr(), f"the log says {says!r}: {self.sidecar.stderr()[-500:]}")


def mounted(scene, size):
    """A tmpfs that fills up."""
    directory = scene.path("small")
    os.mkdir(directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory], check=True)
    return directory


@fault(9, namespaces=("mount",))
def test_a_full_disk_under_the_spool_is_counted_and_recovered_from(scene, row):
    directory = mounted(scene, "4m")
    trouble = Trouble(scene, row, directory)
    trouble.start()
    wait_for(trouble.rings_are_full, "rings fill up")
    subprocess.run(["mount", "-o", "remount,size=256m", directory], check=True)
    trouble.wait_until_it_goes_on()
    trouble.finish("No space left on device")


@fault(9, namespaces=("mount",))
def test_a_read_only_disk_is_an_error_at_start_and_what_waits_in_the_rings_is_delivered_later(scene, row):
    directory = mounted(scene, "64m")
    subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
    trouble = Trouble(scene, row, directory)
    refused = scene.sidecar(trouble.proxy.port, config=trouble.config, up=False)
    check_equal(refused.wait(), 78, "exit of a daemon whose spool is read-only")
    check("aistraced.spool.dir" in refused.stderr(), f"the key is named: {refused.stderr()}")
    subprocess.run(["mount", "-o", "remount,rw", directory], check=True)
    trouble.start()
    trouble.wait_until_it_goes_on()
    trouble.finish("")


@fault(9)
def test_no_descriptor_left_for_the_spool_is_counted_and_recovered_from(scene, row):
    trouble = Trouble(scene, row, scene.directory)
    trouble.start()
    pid = trouble.sidecar.pid
    wait_for(lambda: len(scene.segments()) == 1 and spooled(trouble.sidecar) > 0, "spans in the spool")
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))  # whatever is opened from now on fails
    time.sleep(2)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    trouble.wait_until_it_goes_on()
    trouble.finish("")


@fault(9)
def test_errors_of_the_disk_are_counted_and_recovered_from(scene, row):
    """Calls on the spool's files fail for a while: with EIO, and as on a file system that became read-only."""
    for call, error in (("pwritev", errno.EIO), ("fdatasync", errno.EIO), ("fallocate", errno.EIO),
                        ("openat", errno.EROFS), ("fsync", errno.EIO)):
        scene.other_rings(f"rings-{call}")
        trouble = Trouble(scene, row, scene.path(f"disk-{call}"))
        os.mkdir(scene.path(f"disk-{call}"))
        prefix, out = injected(scene, "error", call, error, 40 if call == "openat" else 2, 1500)
        trouble.start(prefix)
        trouble.wait_until_it_goes_on()
        time.sleep(2)
        trouble.wait_until_it_goes_on()
        trouble.finish("")
        trouble.sidecar.terminate()
        row.notes[call] = told(out)["failed"]


# ---- fault 10

RECORD_SPANS_MAX = 200  # of a batch of 16 KiB


@fault(10)
def test_every_prefix_and_every_changed_byte_of_a_spool_costs_at_most_the_record_hit(_scene, row):
    """The unit tests that try them all; the ledgers' side is the next row's."""
    for program in ("check_spool_format", "check_spool"):
        result = subprocess.run([harness.helper("unit/spool/" + program)], cwd=harness.ROOT, capture_output=True, text=True,
                                check=False)
        counted = re.search(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", result.stdout)
        check(result.returncode == 0 and counted, f"{program}: {result.stdout[-1000:]}")
        row.attempts += int(counted.group(1))


def spool_file(directory):
    return sorted(glob.glob(os.path.join(directory, "spool", "*.spool")))[0]


def used_bytes(directory):
    """Of the first file, up to the last byte that is not zero."""
    with open(spool_file(directory), "rb") as file:
        return len(file.read().rstrip(b"\0"))


def damage(directory, at, cut):
    """Everything from a byte on is zeros, as if it had never been written; or one bit of it is another."""
    with open(spool_file(directory), "r+b") as file:
        if cut:
            size = os.fstat(file.fileno()).st_size
            file.truncate(at)
            file.truncate(size)
            return
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes((byte ^ 1 << at % 8,)))


@fault(10)
def test_a_spool_cut_short_or_changed_anywhere_is_opened_and_its_loss_counted(scene, row):
    """Copies of rings and spool as a killed daemon left them, each damaged in one place."""
    server = scene.server("count", out=scene.path("none"))
    proxy = Proxy(scene, server.port)
    proxy.mode("cut")
    config = scene.config(proxy.port, aistraced=spool(scene.path("disk"), max_batch_bytes="16KiB"))
    os.mkdir(scene.path("disk"))
    sidecar = scene.sidecar(proxy.port, config=config)
    generator = scene.gen(threads=1, rate=RATE, duration="60m", ring_size="64KiB")
    wait_for(lambda: spooled(sidecar) > 1_000, "spans in the spool")
    sidecar.kill()
    ends(generator)
    committed = sum(slot["committed"] for slot in RingState(scene).slots)
    rings, disk = scene.ring_dir, scene.path("disk")
    used = used_bytes(disk)
    chance, losses = random.Random(10), {True: 0, False: 0}
    for number in range(400 if FULL else 60):
        scene.other_rings(f"rings-{number}")
        shutil.rmtree(scene.held_dir)
        copy(rings, scene.ring_dir)
        copy(disk, scene.path("disk-copy"))
        at, cut = chance.randrange(used), number % 2 == 0
        damage(scene.path("disk-copy"), at, cut)
        server = scene.server("count", out=scene.path(f"received-{number}"))
        oracle = scene.oracle()
        config = scene.config(server.port, aistraced=spool(scene.path("disk-copy"), flush_interval="5ms"))
        config["aistraced"]["spool"]["dir"] = os.path.join(scene.path("disk-copy"), "spool")
        sidecar = scene.sidecar(server.port, config=config)
        wait_settled(sidecar, committed)
        wait_for(lambda s=sidecar: spooled(s) == 0, "the spool is empty")
        report = oracle.report([Producer.of_gen(generator)], [server], sidecar.metrics())
        row.attempts += 1
        row.add(report)
        check(report.dropped().keys() <= {"spool_corrupt", "ring_full"}, f"dropped {report.dropped()}")
        lost = report.dropped().get("spool_corrupt", 0)
        check(cut or lost <= RECORD_SPANS_MAX, f"bit of byte {at} changed: {lost} spans lost, more than a record has")
        losses[cut] = max(losses[cut], lost)
        sidecar.kill()
        server.process.kill()
        oracle.close()
        scene.oracles.remove(oracle)
        shutil.rmtree(scene.ring_dir)
        shutil.rmtree(scene.path("disk-copy"))
    row.notes.update(most_lost_by_a_cut=losses[True], most_lost_by_a_bit=losses[False])
