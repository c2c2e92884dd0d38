# SPDX-License-Identifier: MIT
"""P12: cost growth with the number of segments, and with the size of batches."""

import contextlib

from measure import by_median, median
from stage import stage
from svg import chart

SEGMENTS, THREADS = (1, 8, 64, 512), 4
BATCHES = (1, 10, 100, 1000, 4000, 16000)
THE_LIMIT = (1000, 4000, 16000)  # the cheapest of them is what no batch size goes below
SPANS = 51_200
RINGS_BYTES = 128 << 20  # all rings together: what is written at a time fits into a quarter of each


def by_segments(context):
    costs = {count: [] for count in SEGMENTS}
    with contextlib.ExitStack() as stack:
        sides = {}
        for count in SEGMENTS:
            side = stack.enter_context(stage())
            sides[count] = side, side.fill(count, THREADS, RINGS_BYTES // (count * THREADS))
            side.warm_up(sides[count][1], SPANS // (count * THREADS), RINGS_BYTES // (count * THREADS))
        for _ in range(context.pick(21, 9)):
            for count, (side, fill) in sides.items():
                costs[count].append(side.drain(fill, SPANS // (count * THREADS)).cpu_per_span())
        for side, _ in sides.values():
            side.check_delivered()
    points = [(count, median(costs[count])) for count in SEGMENTS]
    chart(context.path("bench-segments.svg"), "Sidecar CPU per span by attached segments of 4 threads",
          "segments", "ns per span", {"ring to socket": points}, log_x=True)
    yield by_median("P12-segments", [many / few for many, few in zip(costs[512], costs[8])],
                    f"8 segments {median(costs[8]):.0f} ns", ns_by_segments=dict(points))


def by_batch(context):
    costs = {size: [] for size in BATCHES}
    with contextlib.ExitStack() as stack:
        sides = {}
        for size in BATCHES:
            side = stack.enter_context(stage(aistraced={"max_batch_spans": size, "max_batch_bytes": "4MiB"}))
            sides[size] = side, side.fill(1, THREADS, RINGS_BYTES // THREADS)
            if size >= 100:
                side.warm_up(sides[size][1], SPANS // THREADS, RINGS_BYTES // THREADS)
        for _ in range(context.pick(11, 5)):
            for size, (side, fill) in sides.items():
                spans = SPANS if size >= 100 else SPANS // 8
                costs[size].append(side.drain(fill, spans // THREADS).cpu_per_span())
        for side, _ in sides.values():
            side.check_delivered()
    points = [(size, median(costs[size])) for size in BATCHES]
    chart(context.path("bench-batches.svg"), "Sidecar CPU per span by spans per batch", "spans per batch",
          "ns per span", {"ring to socket": points}, log_x=True, log_y=True)
    limit = min(median(costs[size]) for size in THE_LIMIT)
    yield by_median("P12-batch", [cost / limit for cost in costs[1000]], f"limit {limit:.0f} ns",
                    ns_by_batch=dict(points))


BENCHMARKS = {("P12-segments",): by_segments, ("P12-batch",): by_batch}
