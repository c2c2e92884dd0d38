# SPDX-License-Identifier: MIT
"""The identity of producers and sidecar, from three sides: generators' logs, what a server acknowledged, /metrics."""

import collections
import os
import subprocess

import harness
from harness import check, check_equal, wait_for

DAEMON_REASONS = ("invalid", "refused", "oversize", "disabled", "spool_corrupt")
PRODUCER_REASONS = ("ring_full", "oversize", "nested", "disabled", "no_slot", "no_memory", "no_file", "interrupted")


def dropped(results):
    """Sum of what generators say was dropped, by reason, zeros left out."""
    total = collections.Counter()
    for result in results:
        total.update(result["dropped"])
    return {reason: count for reason, count in total.items() if count}


def producer_dropped(metrics):
    family = metrics.family("aistrace_spans_producer_dropped_total", "reason")
    return {reason: count for reason, count in family.items() if count}


def daemon_dropped(metrics):
    family = metrics.family("aistrace_spans_dropped_total", "reason")
    return {reason: count for reason, count in family.items() if count}


def check_identity(metrics):
    """committed = sampled_out + exported + rejected + dropped + in flight + spooled + unread"""
    parts = {name: metrics.value(name) for name in
             ("aistrace_spans_sampled_out_total", "aistrace_spans_exported_total", "aistrace_spans_rejected_total",
              "aistrace_spans_in_flight", "aistrace_spans_spooled", "aistrace_spans_unread")}
    parts["dropped"] = metrics.total("aistrace_spans_dropped_total")
    check_equal(metrics.value("aistrace_spans_committed_total"), sum(parts.values()), f"committed against {parts}")
    check_spool_identity(metrics)


def check_spool_identity(metrics):
    """written = exported + rejected + dropped + still there: the left side from the rings, the right from the spool"""
    parts = {name: metrics.value(f"aistrace_spool_spans_{name}_total") for name in ("exported", "rejected")}
    parts["dropped"] = metrics.total("aistrace_spool_spans_dropped_total")
    parts["spooled"] = metrics.value("aistrace_spans_spooled")
    check_equal(metrics.value("aistrace_spool_spans_written_total"), sum(parts.values()), f"spooled against {parts}")


def wait_settled(sidecar, committed):
    """-> metrics, once the sidecar has accounted for this many spans and nothing is left"""
    def settled():
        metrics = sidecar.settled()
        return metrics if metrics and metrics.value("aistrace_spans_committed_total") >= committed else None
    try:
        metrics = wait_for(settled, f"{committed} spans settled", interval_s=0.05)
    except harness.TimedOut as error:
        metrics = sidecar.try_metrics()
        spans = {key: value for key, value in (metrics or {}).items() if key[0].startswith("aistrace_spans")}
        raise harness.TimedOut(f"{error}; metrics: {spans}") from None
    check_equal(metrics.value("aistrace_spans_committed_total"), committed, "committed by /metrics")
    check_identity(metrics)
    return metrics


def check_all_arrived(generators, results, server, metrics):
    """attempted = received by span id, each once; nothing was dropped; /metrics agrees. -> spans"""
    log = harness.gen_log(*generators)
    attempted = sum(result["attempted"] for result in results)
    check_equal(len(log), attempted, "spans in the logs, against attempted")
    check_equal(dropped(results), {}, "dropped by the generators")
    check_equal(sum(result["committed"] for result in results), attempted, "committed by the generators")
    check_received_once(log, server)
    check_equal(metrics.value("aistrace_spans_committed_total"), attempted, "committed by /metrics")
    check_equal(metrics.value("aistrace_spans_exported_total"), attempted, "exported by /metrics")
    check_equal(producer_dropped(metrics), {}, "dropped by producers by /metrics")
    check_equal(daemon_dropped(metrics), {}, "dropped by the sidecar by /metrics")
    check_identity(metrics)
    return attempted


def check_committed_arrived(generators, results, servers, metrics, reasons=("ring_full",), may_repeat=False):
    """As check_all_arrived for rings that cannot hold everything, where a sidecar without a processor makes producers
    drop: attempted = committed + dropped for these reasons, what was committed was received, and /metrics says the same.
    -> dropped by reason"""
    log = harness.gen_log(*generators)
    committed = sum(result["committed"] for result in results)
    lost = dropped(results)
    check(lost.keys() <= set(reasons), f"dropped {lost}")
    check_equal(sum(result["attempted"] for result in results), committed + sum(lost.values()), "attempted = committed + dropped")
    check_equal(producer_dropped(metrics), lost, "dropped by producers, by /metrics and by themselves")
    check_equal(metrics.value("aistrace_spans_exported_total"), committed, "exported")
    check_equal(daemon_dropped(metrics), {}, "dropped by the sidecar")
    check_identity(metrics)
    received = [span_id for server in servers for span_id in server.span_ids()]
    distinct = set(received)
    check_equal(len(distinct), committed, "committed spans that arrived")
    check(may_repeat or len(received) == len(distinct), f"{len(received) - len(distinct)} spans arrived twice")
    check(distinct <= log.keys(), "a span was received that was never attempted")
    return lost


def check_received_once(log, server):
    """Exactly the logged spans were received, with the logged trace and parent, none twice."""
    trace_ids, span_ids, parents = server.spans()
    check_equal(len(set(span_ids)), len(span_ids), "distinct span ids received")
    check_equal(len(span_ids), len(log), "spans received")
    for trace_id, span_id, parent in zip(trace_ids, span_ids, parents):
        entry = log.get(span_id)
        check(entry, f"span {span_id} was never attempted")
        check(entry[0] == trace_id and entry[1] == (b"" if parent == b"-" else parent),
              f"span {span_id}: trace {trace_id} parent {parent}, logged {entry}")


class RingState:
    """What segments hold now, by a reader of the tests' own: those of a scene's ring directory, or of given files."""

    def __init__(self, scene=None, paths=None, fds=()):
        if paths is None:
            paths = [os.path.join(scene.ring_dir, name) for name in scene.segments()]
        self.segments = []
        self.slots = []
        self.unreleased = set()  # span ids between the shared position and the producer's
        for first in range(0, len(paths), 500):
            self._read(paths[first:first + 500], fds[first:first + 500])

    def _read(self, paths, fds):
        result = subprocess.run([harness.helper("ring_state"), *paths], capture_output=True, check=False, pass_fds=fds)
        check_equal(result.returncode, 0, f"ring_state ({result.stderr.decode()})")
        for line in result.stdout.split(b"\n"):
            fields = line.split()
            if not fields:
                continue
            if fields[0] == b"record":
                self.unreleased.add(fields[4])
                continue
            rest = fields[3:] if fields[0] == b"slot" else fields[2:]
            values = {"segment": fields[1].decode(), **dict(zip((f.decode() for f in rest[::2]), map(int, rest[1::2])))}
            (self.slots if fields[0] == b"slot" else self.segments).append(values)

    def committed(self):
        return sum(slot["committed"] for slot in self.slots)

    def unreleased_bytes(self):
        return sum(slot["wpos"] - slot["cpos"] for slot in self.slots)
