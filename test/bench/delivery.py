# SPDX-License-Identifier: MIT
"""P5, P6, P7: what the sidecar uses to bring a span from the ring to the socket."""

from measure import Missing, Result, by_median, median, program, run
from stage import stage

BATCH_SPANS = 2048
THREADS, RING_BYTES = 4, 32 << 20
SPANS_PER_THREAD = 25 * BATCH_SPANS  # whole batches: no remainder waits for the flush interval
FLOOR_CHUNK, OTHER_CHUNKS = 64 << 10, (16 << 10, 256 << 10, 1 << 20)  # of the floor's writes


def tcp_cpu_ns(sink_port, total, chunk):
    return int(run([program("tcp_send"), sink_port, total, chunk]))


def grpc_cpu_ns(port, spans):
    """-> CPU ns a span of gRPC C++, or None where it is not there"""
    try:
        return int(run([program("grpc_client"), port, spans // BATCH_SPANS, BATCH_SPANS])) / spans
    except Missing:
        return None


def plaintext(context):
    drains, floors, peers = [], [], []
    with stage() as here:
        raw = here.talk("sink", "raw", first="port ").greeting.split()[1]
        fill = here.fill(1, THREADS, RING_BYTES)
        here.warm_up(fill, SPANS_PER_THREAD, RING_BYTES)
        for _ in range(context.pick(41, 11)):
            drain = here.drain(fill, SPANS_PER_THREAD)
            drains.append(drain)
            floors.append(tcp_cpu_ns(raw, drain.received, FLOOR_CHUNK) / drain.spans)
            peers.append(grpc_cpu_ns(here.port, drain.spans // 4))
        other_floors = {chunk: tcp_cpu_ns(raw, drains[-1].received, chunk) / drains[-1].spans
                        for chunk in OTHER_CHUNKS}
        here.check_delivered()
    costs = [drain.cpu_per_span() for drain in drains]
    ratios = [cost / floor for cost, floor in zip(costs, floors)]
    yield by_median("P5", ratios, f"TCP {median(floors):.0f} ns a span", sidecar_ns=median(costs),
                    tcp_ns=median(floors), tcp_ns_by_chunk=other_floors,
                    bytes_per_span=drains[-1].received / drains[-1].spans,
                    spans_per_request=drains[-1].spans / drains[-1].requests)
    if None in peers:
        yield Result("P6", None, missing="gRPC C++ is not installed: libgrpc++-dev protobuf-compiler-grpc")
    else:
        yield by_median("P6", [cost / peer for cost, peer in zip(costs, peers)],
                        f"gRPC C++ {median(peers):.0f} ns a span", sidecar_ns=median(costs), grpc_ns=median(peers))
    yield rate("P7-plaintext", drains)


def rate(row, drains):
    """Millions of spans a second that one core carries."""
    wall = median([1e3 * drain.spans / drain.wall_ns for drain in drains])
    return by_median(row, [1e3 / drain.cpu_per_span() for drain in drains], f"wall {wall:.2f} M/s",
                     wall_millions_per_s=wall, sidecar_ns=median([drain.cpu_per_span() for drain in drains]))


def tls(context):
    with stage(tls=True) as here:
        fill = here.fill(1, THREADS, RING_BYTES)
        here.warm_up(fill, SPANS_PER_THREAD, RING_BYTES)
        drains = [here.drain(fill, SPANS_PER_THREAD) for _ in range(context.pick(41, 11))]
        here.check_delivered()
    yield rate("P7-TLS", drains)


BENCHMARKS = {("P5", "P6", "P7-plaintext"): plaintext, ("P7-TLS",): tls}
