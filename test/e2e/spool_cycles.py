# SPDX-License-Identifier: MIT
"""The sidecar killed in cycles, the endpoint coming and going, with a spool: nothing committed is lost."""

import random
import time

import harness
from accounting import check_identity, dropped, producer_dropped, wait_settled
from harness import check, check_equal, gen_log, gen_result, wait_for

RATE_PER_PROCESS = 10_000


def check_nothing_lost(generators, results, servers, metrics):
    """Every committed span has arrived, and every figure agrees. -> {attempted, committed, exported, duplicates,
    dropped, residual}"""
    log = gen_log(*generators)
    committed = sum(result["committed"] for result in results)
    lost = dropped(results)
    received = [span_id for server in servers for span_id in server.span_ids()]
    distinct = set(received)
    check_equal(len(log), committed + sum(lost.values()), "attempted = committed + dropped")
    check_equal(producer_dropped(metrics), lost, "dropped by producers, by /metrics and by themselves")
    check(distinct <= log.keys(), "a span was received that was never attempted")
    check_equal(len(distinct), committed, "committed spans that arrived")
    check_equal(metrics.value("aistrace_spans_committed_total"), committed, "committed by /metrics")
    check_equal(metrics.value("aistrace_spans_exported_total"), committed, "exported")
    check_identity(metrics)
    return {"attempted": len(log), "committed": committed, "exported": len(distinct),
            "duplicates": len(received) - len(distinct), "dropped": lost, "residual": committed - len(distinct)}


def kill_cycles(scene, aistraced, cycles, processes=2, seed=None):
    """SIGKILLs the sidecar `cycles` times at random moments, the endpoint being away half of the time. -> as
    check_nothing_lost"""
    chance = random.Random(seed)
    servers = [scene.server("count")]  # each with a file of its own: a killed one leaves its last request torn
    port = servers[0].port
    config = scene.config(port, aistraced=aistraced)

    def serve():
        servers.append(scene.server("count", port, out=scene.path(f"received-{len(servers)}")))

    generators = [scene.gen(threads=2, rate=RATE_PER_PROCESS, duration="60m", attributes=6) for _ in range(processes)]
    sidecar = scene.sidecar(port, config=config)
    up = True
    for _ in range(cycles):
        if up:
            servers[-1].process.kill()
        else:
            serve()
        up = not up
        time.sleep(chance.uniform(0.05, 1.0))
        metrics = sidecar.try_metrics()
        if metrics:
            check_identity(metrics)
        sidecar.kill()
        sidecar = scene.sidecar(port, config=config)
    if not up:
        serve()
    wait_for(lambda: sidecar.metrics().value("aistrace_spans_exported_total") > 0, "the sidecar exports")
    for generator in generators:
        generator.signal(harness.signal.SIGTERM)
    results = [gen_result(generator) for generator in generators]
    metrics = wait_settled(sidecar, sum(result["committed"] for result in results))
    row = check_nothing_lost(generators, results, servers, metrics)
    print(f"{cycles} kills: {row}")
    return row
