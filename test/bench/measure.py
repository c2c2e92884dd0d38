# SPDX-License-Identifier: MIT
"""Statistics of rounds, programs that measure, what a process has used."""

import os
import select
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import harness  # pylint: disable=wrong-import-position

SIDECAR_CPU, OTHER_CPU = 0, 1
ANSWER_TIMEOUT_S = 180


class Missing(Exception):
    """What the measurement needs is not there; the row says so."""


class Failed(Exception):
    """The measurement went wrong, and would not be what it says."""


class Result:
    """One row: value, spread, what stands beside it."""

    def __init__(self, row, value, samples=(), floor="", **detail):
        self.row = row
        self.value = value
        self.detail = {"floor": floor, **detail}
        if len(samples) > 1:
            low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
            self.detail.update(quartiles=[low, high], rounds=len(samples))


def by_median(row, samples, floor="", **detail):
    return Result(row, statistics.median(samples), samples, floor, **detail)


median = statistics.median


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def program(name):
    path = os.path.join(harness.BUILD, "bench", name)
    if not os.path.exists(path):
        raise Missing(f"{os.path.relpath(path, harness.ROOT)} is not built")
    return path


def run(argv, env=None):
    """Runs a program to its end. -> its standard output"""
    done = subprocess.run([str(arg) for arg in argv], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    if done.returncode != 0:
        raise Failed(f"{os.path.basename(str(argv[0]))}: status {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


class Table(dict):
    """A measuring program's rounds: column name -> numbers."""

    def __init__(self, text=""):
        super().__init__()
        names, *rows = text.split("\n")
        rows = [[float(number) for number in row.split()] for row in rows if row]
        self.update(zip(names.split(), (list(column) for column in zip(*rows))))

    def more(self, other):
        """The rounds of another process that measured the same."""
        for name, column in other.items():
            self.setdefault(name, []).extend(column)
        return self

    def median(self, name):
        return median(self[name])

    def ratios(self, name, floor):
        return [value / base for value, base in zip(self[name], self[floor])]


def run_table(argv, env=None):
    return Table(run(argv, env))


class Talker:
    """A program that obeys commands on its standard input, each with one line of answer."""

    def __init__(self, argv, first="ready"):
        self.name = os.path.basename(argv[0])
        self.popen = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, bufsize=1)
        self.greeting = self.answer()
        if not self.greeting.startswith(first):
            self.close()
            raise Failed(f"{self.name}: {self.greeting}")

    def send(self, command):
        self.popen.stdin.write(command + "\n")
        self.popen.stdin.flush()

    def answer(self):
        if not select.select([self.popen.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
            raise Failed(f"{self.name}: no answer within {ANSWER_TIMEOUT_S} s")
        line = self.popen.stdout.readline()
        if not line:
            raise Failed(f"{self.name}: {self.popen.stderr.read().strip()[-300:] or 'ended'}")
        return line.strip()

    def ask(self, command):
        self.send(command)
        return self.answer()

    def numbers(self, command):
        return [float(word) for word in self.ask(command).split()]

    def close(self):
        self.popen.stdin.close()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def pin(pid, cpu):
    """Keeps a process on one core; where that may not be, figures are noisier."""
    try:
        os.sched_setaffinity(pid, {cpu})
    except OSError:
        pass


def need_two_cores():
    if len(os.sched_getaffinity(0)) < 2:
        raise Missing("one core: nothing can run at the same time")


def cpu_ns(pid):
    """CPU time of all threads of a process, exact to the nanosecond."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def cpu_share(pid, seconds):
    """-> percent of a core that the process uses during that time"""
    begin, used = time.monotonic_ns(), cpu_ns(pid)
    time.sleep(seconds)
    return 100 * (cpu_ns(pid) - used) / (time.monotonic_ns() - begin)


def resident_mb(pid):
    """Resident megabytes without what is shared memory, that is without the rings; libraries that other processes
    use as well are in it."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file.read().splitlines())
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssFile")) * 1024 / 1e6


def private_mb(pid, without):
    """Private resident megabytes, files below `without` left out. None where only root may look."""
    total, skip = 0, False
    try:
        with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
            for line in file:
                word = line.split(maxsplit=1)[0]
                if not word.endswith(":"):
                    skip = without in line
                elif word in ("Private_Clean:", "Private_Dirty:") and not skip:
                    total += int(line.split()[1]) * 1024
    except PermissionError:
        return None
    return total / 1e6
