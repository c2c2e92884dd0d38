# SPDX-License-Identifier: MIT
"""A fault is a function test_<its promise>(scene, row) with @fault; a row is what the table and faults.json say of it."""

import collections
import os
import shutil

from harness import Skip, check_equal

FULL = os.environ.get("FAULTS_FULL") == "1"  # the longer variants of `make faults-full`


class Fault:
    """One row of the table."""

    def __init__(self, number, function, namespaces, programs, timeout_s):
        self.number = number
        self.function = function
        self.name = function.__name__.removeprefix("test_")
        self.namespaces = namespaces
        self.programs = programs
        self.timeout_s = timeout_s

    def promise(self):
        return self.name.replace("_", " ")

    def why_not(self):
        """Why this machine cannot run it, or None."""
        if self.namespaces and os.geteuid() != 0:
            return f"needs root for its own {' and '.join(self.namespaces)} namespace"
        missing = [program for program in self.programs if not shutil.which(program) and not os.path.exists(program)]
        return f"needs {', '.join(missing)}" if missing else None

    def prefix(self):
        """The command that runs a program in namespaces of its own."""
        if not self.namespaces:
            return []
        extra = ["--fork", "--mount-proc", "--kill-child"] if "pid" in self.namespaces else []
        return ["unshare", *extra, *(f"--{namespace}" for namespace in self.namespaces), "--"]


FAULTS = []


def fault(number, namespaces=(), programs=(), timeout_s=600):
    """Registers a test as the (or a) row of a fault of the list. namespaces: mount, net, pid, each of its own."""
    def register(function):
        FAULTS.append(Fault(number, function, namespaces, programs, timeout_s))
        return function
    return register


class Row:
    """What happened, added up over the attempts. attempts: how often the fault was injected."""

    def __init__(self, number, name):
        self.fault = number
        self.name = name
        self.attempts = self.attempted = self.committed = self.exported = self.duplicates = self.residual = 0
        self.dropped = collections.Counter()
        self.further = dict.fromkeys(("sampled_out", "rejected", "spooled", "unbegun"), 0)  # spooled: on the way
        self.notes = {}  # further figures

    def add(self, report):
        """Takes an oracle's report in; fails when it complains."""
        self.add_quietly(report)
        report.check()

    def add_quietly(self, report):
        """Takes the figures of a report in that has been checked."""
        self.attempted += report.total("attempted")
        self.committed += report.total("committed")
        self.exported += report.exported()
        for name in self.further:
            self.further[name] += report.total(name)
        self.further["rejected"] += report.spool.rejected
        self.duplicates += sum(report.duplicates().values())
        self.residual += report.residual()
        self.dropped.update(report.dropped())

    def to_json(self):
        return {"fault": self.fault, "name": self.name, "attempts": self.attempts, "attempted": self.attempted,
                "committed": self.committed, "exported": self.exported, "duplicates": self.duplicates,
                "dropped": dict(self.dropped), "residual": self.residual, **self.further, **({"notes": self.notes} if self.notes else {})}


def check_nothing_dropped(report):
    check_equal(report.dropped(), {}, "dropped")


__all__ = ["FAULTS", "FULL", "Row", "Skip", "check_nothing_dropped", "fault"]
