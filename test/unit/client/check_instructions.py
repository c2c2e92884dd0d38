#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds the instructions of a span, on the traced thread and in the sidecar, against accidental growth.

    test/unit/client/check_instructions.py            fails when a count is more than a tenth above its reference
    test/unit/client/check_instructions.py --update   writes instructions.txt anew: after a change that is meant, in its commit

callgrind counts; only the program's own code is added up, because what libc does depends on the CPU. So the counts are
those of the compiler and its flags, and the same on every machine with Debian 12's gcc.
"""

import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BUILD = os.path.join(ROOT, os.environ.get("BUILD_DIR", "build"))
PROGRAM = os.path.join(BUILD, "bench", "instructions")
REFERENCES = os.path.join(HERE, "instructions.txt")
SPANS = 4096
ROOM = 1.10
# count -> the function it is of, and the clock that spans are written by, or that they are not written
WATCHED = {"span": ("bench_span", "counter"), "span_by_system_clock": ("bench_span", "system"),
           "span_while_off": ("bench_span", "off"), "drain_and_encode": ("bench_drain", "system")}


def own_instructions(path):
    """-> instructions that callgrind's output charges to the program itself, without its libraries"""
    names, own, total, is_call = {}, False, 0, False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("ob="):
                number, name = re.match(r"ob=\((\d+)\)(?: (.*))?", line).groups()
                names[number] = name or names[number]
                own = names[number].endswith("/bench/instructions")
            elif line.startswith("cob="):
                number, name = re.match(r"cob=\((\d+)\)(?: (.*))?", line).groups()
                names[number] = name or names[number]
            elif line.startswith("calls="):
                is_call = True  # the next line is what the callee took
            elif re.match(r"[+*\d-]", line):
                total += int(line.split()[1]) if own and not is_call else 0
                is_call = False
    return total


def count(function, clock):
    """-> instructions a span"""
    with tempfile.TemporaryDirectory(prefix="aistrace-instructions-", dir=os.environ.get("AISTRACE_TEST_ROOT", "/dev/shm")) as directory:
        rings, out = os.path.join(directory, "rings"), os.path.join(directory, "out")
        done = subprocess.run(["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={function}",
                               f"--callgrind-out-file={out}", PROGRAM, rings, str(SPANS), clock],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0 or done.stdout != f"{SPANS}\n":
            raise SystemExit(f"{PROGRAM}: status {done.returncode}: {done.stdout}{done.stderr}\n0 passed, 1 failed")
        return own_instructions(out) / SPANS


def references():
    with open(REFERENCES, encoding="ascii") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    return {name: float(value) for name, value in rows}


def update(counts):
    with open(REFERENCES, "w", encoding="ascii") as file:
        file.write("# SPDX-License-Identifier: MIT\n# Instructions a span; written by test/unit/client/check_instructions.py "
                   "--update\n")
        file.writelines(f"{name} {value:.0f}\n" for name, value in counts.items())


def main():
    if sys.argv[1:] not in ([], ["--update"]):
        print(__doc__, file=sys.stderr)
        return 64
    expected = references() if os.path.exists(REFERENCES) else {}
    if os.environ.get("BUILD_DIR", "build") != "build":
        print("SKIP check_instructions: the references are those of the release build")
        print(f"{int(set(expected) == set(WATCHED))} passed, {int(set(expected) != set(WATCHED))} failed")
        return 0
    counts = {name: count(*watched) for name, watched in WATCHED.items()}
    if sys.argv[1:]:
        update(counts)
        expected = counts
    failed = 0
    for name, value in counts.items():
        limit = expected.get(name, 0) * ROOM
        grown = value > limit
        failed += grown
        print(f"{'FAILED' if grown else 'ok'}: {name}: {value:.0f} instructions a span, reference "
              f"{expected.get(name, 0):.0f}" + (f", limit {limit:.0f}; meant? --update" if grown else ""))
        if value * ROOM < expected.get(name, 0):
            print(f"      {name} has become cheaper: keep the gain with --update")
    print(f"{len(counts) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
