# SPDX-License-Identifier: MIT
"""Faults 5 and 8: the endpoint stops, vanishes, crawls, dies and moves."""

import os
import random
import re
import signal
import subprocess
import time

import harness
from accounting import RingState, wait_settled
from harness import check, check_equal, gen_result, wait_for
from oracle import Producer
from rows import FULL, check_nothing_dropped, fault

HERE = os.path.dirname(os.path.abspath(__file__))
RATE = 50_000
RING_BYTES = 64 << 20
MAY_HOLD = re.compile(r"memory for requests at most ([0-9.]+) MiB")
SLACK_KIB = 4096
NO_RETRY = {"retry": {"initial": "10m", "max": "60m"}}  # only a new connection makes anything due within a test's time


def own_memory_kib(process):
    """Without what is mapped from the rings, which is the producers'."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))


def idle(process):
    """Does it take next to no processor time for a second? It may be kept from it: then it is asked again."""
    def ticks():
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
            return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
    before = ticks()
    time.sleep(1)
    return ticks() - before <= 5


class Proxy:
    """proxy.py between sidecar and server."""

    def __init__(self, scene, port, listen="127.0.0.1:0"):
        self.path = scene.path(f"mode-{listen}")
        self.mode("pass")
        self.process = scene.start("proxy", ["/usr/bin/python3", os.path.join(HERE, "proxy.py"), "--listen", listen,
                                             "--to", port, "--mode", self.path])
        self.port = int(wait_for(self.process.stdout, "proxy listening").split()[-1])

    def mode(self, mode):
        with open(self.path + ".new", "w", encoding="ascii") as file:
            file.write(mode)
        os.rename(self.path + ".new", self.path)


def makes_no_system_call(scene):
    """A producer whose rings are full makes none between its first span and its last (helper client_quiet)."""
    out = scene.path("calls")
    result = subprocess.run(["strace", "-f", "-o", out, harness.helper("client_quiet"), scene.ring_dir],
                            capture_output=True, text=True, check=False)
    check_equal(result.returncode, 0, f"exit of the producer ({result.stderr[-300:]})")
    ring_full = int(re.search(r"ring_full (\d+)", result.stdout).group(1))
    check(ring_full > 50_000, f"its ring was full ({ring_full} dropped)")
    calls, thread = None, None
    with open(out, encoding="utf-8") as file:
        for line in file:
            if '"BEGIN\\n"' in line:
                thread, calls = line.split()[0], []
            elif '"END\\n"' in line:
                break
            elif calls is not None and line.split()[0] == thread:
                calls.append(line)
    check_equal(calls, [], "system calls of a producer between its first span and its last")


def outage(scene, row, server, port, away, back, duplicates=False):
    """away() and back() make the endpoint vanish and return, with producers at work. Their rings hold far more than the
    daemon may, so that it is its own bound that keeps it small."""
    oracle = scene.oracle()
    sidecar = scene.sidecar(port, aistraced={"timeout": "1s", "spool": {"max_bytes": 0}})
    allowed = float(wait_for(lambda: MAY_HOLD.search(sidecar.stderr()), "the daemon says what it may hold").group(1))
    generator = scene.gen(threads=2, rate=RATE, duration="60m", ring_size=RING_BYTES)
    wait_for(lambda: sidecar.metrics().value("aistrace_spans_exported_total") > RATE / 10, "spans exported")
    before = own_memory_kib(sidecar)
    away()
    row.attempts += 1

    def wait_for_unread(mib):
        wait_for(lambda: RingState(scene).unreleased_bytes() > mib * (1 << 20), f"{mib:.0f} MiB in the rings", interval_s=0.5)
    wait_for_unread(allowed)  # what was on the wire is over by then
    exported = sidecar.metrics().value("aistrace_spans_exported_total")
    wait_for_unread(3 * allowed)
    wait_for(lambda: idle(sidecar), "the daemon has taken what it takes")
    grown = own_memory_kib(sidecar) - before
    check_equal(sidecar.metrics().value("aistrace_spans_exported_total"), exported, "exported while the endpoint is away")
    back()
    generator.signal(signal.SIGTERM)
    committed = gen_result(generator)["committed"]
    metrics = wait_settled(sidecar, committed)
    may_repeat = set(harness.gen_log(generator)) if duplicates else None
    report = oracle.report([Producer.of_gen(generator)], [server], metrics, may_repeat)
    row.notes.update(grown_kib=grown, own_kib=before, allowed_kib=allowed * 1024)
    row.add(report)
    check(grown < allowed * 1024 + SLACK_KIB, f"the daemon grew by {grown} KiB, and may by {allowed * 1024:.0f} KiB")
    check(report.dropped().keys() <= {"ring_full"}, f"dropped {report.dropped()}")
    away()
    sidecar.signal(signal.SIGSTOP)  # its spool would make room
    makes_no_system_call(scene)
    back()
    sidecar.kill()


@fault(5, programs=("strace",))
def test_an_endpoint_that_is_stopped_blocks_no_producer_and_costs_no_memory(scene, row):
    server = scene.server("count")
    outage(scene, row, server, server.port, lambda: server.process.signal(signal.SIGSTOP),
           lambda: server.process.signal(signal.SIGCONT), duplicates=True)


@fault(5, programs=("strace",))
def test_an_endpoint_that_swallows_everything_blocks_no_producer_and_costs_no_memory(scene, row):
    server = scene.server("count")
    proxy = Proxy(scene, server.port)
    outage(scene, row, server, proxy.port, lambda: proxy.mode("hole"), lambda: proxy.mode("pass"), duplicates=True)


@fault(5, programs=("strace",))
def test_an_endpoint_that_takes_a_byte_a_second_blocks_no_producer_and_costs_no_memory(scene, row):
    server = scene.server("count")
    proxy = Proxy(scene, server.port)
    outage(scene, row, server, proxy.port, lambda: proxy.mode("trickle"), lambda: proxy.mode("pass"), duplicates=True)


def run(*command):
    subprocess.run(command, check=True)


@fault(5, namespaces=("net",), programs=("ip", "strace"))
def test_an_endpoint_in_a_black_hole_blocks_no_producer_and_costs_no_memory(scene, row):
    """Packets to its address go to an interface that is not theirs: no connection, no refusal."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "hole", "type", "veth", "peer", "name", "far")
    run("ip", "addr", "add", "198.51.100.1/24", "dev", "hole")
    run("ip", "link", "set", "hole", "up")
    run("ip", "link", "set", "far", "up")
    run("ip", "neigh", "add", "198.51.100.2", "lladdr", "02:00:00:00:00:02", "dev", "hole", "nud", "permanent")
    server = scene.server("count")
    proxy = Proxy(scene, server.port, "0.0.0.0:4317")

    def back():
        run("ip", "addr", "add", "198.51.100.2/32", "dev", "lo")

    def away():
        run("ip", "addr", "del", "198.51.100.2/32", "dev", "lo")
        proxy.process.kill()  # whoever was connected is connected to nothing
        proxy.__init__(scene, server.port, "0.0.0.0:4317")
    back()
    config = scene.config(4317, {"exporter_endpoint": "http://198.51.100.2:4317"})
    config["aistraced"].update(timeout="1s", spool={"max_bytes": 0})
    scene.config = lambda *_: config
    outage(scene, row, server, 4317, away, back, duplicates=True)


# ---- fault 8


def connected_at(port):
    """Waits for an established connection to the port. -> Unix time, to 5 ms"""
    wanted = f":{port:04X} 01 "

    def established():
        with open("/proc/net/tcp", encoding="ascii") as file:
            return any(re.match(rf" *\d+: \S+ \S+{wanted}", line) for line in file)
    wait_for(established, f"a connection to port {port}", interval_s=0.005)
    return time.time()


def first_arrival(server):
    """-> Unix time of a server's first request, once there is one"""
    import otlp_server
    return wait_for(lambda: next((arrival for arrival, _ in otlp_server.frames(server.out)), None),
                    "a request after the endpoint's return") / 1e9


def returns(scene, port, servers, **options):
    """Starts a server where one was killed, with a file of its own (the last request of a killed one may be torn), and
    adds it to servers. -> seconds from the first connection to the first request"""
    servers.append(scene.server("count", port, out=scene.path(f"received-{len(servers)}"), **options))
    connected = connected_at(port)
    return max(0.0, first_arrival(servers[-1]) - connected)


@fault(8)
def test_an_endpoint_killed_and_restarted_in_a_loop_gets_everything_soon(scene, row):
    slowly = {"delay_ms": 500}  # so that each kill meets a request that has been received and is not answered
    servers = [scene.server("count", **slowly)]
    port = servers[0].port
    oracle = scene.oracle()
    sidecar = scene.sidecar(port, aistraced=NO_RETRY)
    generator = scene.gen(threads=2, rate=5_000, duration="60m", ring_size=RING_BYTES)
    chance = random.Random(8)
    delays = []
    for _ in range(30 if FULL else 10):
        wait_for(lambda: sidecar.metrics().value("aistrace_spans_exported_total") > 0, "spans exported")
        time.sleep(chance.random())
        size = os.path.getsize(servers[-1].out)
        wait_for(lambda s=size: os.path.getsize(servers[-1].out) > s, "a request", interval_s=0.005)
        servers[-1].process.kill()
        time.sleep(chance.choice((0, 0.2, 1.5)))
        delays.append(returns(scene, port, servers, **slowly))
        row.attempts += 1
    generator.signal(signal.SIGTERM)
    metrics = wait_settled(sidecar, gen_result(generator)["committed"])
    report = oracle.report([Producer.of_gen(generator)], servers, metrics, may_repeat=set(harness.gen_log(generator)))
    row.notes["longest_from_connection_to_request_s"] = round(max(delays), 3)
    row.add(report)
    check_nothing_dropped(report)


# A name is asked for at most every half minute, so this takes its time.
@fault(8, namespaces=("mount",))
def test_an_endpoint_that_moves_to_another_address_gets_everything(scene, row):
    hosts = scene.path("hosts")

    def moves_to(address):
        with open(hosts, "w", encoding="ascii") as file:
            file.write(f"127.0.0.1 localhost\n{address} collector.test\n")
    moves_to("127.0.0.2")
    run("mount", "--bind", hosts, "/etc/hosts")
    server = scene.server("count")
    port = harness.free_port()
    proxy = Proxy(scene, server.port, f"127.0.0.2:{port}")
    oracle = scene.oracle()
    config = scene.config(port, {"exporter_endpoint": f"http://collector.test:{port}"})
    sidecar = scene.sidecar(port, config=config)
    generator = scene.gen(threads=2, rate=1_000, duration="60m", ring_size=16 << 20)
    for number in range(3, 6 if FULL else 5):
        wait_for(lambda: sidecar.metrics().value("aistrace_spans_exported_total") > 0, "spans exported")
        proxy.process.kill()
        moves_to(f"127.0.0.{number}")
        proxy = Proxy(scene, server.port, f"127.0.0.{number}:{port}")
        size = os.path.getsize(server.out)
        wait_for(lambda s=size: os.path.getsize(server.out) > s, f"a request at 127.0.0.{number}")
        row.attempts += 1
    generator.signal(signal.SIGTERM)
    metrics = wait_settled(sidecar, gen_result(generator)["committed"])
    report = oracle.report([Producer.of_gen(generator)], [server], metrics, may_repeat=set(harness.gen_log(generator)))
    row.add(report)
    check_nothing_dropped(report)
