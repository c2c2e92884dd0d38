# SPDX-License-Identifier: MIT
"""The daemon's exporter alone, by the helper export_batches."""

import sys

import harness


def start(scene, server, batches, spans, in_flight=8, timeout_ms=10000, value_bytes=100, compression="none"):
    return scene.start("exporter", [harness.helper("export_batches"), "127.0.0.1", server.port, batches, spans,
                                    in_flight, timeout_ms, value_bytes, compression])


def figures(exporter):
    """What the exporter says became of its batches, when it has ended."""
    exporter.wait()
    return {key: int(value) for key, value in (line.split() for line in exporter.stdout().splitlines())}


def ids(first, last):
    return sorted(number.to_bytes(8, sys.byteorder).hex().encode() for number in range(first, last + 1))
