# SPDX-License-Identifier: MIT
"""The bars: what each figure must reach. One row is one line of the table and one object of bench.json."""

import collections

LESS, MORE = "<=", ">="

Bar = collections.namedtuple("Bar", "id figure unit better bar stretch")

# bar or stretch None: told for information
BARS = [Bar(*row) for row in (
    ("P1", "whole span over a copy and two clock readings", "x", LESS, 1.25, 0.6),
    ("P2", "time a span adds inside 250 ns of work", "ns", LESS, 40, 15),
    ("P3", "span cost, two threads over one", "x", LESS, 1.1, 1.0),
    ("P4", "protobuf-c build and pack over the encoder", "x", MORE, 12, 20),
    ("P5", "sidecar CPU over bare TCP of the same bytes", "x", LESS, 1.5, 1.2),
    ("P6", "sidecar CPU over a gRPC C++ client's", "x", LESS, 1 / 8, 1 / 15),
    ("P7-plaintext", "spans/s of one core, plaintext", "M/s", MORE, 5, 8),
    ("P7-TLS", "spans/s of one core, TLS", "M/s", MORE, 3, 4),
    ("P8-cpu", "idle CPU, 8 segments attached", "%", LESS, 0.1, None),
    ("P8-ratio", "idle CPU over a bare 100 ms sleep loop", "x", LESS, 2, 1.3),
    ("P8-100", "CPU at 100 spans/s", "%", LESS, None, None),
    ("P8-10000", "CPU at 10,000 spans/s", "%", LESS, None, None),
    ("P9-plaintext", "private memory, idle or 10,000 spans/s, plaintext", "MB", LESS, 6, 5),
    ("P9-TLS", "private memory, idle or 10,000 spans/s, TLS", "MB", LESS, 10, 8),
    ("P10-latency", "span end to arrival, p99, 5 ms flush, 10,000/s", "ms", LESS, 8, None),
    ("P10-cpu", "CPU of that", "%", LESS, 4, None),
    ("P11-room", "span cost in an outage over normal, ring not full", "x", LESS, 1.05, 1.0),
    ("P11-full", "span cost in an outage over normal, ring full", "x", LESS, 1.05, 1.0),
    ("P11-instructions", "instructions in an outage over normal", "x", LESS, 1.0, 1.0),
    ("P11-calls", "system calls of 10,000 spans in an outage", "calls", LESS, 0, 0),
    ("P12-segments", "ns a span, 512 segments over 8", "x", LESS, 1.2, None),
    ("P12-batch", "ns a span, batches of 1,000 over the limit", "x", LESS, 1.2, None),
    ("P13-opaque", "span over an opaque LTTng record of 184 B", "x", LESS, 0.7, 0.35),
    ("P13-described", "span over LTTng fields with keys", "x", LESS, 0.3, 0.15),
    ("P14-one", "span while off over as many empty calls", "x", LESS, 2, 1.5),
    ("P14-two", "the same, two threads at a time", "x", LESS, 2, 1.5),
)]


def reached(bar, limit, value):
    """-> True or False; None where there is no limit or no value"""
    if limit is None or value is None:
        return None
    return value <= limit if bar.better == LESS else value >= limit
