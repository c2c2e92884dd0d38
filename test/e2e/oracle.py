# SPDX-License-Identifier: MIT
"""The outside oracle: the identity of reference "nothing lost, everything counted", per producer.

Three sides that know nothing of each other: what each producer logged before every call; what each endpoint wrote to
its file before it acknowledged, by span id; and the ledgers, read from the segments by ring_state. The oracle keeps a
descriptor of every segment, so that the last ledger can be read after the sidecar has removed the file. What the
sidecar itself says (/metrics) is compared with the sum.

    attempted = committed + dropped by the producer + interrupted + unbegun
    committed = sampled_out + exported + rejected + dropped by the sidecar + spooled + in the ring
    exported is a subset of received, received a subset of attempted; what was received twice is listed
    spooled = exported from the spool + rejected + dropped + in the spool

The spool keeps no book of producers, so its share is one sum for all, which the sidecar tells; while nothing of it is
left, rejected or dropped, what a producer has spooled must have been received like what it has exported.

`unbegun`: a producer that is killed may have logged a span whose call had not begun: at most one a thread, and none of
a producer that ended well.
"""

import collections
import json
import os
import resource
import threading

from accounting import DAEMON_REASONS, RingState, daemon_dropped, producer_dropped
from harness import Failure, gen_log, gen_log_lines

SLOT_REASONS = ("ring_full", "oversize", "nested", "disabled", "no_slot", "no_memory", "no_file")  # enum shmring_drop
HOLD_INTERVAL_S = 0.01
PID_OFFSET = 120  # in shmring_header


class Producer:
    """A process that writes spans, and its log."""

    def __init__(self, name, pids, log, killed_threads=0, attempted=None, no_segment=0):
        self.name = name
        self.pids = set(pids)
        self.log = log  # {span id: ...}
        self.killed_threads = killed_threads  # that SIGKILL may have caught between log and call
        self.attempted = len(log) if attempted is None else attempted
        self.no_segment = no_segment  # what it says it recorded nowhere, for want of a segment

    @classmethod
    def of_gen(cls, process, threads=1):
        """A generator of harness.Scene.gen; killed or ended."""
        killed = process.popen.returncode is not None and process.popen.returncode < 0
        no_segment = 0 if killed else json.loads(process.stdout() or "{}").get("dropped", {}).get("no_segment", 0)
        attempted = sum(1 for _ in gen_log_lines(process))
        return cls(process.name, [process.pid], gen_log(process), threads if killed else 0, attempted, no_segment)


class Account:
    """One producer's figures, and what is wrong with them."""

    def __init__(self, producer, slots, segments, received, delivered):
        self.name = producer.name
        self.attempted = producer.attempted
        self.problems = []
        self.dropped = collections.Counter()
        self.slots = slots
        for place in slots + segments:
            for number, reason in enumerate(SLOT_REASONS):
                self.dropped[reason] += place[f"drop.{number}"]
        self.dropped["no_segment"] = producer.no_segment
        self.committed = self._sum("committed")
        self.exported, self.sampled_out, self.rejected, self.spooled, self.in_ring = map(
            self._sum, ("exported", "sampled_out", "rejected", "spooled", "records"))
        self.refused = collections.Counter()
        for number, reason in enumerate(DAEMON_REASONS):
            self.refused[reason] = self._sum(f"ledger.{number}")
        self._find_interrupted(producer)
        accounted = self.committed + sum(self.dropped.values())
        self.unbegun = min(max(self.attempted - accounted, 0), producer.killed_threads)
        self.residuals = {
            "attempted": self.attempted - accounted - self.unbegun,
            "committed": self.committed - self.exported - self.sampled_out - self.rejected - self.spooled -
                         sum(self.refused.values()) - self.in_ring,
        }
        self._compare_received(producer, received, delivered)

    def _sum(self, key):
        return sum(slot[key] for slot in self.slots)

    def _find_interrupted(self, producer):
        """What a slot has begun and neither dropped nor committed: the span being written at a SIGKILL."""
        for slot in self.slots:
            open_spans = slot["begun"] - slot["drop.0"] - slot["drop.1"] - slot["committed"]
            if open_spans not in ((0, 1) if producer.killed_threads else (0,)):
                self.problems.append(f"slot {slot['number']}: {open_spans} spans begun and never ended")
            self.dropped["interrupted"] += max(open_spans, 0)

    def _compare_received(self, producer, received, delivered):
        mine = received.keys() & producer.log.keys()
        self.received = len(mine)
        self.duplicates = {span_id: received[span_id] - 1 for span_id in mine if received[span_id] > 1}
        # What is spooled, refused or still in the ring may have been received all the same; what is exported must.
        most = self.exported + self.rejected + self.spooled + sum(self.refused.values()) + self.in_ring
        short = max(sum(getattr(self, outcome) for outcome in delivered) - self.received, 0)
        over = max(self.received - most, 0)
        self.residuals["received"] = short - over
        if short:
            self.problems.append(f"{short} spans are {' or '.join(delivered)} by the ledger and were never received")
        if over:
            self.problems.append(f"{over} spans were received that the ledger does not know of")

    def residual(self):
        return sum(map(abs, self.residuals.values()))

    def complaints(self):
        wrong = [f"{name}: residual {count}" for name, count in self.residuals.items() if count]
        return [f"{self.name}: {text}" for text in wrong + self.problems]


class Spool:
    """What became of spooled spans, as the sidecar tells it."""

    def __init__(self, metrics):
        metrics = metrics or {}

        def value(name):
            return int(metrics.get((f"aistrace_{name}", ()), 0))
        self.written = value("spool_spans_written_total")
        self.exported = value("spool_spans_exported_total")
        self.rejected = value("spool_spans_rejected_total")
        self.left = value("spans_spooled")
        self.dropped = collections.Counter({dict(labels)["reason"]: int(count) for (name, labels), count in
                                            metrics.items() if name == "aistrace_spool_spans_dropped_total" and count})

    def residual(self):
        return self.written - self.exported - self.rejected - self.left - sum(self.dropped.values())

    def all_exported(self):
        return self.written == self.exported


class Report:
    """All producers of a test."""

    def __init__(self, accounts, spool, problems):
        self.accounts = accounts
        self.spool = spool
        self.problems = [text for account in accounts for text in account.complaints()] + problems

    def total(self, name):
        return sum(getattr(account, name) for account in self.accounts)

    def exported(self):
        return self.total("exported") + self.spool.exported

    def residual(self):
        return sum(account.residual() for account in self.accounts) + abs(self.spool.residual())

    def duplicates(self):
        """{span id: how often too many}"""
        return {span_id: count for account in self.accounts for span_id, count in account.duplicates.items()}

    def dropped(self):
        total = collections.Counter()
        for account in self.accounts:
            total.update(account.dropped)
            total.update(account.refused)
        total.update(self.spool.dropped)
        return {reason: count for reason, count in sorted(total.items()) if count}

    def text(self):
        lines = [f"{a.name}: attempted {a.attempted}, committed {a.committed}, exported {a.exported}, received "
                 f"{a.received}, duplicates {sum(a.duplicates.values())}, dropped "
                 f"{dict(+(a.dropped + a.refused))}, unbegun {a.unbegun}, residual {a.residual()}" for a in self.accounts]
        return "\n".join(lines + self.problems)

    def check(self):
        """Fails with every complaint; else prints the residual."""
        if self.problems:
            raise Failure("the identity does not hold:\n      " + "\n      ".join(self.problems[:20]))
        print(f"residual {self.residual()}: attempted {self.total('attempted')}, committed {self.total('committed')}, "
              f"exported {self.exported()}, duplicates {sum(self.duplicates().values())}, "
              f"dropped {self.dropped()}")


class Oracle:
    """Watches a ring directory from the start of a test. Segments are known by the pid of their producer. Those that may
    come and go between two looks are linked into the scene's held_dir by the helper that starts their producers."""

    def __init__(self, scene):
        self.directories = (scene.held_dir, scene.ring_dir)
        self.held = {}  # name -> (descriptor, pid of the producer)
        self.stopping = threading.Event()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.lock = threading.Lock()
        self.hold()  # what is there already may be gone before the thread looks
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.stopping.wait(HOLD_INTERVAL_S):
            self.hold()

    def hold(self):
        """Opens the segments that are new."""
        with self.lock:
            for directory in self.directories:
                for name in os.listdir(directory) if os.path.isdir(directory) else ():
                    if name.endswith(".ring") and name not in self.held:
                        self._open(name, os.path.join(directory, name))

    def _open(self, name, path):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        self.held[name] = (fd, int.from_bytes(os.pread(fd, 4, PID_OFFSET), "little"))

    def state(self, exempt=()):
        """What all segments ever seen hold now, removed or not; but not those of the pids in exempt."""
        self.hold()
        with self.lock:
            fds = sorted(fd for fd, pid in self.held.values() if pid not in exempt)
        return RingState(paths=[f"/proc/self/fd/{fd}" for fd in fds], fds=fds)

    def close(self):
        self.stopping.set()
        self.thread.join()
        for fd, _ in self.held.values():
            os.close(fd)
        self.held.clear()

    def report(self, producers, servers, metrics=None, may_repeat=None, hostile=(), kept=True):
        """-> Report. servers: what received (anything with span_ids()). metrics: of the sidecar, once settled.
        may_repeat: span ids that may arrive twice; None: none. hostile: pids of producers whose segments have been
        damaged: nothing is asked of them, and as they can make any span up, nothing of what is no producer's. kept False: the endpoint
        acknowledges what it does not keep, so that only the ledgers can be asked."""
        received = collections.Counter()
        for server in servers:
            received.update(server.span_ids())
        state = self.state(exempt=set(hostile))
        of_pid = collections.defaultdict(lambda: ([], []))
        pid_of = {segment["segment"]: segment["pid"] for segment in state.segments}
        for segment in state.segments:
            of_pid[segment["pid"]][1].append(segment)
        for number, slot in enumerate(state.slots):
            of_pid[pid_of[slot["segment"]]][0].append({**slot, "number": number})
        spool = Spool(metrics)
        delivered = () if not kept else ("exported", "spooled") if spool.all_exported() else ("exported",)
        accounts = []
        for producer in producers:
            slots = [slot for pid in producer.pids for slot in of_pid[pid][0]]
            segments = [segment for pid in producer.pids for segment in of_pid[pid][1]]
            accounts.append(Account(producer, slots, segments, received, delivered))
        known = set().union(*(producer.pids for producer in producers))
        problems = [f"a segment of pid {pid}, which is no producer's" for pid in sorted(set(pid_of.values()) - known)]
        strangers = set() if hostile else received.keys() - set().union(*(producer.log.keys() for producer in producers))
        problems += [f"span {span_id.decode()} was received and never attempted" for span_id in sorted(strangers)[:5]]
        if spool.residual():
            problems.append(f"spooled: residual {spool.residual()}")
        report = Report(accounts, spool, problems)
        problems = compare_repeated(report, may_repeat or set())
        if metrics is not None:
            problems += compare_metrics(report, metrics)
        report.problems += problems
        return report


def compare_repeated(report, may_repeat):
    return [f"span {span_id.decode()} arrived {count + 1} times, and had been released"
            for span_id, count in sorted(report.duplicates().items()) if span_id not in may_repeat][:5]


def compare_metrics(report, metrics):
    """What the sidecar says of all producers together, and the sum of what the oracle found."""
    spool = report.spool
    sums = {name: report.total(name) for name in ("committed", "exported", "sampled_out", "rejected")}
    said = {name: int(metrics.value(f"aistrace_spans_{name}_total")) for name in sums}
    sums["exported"] += spool.exported
    sums["rejected"] += spool.rejected
    sums["spooled"], said["spooled"] = report.total("spooled"), spool.written
    refused = sum((account.refused for account in report.accounts), collections.Counter()) + spool.dropped
    sums["dropped"], said["dropped"] = dict(+refused), whole(daemon_dropped(metrics))
    dropped = sum((+account.dropped for account in report.accounts), collections.Counter())
    sums["producer_dropped"], said["producer_dropped"] = dict(dropped), whole(producer_dropped(metrics))
    return [f"/metrics says {name} {said[name]}, the segments {sums[name]}" for name in sums if said[name] != sums[name]]


def whole(counts):
    return {reason: int(count) for reason, count in counts.items()}
