# SPDX-License-Identifier: MIT
"""What a mutant is. The fixed list is in list_<room>.py: breaks that a test once did not notice. Each names the text it takes
away, what stands there instead, the programs of test/unit that must fail, and what would go wrong unseen. An entry whose file or
test is gone, or whose text is not in the file just once, fails the run: the list follows the code."""

import importlib
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Mutant:
    def __init__(self, file, old, new, tests, purpose, span=None):
        self.file, self.old, self.new, self.purpose, self.span = file, old, new, purpose, span
        self.tests = tests if isinstance(tests, list) else tests.split()

    def apply(self, text):
        """-> the broken text, or None when the place is not there exactly once"""
        if self.span:
            return text[:self.span[0]] + self.new + text[self.span[1]:]
        return text.replace(self.old, self.new) if text.count(self.old) == 1 else None

    def misfit(self):
        """-> why the entry says nothing of the code as it is, or None"""
        path = os.path.join(ROOT, self.file)
        if not os.path.exists(path):
            return "there is no such file"
        missing = [test for test in self.tests if not os.path.exists(os.path.join(ROOT, "test", "unit", test + ".c"))]
        if missing or not self.tests:
            return f"there is no test {' '.join(missing)}"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        broken = self.apply(text)
        if broken is None:
            return f"its text is there {text.count(self.old)} times, not once: {' '.join(self.old.split())[:80]!r}"
        return "it changes nothing" if broken == text else None

    def __str__(self):
        if not self.span:
            return f"{self.file}: {self.purpose}"
        with open(os.path.join(ROOT, self.file), encoding="utf-8") as file:
            text = file.read()
        old = " ".join(text[self.span[0]:self.span[1]].split())
        return f"{self.file}:{text.count(chr(10), 0, self.span[0]) + 1}: {old[:60]!r} -> {self.new[:60]!r}"


def tests_of(path):
    """-> the programs that random mutants of a file are judged by: those of its room, and of what stands on it"""
    room = os.path.dirname(path).removeprefix("daemon/")
    rooms = {"spool": ["spool", "source"], "ring": ["ring", "source"], "batch": ["batch", "source"]}.get(room, [room])
    return [f"{each}/{name.removesuffix('.c')}" for each in rooms
            for name in sorted(os.listdir(os.path.join(ROOT, "test", "unit", each)))
            if name.startswith("check_") and name.endswith(".c")]


def all_lists():
    """-> the entries of every list_<room>.py beside this file"""
    for name in sorted(os.listdir(os.path.dirname(os.path.abspath(__file__)))):
        if name.startswith("list_") and name.endswith(".py"):
            yield from importlib.import_module(name.removesuffix(".py")).MUTANTS
